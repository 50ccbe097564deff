/** The topology of a job as it works: rates, who is busy, who is held up, which regions fail together. */
import { useMemo } from "preact/hooks";
import type { Job, Operator, Region, Service } from "../api.js";
import { bytes, count, percent, rate, several } from "../format.js";
import { type Box, draw, type Point, regionsOf, serviceId, shapeOf } from "./layout.js";

/** Share of the time from which on a colour says so. */
const PRESSED = 0.5;
const BUSY = 0.8;
/** Of its own size: smaller, and its words could not be read, so it scrolls. */
const SMALLEST = 0.66;

function tone({ busyMax, backPressuredMax }: Operator): string {
  if (backPressuredMax >= PRESSED) return "pressed";
  return busyMax >= BUSY ? "busy" : "calm";
}

const path = ([first, ...rest]: readonly Point[]): string =>
  first === undefined ? "" : `M${first.x} ${first.y} ${rest.map(({ x, y }) => `L${x} ${y}`).join(" ")}`;

export function JobGraph({
  job,
  onOperator,
  onService,
}: {
  readonly job: Job;
  onOperator(operator: string): void;
  onService(service: string): void;
}) {
  const shape = shapeOf(job);
  // The layout is the same as long as the shape is, whatever the numbers say.
  const drawing = useMemo(() => draw(job), [shape]);
  const operators = new Map(job.operators.map((one) => [one.operator, one]));
  const services = new Map(job.services.map((one) => [serviceId(one.service), one]));
  const edges = new Map(job.edges.map((one) => [`${one.from} ${one.to}`, one]));
  const regions = new Map(job.regions.map((one) => [one.region, one]));
  return (
    <div class="scrolls graph">
      <svg
        viewBox={`0 0 ${drawing.width} ${drawing.height}`}
        style={{ maxWidth: `${drawing.width}px`, minWidth: `${drawing.width * SMALLEST}px` }}
        role="group"
        aria-label={`Topology ${job.topology}`}
      >
        <defs>
          <marker
            id="arrow"
            viewBox="0 0 8 8"
            refX="7"
            refY="4"
            markerWidth="9"
            markerHeight="9"
            markerUnits="userSpaceOnUse"
            orient="auto"
          >
            <path d="M0 0 8 4 0 8z" class="arrow" />
          </marker>
        </defs>
        {drawing.regions.map((box) => (
          <RegionOutline
            key={box.id}
            box={box}
            regions={namesIn(job, box.id).flatMap((name) => regions.get(name) ?? [])}
          />
        ))}
        {drawing.calls.map(({ from, to, points }) => (
          <path key={`${from} ${to}`} d={path(points)} class="wire call" />
        ))}
        {drawing.edges.map(({ from, to, points, label }) => {
          const edge = edges.get(`${from} ${to}`)!;
          const words = edge.durable ? "durable" : edge.exchange === "chained" ? "" : edge.exchange;
          const filled = edge.creditBytes === 0 ? 0 : edge.queuedBytes / edge.creditBytes;
          return (
            <g key={`${from} ${to}`}>
              <path
                d={path(points)}
                class={`wire ${edge.durable ? "durable" : ""} ${filled > PRESSED ? "full" : ""}`}
                marker-end="url(#arrow)"
              />
              <text x={label.x} y={label.y - 6} class="edge">
                {words}
              </text>
              <text x={label.x} y={label.y + 14} class="edge">
                {edge.queuedBytes > 0 ? bytes(edge.queuedBytes) : ""}
              </text>
            </g>
          );
        })}
        {drawing.operators.map((box) => (
          <OperatorNode key={box.id} box={box} operator={operators.get(box.id)!} choose={() => onOperator(box.id)} />
        ))}
        {drawing.services.map((box) => {
          const service = services.get(box.id)!;
          return <ServiceNode key={box.id} box={box} service={service} choose={() => onService(service.service)} />;
        })}
      </svg>
    </div>
  );
}

function namesIn(job: Job, outline: string): string[] {
  const [first] = regionsOf(job).get(outline) ?? [];
  return job.operators.find(({ operator }) => operator === first)?.regions ?? [];
}

function RegionOutline({ box, regions }: { readonly box: Box; readonly regions: readonly Region[] }) {
  const restarts = regions.reduce((sum, { attempt }) => sum + attempt - 1, 0);
  const ended = regions.filter(({ phase }) => phase === "FINISHED").length;
  const away = regions.filter(({ phase }) => phase !== "FINISHED" && phase !== "RUNNING");
  const words = [
    regions.length === 1 ? "region" : `${regions.length} regions`,
    ...(away.length > 0 ? [`${away.length} ${away[0]!.phase.toLowerCase()}`] : []),
    ...(ended > 0 ? [`${ended} finished`] : []),
    ...(restarts > 0 ? [several(restarts, "restart")] : []),
  ].join(" · ");
  return (
    <g class={`region ${away.length > 0 ? "away" : ""}`}>
      <rect {...box} rx="12" />
      <text x={box.x + 12} y={box.y + 15}>
        {words}
      </text>
    </g>
  );
}

/** By mouse and by keyboard. */
const chosen = (choose: () => void) => ({
  // In lower case: attributes of SVG are not those of HTML, and `tabIndex` is none.
  tabindex: 0,
  role: "button" as const,
  onClick: choose,
  onKeyDown(event: KeyboardEvent) {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    choose();
  },
});

function OperatorNode({ box, operator, choose }: { readonly box: Box; readonly operator: Operator; choose(): void }) {
  const { busy, backPressured, kind, parallelism, rowsInPerSecond, rowsOutPerSecond, rowsInFlight } = operator;
  const flow =
    kind === "source"
      ? `out ${rate(rowsOutPerSecond)}`
      : kind === "sink"
        ? `in ${rate(rowsInPerSecond)}`
        : `${rate(rowsInPerSecond)} → ${rate(rowsOutPerSecond)}`;
  const words = `${operator.operator}, ${kind}, ${parallelism} parallel, ${flow}, busy ${percent(busy)}, back-pressured ${percent(backPressured)}`;
  return (
    <g
      class={`node ${tone(operator)}`}
      aria-label={words}
      {...chosen(choose)}
      transform={`translate(${box.x} ${box.y})`}
    >
      <title>{words}</title>
      <rect width={box.width} height={box.height} rx="8" />
      <text x="12" y="22" class="name">
        {shorten(operator.operator, 22)}
      </text>
      <text x="12" y="40" class="kind">
        {kind}
        {parallelism > 1 ? ` × ${parallelism}` : ""}
        {rowsInFlight > 0 ? ` · ${count(rowsInFlight)} in flight` : ""}
      </text>
      <text x="12" y="58" class="flow">
        {flow}
      </text>
      <rect x="0" y={box.height - 5} width={box.width * busy} height="5" class="bar busy" />
      <rect x={box.width * busy} y={box.height - 5} width={box.width * backPressured} height="5" class="bar pressed" />
    </g>
  );
}

function ServiceNode({ box, service, choose }: { readonly box: Box; readonly service: Service; choose(): void }) {
  const ready = service.instances.filter(({ state }) => state === "READY").length;
  const queued = service.instances.reduce((sum, { queuedRows, runningRows }) => sum + queuedRows + runningRows, 0);
  const words = `service ${service.service}, ${ready} of ${service.instancesWanted} instances ready, ${queued} rows there`;
  return (
    <g
      class={`node service ${ready < service.instancesWanted ? "less" : ""}`}
      aria-label={words}
      {...chosen(choose)}
      transform={`translate(${box.x} ${box.y})`}
    >
      <title>{words}</title>
      <rect width={box.width} height={box.height} rx="28" />
      <text x="20" y="24" class="name">
        {shorten(service.service, 18)}
      </text>
      <text x="20" y="42" class="flow">
        {ready}/{service.instancesWanted} ready · {count(queued)} rows
      </text>
    </g>
  );
}

/** Without its middle: long names often begin alike. */
function shorten(text: string, most: number): string {
  if (text.length <= most) return text;
  const tail = Math.ceil(most * 0.6);
  return `${text.slice(0, most - tail - 1)}…${text.slice(-tail)}`;
}
