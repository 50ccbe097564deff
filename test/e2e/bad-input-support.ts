/** What the tests of bad input have in common: how the command refuses, and what a job left in a folder. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ErrorCode, isErrorCode } from "../../src/base/errors.js";
import { type Ended, MillraceProcess } from "./millrace-process.js";

export interface Refused extends Ended {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface RefusedOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** A command that neither works nor ends within this time hangs. */
const ENDS_WITHIN_MS = 15_000;

/** Runs a command that must refuse what it is given: with one line for people, no stack, and an end of its own. */
export async function refused(args: readonly string[], options: RefusedOptions = {}): Promise<Refused> {
  const command = new MillraceProcess(args, options);
  let hangs = false;
  const timer = setTimeout(() => {
    hangs = true;
    command.kill("SIGKILL");
  }, ENDS_WITHIN_MS);
  const ended = await command.ended;
  clearTimeout(timer);
  const said = `millrace ${args.join(" ")}\n${ended.stdout}\n${ended.stderr}`;
  assert.ok(!hangs, `no end within ${ENDS_WITHIN_MS} ms: ${said}`);
  const line = /^millrace: (MILL_[A-Z_]+): (.+)\n$/m.exec(ended.stderr);
  assert.ok(line !== null && ended.stderr.endsWith(line[0]), `its last line is no error with a code: ${said}`);
  assert.ok(!/^\s+at /m.test(ended.stderr), `a stack is nothing for users: ${said}`);
  const [, code, message] = line as unknown as [string, string, string];
  assert.ok(isErrorCode(code), said);
  return { ...ended, code, message };
}

/** Exit status and code at once, so that a failure shows both and the message. */
export function assertRefused(refusal: Refused, status: number, code: ErrorCode, ...says: readonly RegExp[]): void {
  const { message } = refusal;
  assert.deepEqual({ status: refusal.status, code: refusal.code }, { status, code }, message);
  for (const part of says) assert.match(message, part);
}

/** Every file below, by path; empty where there is no folder. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** The rows of every JSON Lines file below. */
export async function rowsBelow<Row>(folder: string): Promise<Row[]> {
  const files = await Promise.all((await filesBelow(folder)).map((file) => readFile(file, "utf8")));
  return files.flatMap((text) => text.split("\n").filter((line) => line !== "")).map((line) => JSON.parse(line) as Row);
}
