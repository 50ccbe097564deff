/** Asks before harm is done. Where nobody can be asked, who calls says `--yes` beforehand: a script must not hang, nor do harm by mistake. */
import { createInterface } from "node:readline/promises";
import { MillraceError } from "../base/errors.js";

/** @param what is about to be done, as a question @returns whether to do it @throws {MillraceError} `MILL_CONFIG`: there is nobody to ask */
export async function consent(what: string, yes: boolean): Promise<boolean> {
  if (yes) return true;
  if (process.stdin.isTTY !== true || process.stderr.isTTY !== true)
    throw new MillraceError("MILL_CONFIG", `${what} There is no terminal to answer at; give --yes, and it is done.`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // Ctrl-D and Ctrl-C close it without an answer.
    const closed = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
    const answer = await Promise.race([terminal.question(`${what} [y/N] `), closed]);
    if (/^y(es)?$/i.test(answer.trim())) return true;
  } finally {
    terminal.close();
  }
  process.stderr.write("nothing was changed\n");
  return false;
}
