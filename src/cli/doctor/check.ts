/** What `millrace doctor` says of one thing, and how all of them are shown. Pure. */
import type { Paint } from "../colours.js";

export type CheckState = "ok" | "warn" | "fail";

export interface Check {
  readonly name: string;
  readonly state: CheckState;
  /** What was found. */
  readonly found: string;
  /** What to do about it; of "ok" nothing. */
  readonly mend?: string;
  /** Of a failure: whose it is, by exit status. 2: what was given, or this machine; 3: a server. */
  readonly exit?: 2 | 3;
}

export const ok = (name: string, found: string): Check => ({ name, state: "ok", found });
export const warn = (name: string, found: string, mend: string): Check => ({ name, state: "warn", found, mend });
export const fail = (name: string, exit: 2 | 3, found: string, mend: string): Check => ({
  name,
  state: "fail",
  found,
  mend,
  exit,
});

/** What was given comes before what a server does with it: 2 wins over 3. */
export function exitStatus(checks: readonly Check[]): number {
  const exits = checks.flatMap(({ exit }) => exit ?? []);
  return exits.length === 0 ? 0 : Math.min(...exits);
}

const COLOURS = { ok: "green", warn: "yellow", fail: "red" } as const;

export function describeChecks(checks: readonly Check[], paint: Paint): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ name, state, found, mend }) => [
    `${paint(COLOURS[state], state.padEnd(4))}  ${name.padEnd(width)}  ${found}`,
    ...(mend === undefined ? [] : [`      ${" ".repeat(width)}  ${paint("bold", "mend:")} ${mend}`]),
  ]);
  const count = (state: CheckState) => checks.filter((check) => check.state === state).length;
  return `${lines.join("\n")}\n\n${count("ok")} ok, ${count("warn")} to look at, ${count("fail")} wrong\n`;
}
