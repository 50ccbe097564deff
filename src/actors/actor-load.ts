/** What an actor reports of its load: totals since its attempt began, and what waits now. Made for a report, about once in a second. */
import type { ActorLoad, InputLoad, OperatorLoad } from "../wire/control.js";
import type { ActorGraph } from "./actor-graph.js";

export function loadOf(graph: ActorGraph): ActorLoad {
  const { idle, busy, backPressured } = graph.meter.ms;
  return {
    forMs: idle + busy + backPressured,
    busyMs: busy,
    backPressuredMs: backPressured,
    operators: operatorsOf(graph),
    inputs: inputsOf(graph),
  };
}

function operatorsOf({ meters, operators }: ActorGraph): OperatorLoad[] {
  return [...meters].map(([operator, meter]) => {
    const { busy, backPressured } = meter.ms;
    const { requests, rows } = operators.get(operator)?.underWay?.() ?? { requests: 0, rows: 0 };
    return {
      operator,
      rowsIn: BigInt(meter.rowsIn),
      rowsOut: BigInt(meter.rowsOut),
      busyMs: busy,
      backPressuredMs: backPressured,
      requests,
      rowsHeld: rows,
    };
  });
}

/** Channels between the same two operators are one: where rows are exchanged there are as many as the writer has subtasks. */
function inputsOf({ inputs }: ActorGraph): InputLoad[] {
  const loads = new Map<string, { -readonly [K in keyof InputLoad]: InputLoad[K] }>();
  for (const { receiver, from, operator: to } of inputs) {
    const key = `${from} ${to}`;
    const load = loads.get(key) ?? { from, to, channels: 0, queuedBytes: 0n, queuedBatches: 0 };
    const { bytes, batches } = receiver.queued();
    load.channels += 1;
    load.queuedBytes += BigInt(bytes);
    load.queuedBatches += batches;
    loads.set(key, load);
  }
  return [...loads.values()];
}
