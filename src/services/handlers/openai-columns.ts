/** The columns that the OpenAI handlers read and write, found by name where a service is loaded. */
import { MillraceError } from "../../base/errors.js";
import type { HandlerContext } from "../../topology/service.js";
import type { ColumnType } from "../../types/columns.js";

/** @throws {MillraceError} `MILL_TOPOLOGY_COLUMN`, `MILL_TOPOLOGY_TYPE` */
export function columnTyped(
  way: "input" | "output",
  name: string,
  types: readonly string[],
  option: string,
  context: HandlerContext,
): ColumnType {
  const columns = context[way];
  const type = columns[name];
  const where = `service "${context.service}": its ${way}`;
  if (type === undefined) {
    const there = Object.keys(columns).join(", ");
    const text = `${where} has no column "${name}" (it has ${there}). Declare it, or name another one in ${option}.`;
    throw new MillraceError("MILL_TOPOLOGY_COLUMN", text, { service: context.service, column: name });
  }
  if (types.includes(type.name)) return type;
  const text = `${where} column "${name}" is ${type.name}. Declare it as ${types.join(" or ")}, or name another one in ${option}.`;
  throw new MillraceError("MILL_TOPOLOGY_TYPE", text, { service: context.service, column: name });
}

/** @throws {MillraceError} `MILL_TOPOLOGY_COLUMN` for an output column that the handler has nothing for */
export function noOtherColumns(known: readonly string[], context: HandlerContext): void {
  const other = Object.keys(context.output).find((name) => !known.includes(name));
  if (other === undefined) return;
  throw new MillraceError(
    "MILL_TOPOLOGY_COLUMN",
    `service "${context.service}": nothing fills its output column "${other}". There are: ${known.join(", ")}.`,
    { service: context.service, column: other },
  );
}

/** Statuses with which a server refuses what is in a row, and not the caller or the address. */
export function isOfTheRow(error: unknown): error is MillraceError {
  return MillraceError.is(error) && [400, 413, 422].includes(Number(error.facts.status));
}
