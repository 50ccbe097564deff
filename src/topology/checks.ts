/**
 * What the language refuses of what it is given, with an error that names operator and column. TypeScript has refused most of it
 * before; this is for plain JavaScript and for casts.
 */
import { MillraceError } from "../base/errors.js";
import { type Columns, type ColumnType, t } from "../types/columns.js";
import { ownRow } from "../types/own-row.js";

/** What accumulators start as, if it fits their columns. */
export function checkInitial(operator: string, columns: Columns, initial: unknown): unknown {
  if (initial === undefined) return undefined;
  try {
    return ownRow(columns, initial as never);
  } catch (cause) {
    const { message, facts } = MillraceError.from(cause);
    const what = `operator "${operator}": its initial accumulator does not fit: ${message}`;
    throw new MillraceError("MILL_TOPOLOGY_TYPE", what, { ...facts, operator }, { cause });
  }
}

/** Only a topology without types gets here: without this, every row of it would become a bad record. */
export function checkFunction(operator: string, fn: unknown): void {
  if (typeof fn === "function") return;
  const found = typeof fn === "object" ? "an object" : String(fn);
  throw new MillraceError("MILL_TOPOLOGY_TYPE", `operator "${operator}": its function is ${found}; give a function.`, {
    operator,
  });
}

/** For topologies without types too. */
export function checkTypes(operator: string, columns: unknown, option: "to" | "state" = "to"): void {
  if (typeof columns !== "object" || columns === null) {
    const [lacks, are] = option === "to" ? ["no columns", "that it emits"] : ["no state", "that it keeps for each key"];
    throw new MillraceError(
      "MILL_TOPOLOGY_TYPE",
      `operator "${operator}": it has ${lacks}. Give { ${option}: { name: t.utf8, ... } }, the columns ${are}.`,
      { operator },
    );
  }
  for (const [column, type] of Object.entries(columns as Record<string, ColumnType | null | undefined>)) {
    if (type?.arrow !== undefined) continue;
    throw new MillraceError(
      "MILL_TOPOLOGY_TYPE",
      `operator "${operator}": column "${column}" is of no type. Use one of t: ${Object.keys(t).join(", ")}.`,
      { operator, column },
    );
  }
}

export function positive(what: string, value: number): number {
  if (!Number.isInteger(value) || value < 1) {
    throw new MillraceError("MILL_CONFIG", `${what} is ${value}; give a whole number from 1 on.`, { value });
  }
  return value;
}

export function interval(topology: string, value: number): number {
  if (!Number.isInteger(value) || value < 0) {
    throw new MillraceError(
      "MILL_CONFIG",
      `checkpointIntervalMs of topology "${topology}" is ${value}; give a whole number of milliseconds, or 0 for one checkpoint at the end.`,
      { value },
    );
  }
  return value;
}

export function inlineLimit(topology: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new MillraceError(
      "MILL_CONFIG",
      `inlineLimitBytes of topology "${topology}" is ${value}; give a whole number of bytes from 0 on.`,
      { value },
    );
  }
  return value;
}

export function atLeastOne(operator: string, names: readonly string[]): void {
  if (names.length > 0) return;
  throw new MillraceError("MILL_TOPOLOGY_COLUMN", `operator "${operator}": name at least one column.`, { operator });
}

/** @param prefix of the name in messages, where `columns` are those of a list's elements */
export function requireColumn(operator: string, columns: Columns, name: string, prefix = "", needer = ""): ColumnType {
  const found = Object.hasOwn(columns, name) ? columns[name] : undefined;
  if (found === undefined) {
    const what = needer === "" ? "its input has no column" : `${needer} needs a column that the stream lacks:`;
    throw new MillraceError(
      "MILL_TOPOLOGY_COLUMN",
      `operator "${operator}": ${what} "${prefix}${name}". It has: ${Object.keys(columns).join(", ")}.`,
      { operator, column: `${prefix}${name}` },
    );
  }
  return found;
}

/** @param needer who needs the columns; it may get values without nulls where it allows them. Empty: the types must be equal. */
export function requireColumns(operator: string, wanted: Columns, given: Columns, prefix = "", needer = ""): void {
  for (const [name, type] of Object.entries(wanted)) {
    const found = requireColumn(operator, given, name, prefix, needer);
    const fits = found.name === type.name || (needer !== "" && t.optional(found).name === type.name);
    if (!fits) {
      const by = needer === "" ? "" : ` by ${needer}`;
      throw new MillraceError(
        "MILL_TOPOLOGY_TYPE",
        `operator "${operator}": column "${prefix}${name}" is ${found.name}, but ${type.name} is needed${by}.`,
        { operator, column: `${prefix}${name}`, found: found.name, needed: type.name },
      );
    }
  }
}
