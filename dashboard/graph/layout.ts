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
export const serviceId = (service: string): string => `service ${service}`;

/** The same for the same shape of a job: kept by `shapeOf`. */
export function draw(job: Job): Drawing {
  const graph = new Graph({ compound: true });
  graph.setGraph({ rankdir: "LR", nodesep: 30, ranksep: 44, marginx: MARGIN, marginy: MARGIN });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { operator } of job.operators) graph.setNode(operator, { ...NODE });
  for (const { service } of job.services) graph.setNode(serviceId(service), { ...SERVICE });
  for (const [region, operators] of regionsOf(job)) {
    graph.setNode(region, {});
    for (const operator of operators) graph.setParent(operator, region);
  }
  for (const { from, to } of job.edges) graph.setEdge(from, to);
  for (const { service, callers } of job.services)
    for (const caller of callers) graph.setEdge(caller, serviceId(service));
  layout(graph);
  const boxOf = (id: string): Box => {
    const { x, y, width, height } = graph.node(id);
    return { id, x: x - width / 2, y: y - height / 2, width, height };
  };
  const wire = (from: string, to: string): Wire => ({ from, to, points: graph.edge(from, to).points });
  const { width = 0, height = 0 } = graph.graph();
  return {
    width,
    height,
    operators: job.operators.map(({ operator }) => boxOf(operator)),
    services: job.services.map(({ service }) => boxOf(serviceId(service))),
    edges: job.edges.map(({ from, to }) => wire(from, to)),
    calls: job.services.flatMap(({ service, callers }) => callers.map((caller) => wire(caller, serviceId(service)))),
    regions: [...regionsOf(job).keys()].map(boxOf),
  };
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
