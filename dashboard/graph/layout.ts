/** Where operators, services and the lines between them are drawn. */
import { Graph, layout } from "@dagrejs/dagre";
import type { Job } from "../api.js";

export interface Point {
  readonly x: number;
  readonly y: number;
}
export interface Box extends Point {
  readonly id: string;
  readonly width: number;
  readonly height: number;
}
export interface Wire {
  readonly from: string;
  readonly to: string;
  readonly points: readonly Point[];
  /** Where words have room. */
  readonly label: Point;
}
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly operators: readonly Box[];
  readonly services: readonly Box[];
  readonly edges: readonly Wire[];
  readonly calls: readonly Wire[];
  /** Around operators whose parallel instances fail and start again together. */
  readonly regions: readonly Box[];
}

const NODE = { width: 172, height: 74 };
const SERVICE = { width: 170, height: 56 };
const MARGIN = 16;
/** Room for what is said at a wire: a word above it, and what waits below. */
const LABEL = { width: 62, height: 28, labelpos: "c" };
/** Between the outline of a region and what is in it; above, where its name stands, more. */
const OUTLINE = { side: 12, top: 26 };
export const serviceId = (service: string): string => `service ${service}`;

/** The same for the same shape of a job: kept by `shapeOf`. */
export function draw(job: Job): Drawing {
  const graph = new Graph({ compound: true });
  graph.setGraph({ rankdir: "LR", nodesep: 30, ranksep: 30, marginx: MARGIN, marginy: MARGIN });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { operator } of job.operators) graph.setNode(operator, { ...NODE });
  for (const { service } of job.services) graph.setNode(serviceId(service), { ...SERVICE });
  for (const [region, operators] of regionsOf(job)) {
    graph.setNode(region, {});
    for (const operator of operators) graph.setParent(operator, region);
  }
  for (const { from, to, exchange } of job.edges) graph.setEdge(from, to, exchange === "chained" ? {} : { ...LABEL });
  for (const { service, callers } of job.services)
    for (const caller of callers) graph.setEdge(caller, serviceId(service));
  layout(graph);
  const boxOf = (id: string): Box => {
    const { x, y, width, height } = graph.node(id);
    return { id, x: x - width / 2, y: y - height / 2, width, height };
  };
  const wire = (from: string, to: string): Wire => {
    const { points, x, y } = graph.edge(from, to);
    return { from, to, points, label: { x: x ?? points[0]!.x, y: y ?? points[0]!.y } };
  };
  const operators = new Map(job.operators.map(({ operator }) => [operator, boxOf(operator)]));
  const { width = 0, height = 0 } = graph.graph();
  return {
    width,
    height,
    operators: [...operators.values()],
    services: job.services.map(({ service }) => boxOf(serviceId(service))),
    edges: job.edges.map(({ from, to }) => wire(from, to)),
    calls: job.services.flatMap(({ service, callers }) => callers.map((caller) => wire(caller, serviceId(service)))),
    regions: [...regionsOf(job)].map(([id, members]) =>
      around(
        id,
        members.map((one) => operators.get(one)!),
      ),
    ),
  };
}

/** Closer than the layout's own box, which also keeps room for wires. */
function around(id: string, boxes: readonly Box[]): Box {
  const left = Math.min(...boxes.map(({ x }) => x)) - OUTLINE.side;
  const top = Math.min(...boxes.map(({ y }) => y)) - OUTLINE.top;
  const right = Math.max(...boxes.map(({ x, width }) => x + width)) + OUTLINE.side;
  const bottom = Math.max(...boxes.map(({ y, height }) => y + height)) + OUTLINE.side;
  return { id, x: left, y: top, width: right - left, height: bottom - top };
}

/** Operators by the regions of their instances; parallel regions of the same operators are one outline. */
export function regionsOf(job: Job): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { operator, regions } of job.operators) {
    const key = `region ${[...regions].sort().join(" ")}`;
    groups.set(key, [...(groups.get(key) ?? []), operator]);
  }
  return groups;
}

/** What a drawing depends on. */
export function shapeOf(job: Job): string {
  return JSON.stringify([
    job.operators.map(({ operator, regions }) => [operator, regions]),
    job.edges.map(({ from, to }) => [from, to]),
    job.services.map(({ service, callers }) => [service, callers]),
  ]);
}
