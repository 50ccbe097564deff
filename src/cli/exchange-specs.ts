/** What a job's spec says of its durable exchanges. */
import type { OperatorId } from "../base/ids.js";
import { exchangeWriterId } from "../connectors/exchange.js";
import type { Plan } from "../plan/plan.js";
import type { JobSpec } from "../wire/control.js";

/** Every durable exchange with the actors on both sides of it. */
export function exchangeSpecs(plan: Plan): JobSpec["exchanges"] {
  const actorOf = (operator: OperatorId) => (_: unknown, subtask: number) =>
    plan.actors.find((actor) => actor.subtask === subtask && actor.operators.includes(operator))!.id;
  return plan.exchanges.map(({ id, from, partitions, writers }) => ({
    operator: id,
    partitions,
    readers: Array.from({ length: partitions }, actorOf(id)),
    writers: Array.from({ length: writers }, actorOf(from)).map((actor, i) => ({
      writer: exchangeWriterId(from, i),
      actor,
    })),
  }));
}
