/** Processes of benches that keep memory as hosts and instances do, and what is heard of them. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { CHILD_ENVIRONMENT, CHILD_FLAGS } from "../src/cli/child-memory.js";

/** @param program a file of this folder, as it is compiled */
export function forkAsHost(
  program: string,
  args: readonly string[] = [],
  env: NodeJS.ProcessEnv = process.env,
): ChildProcess {
  const file = fileURLToPath(new URL(program, import.meta.url));
  return fork(file, [...args], { execArgv: [...CHILD_FLAGS], env: { ...CHILD_ENVIRONMENT, ...env } });
}

/** The next message. @throws where the process ends first */
export async function answerOf(child: ChildProcess): Promise<unknown> {
  const late = new AbortController();
  const ended = once(child, "exit", { signal: late.signal }).then(([status]) => {
    throw new Error(`a process of the bench ended with status ${status}`);
  });
  ended.catch(() => {});
  const [answer] = (await Promise.race([once(child, "message", { signal: late.signal }), ended])) as [unknown];
  late.abort();
  return answer;
}
