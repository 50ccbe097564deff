/**
 * A handler in another language: a program that speaks the frames over NATS itself. Its instance is that program, started by
 * the worker in place of ours, and told by one environment variable who it is (docs/services.md, "Another language").
 */
import { MillraceError } from "../../base/errors.js";
import type { Handler } from "../../topology/service.js";
import type { Columns } from "../../types/columns.js";

/** Settings of `command`: the program that is an instance. */
export interface CommandSpec {
  /** Program and arguments. `{name}` stands for the path of that asset where the program runs. */
  readonly run: readonly [string, ...string[]];
  /** Files of the program, by name; see `Handler.assets`. */
  readonly assets?: Readonly<Record<string, string>>;
}

interface CommandHandler<I extends Columns, O extends Columns> extends Handler<I, O> {
  readonly run: readonly string[];
}

/** @throws {MillraceError} `MILL_CONFIG` for a `{name}` that is no asset */
export function command<I extends Columns, O extends Columns>({ run, assets = {} }: CommandSpec): Handler<I, O> {
  filledIn(run, (name) => assets[name]); // so that a wrong name is found here
  const made: CommandHandler<I, O> = {
    kind: "command",
    assets,
    run,
    load: () => Promise.reject(new MillraceError("MILL_INTERNAL", "a command was loaded and not run.")),
  };
  return made;
}

/** Program and arguments of a handler that `command` made; undefined: it is another kind. */
export function commandOf(
  handler: Handler<Columns, Columns>,
  asset: (name: string) => string | undefined,
): readonly string[] | undefined {
  if (handler.kind !== "command" || !("run" in handler)) return undefined;
  return filledIn((handler as CommandHandler<Columns, Columns>).run, asset);
}

function filledIn(run: readonly string[], asset: (name: string) => string | undefined): readonly string[] {
  return run.map((part) =>
    part.replace(/\{([^{}]*)\}/g, (_, name: string) => {
      const path = asset(name);
      if (path !== undefined) return path;
      throw new MillraceError("MILL_CONFIG", `command({ run }): {${name}} is no asset of it. Declare it in assets.`);
    }),
  );
}
