/**
 * What our child programs have in common: settings by message, an end when told to or when the parent is gone.
 *
 * A child that is told to stop and does not is killed by its parent, with all that it has started. One without a parent has to do that
 * itself, or it would hold its memory and its accelerator for ever.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { ChildFailure } from "./child-process.js";
import { keepSecretsOf } from "./environment-secrets.js";
import { endOwnGroup } from "./process-group.js";

/**
 * Runs `start` with the parent's settings; it returns how to stop, and may call `fail` later. Ends the process with status 0 after that, or
 * with 1 after having told the parent what failed.
 *
 * @param drainTimeoutMs how long stopping may take once the parent is gone
 */
export function runChild<Config>(
  start: (config: Config, fail: (cause: unknown) => void) => Promise<() => Promise<void>>,
  drainTimeoutMs: number = limits.drainTimeoutMs,
): void {
  keepSecretsOf(process.env);
  let stop: (() => Promise<void>) | undefined;
  let ending = false;
  const end = (status: number) => {
    // `process.exit` while a native model call is under way would abort; there is none when we get here.
    process.exit(status);
  };
  const fail = (cause: unknown) => {
    const error = MillraceError.from(cause);
    const failure: ChildFailure = { code: error.code, message: error.message };
    if (process.connected) process.send?.(failure, () => end(1));
    else end(1);
  };
  const finish = () => {
    if (ending) return;
    ending = true;
    void Promise.resolve(stop?.()).then(() => end(0), fail);
  };
  process.once("SIGTERM", finish);
  process.once("disconnect", () => {
    // As the parent would have done; `process.exit` waits for nothing either, but a native call under way would abort it.
    setTimeout(endOwnGroup, drainTimeoutMs);
    finish();
  });
  process.once("uncaughtException", fail);
  process.once("unhandledRejection", fail);
  process.once("message", (config) => {
    start(config as Config, fail).then((stopper) => {
      stop = stopper;
      if (ending) void stopper().then(() => end(0), fail);
    }, fail);
  });
}
