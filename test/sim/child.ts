/** A simulated child process: what `src/cli/child-process.ts` and `child-main.ts` do with real ones. */
import { MillraceError } from "../../src/base/errors.js";
import { limits } from "../../src/base/limits.js";
import type { Child, Exit } from "../../src/worker/worker.js";
import type { SimProcess } from "./sim-process.js";

/** Between the end of a process and its parent's knowledge of it. */
const NOTICE_MS = 5;

/** @param start runs in the child and returns how to stop it */
export function startChild(
  parent: SimProcess,
  child: SimProcess,
  bootMs: number,
  start: () => Promise<() => Promise<void>>,
): Child {
  let words: Exit | undefined;
  let stop: (() => Promise<void>) | undefined;
  let ending = false;
  const exited = new Promise<Exit>((resolve) => {
    child.onEnd((how) => {
      const exit = words ?? { code: "MILL_SERVICE_LOST", message: `it was ended by ${how}` };
      parent.later(NOTICE_MS, `notices the end of ${child.name}`, () => resolve(exit));
    });
  });
  const end = () => {
    words = { code: "", message: "" };
    child.end("it has stopped");
  };
  const fail = (cause: unknown) => {
    if (child.isDead) return;
    const { code, message } = MillraceError.from(cause);
    words = { code, message };
    child.end(`${code}: ${message}`);
  };
  const finish = () => {
    if (ending) return;
    ending = true;
    void Promise.resolve(stop?.()).then(end, fail);
  };
  child.later(bootMs, "starts", () => {
    start().then((stopper) => {
      stop = stopper;
      if (ending) void stopper().then(end, fail);
    }, fail);
  });
  parent.onEnd(() => child.later(NOTICE_MS, "its parent has gone", finish));
  return {
    exited,
    stop() {
      child.later(NOTICE_MS, "SIGTERM", finish);
      parent.later(limits.drainTimeoutMs, `SIGKILL to ${child.name}`, () => child.end("SIGKILL"));
    },
  };
}
