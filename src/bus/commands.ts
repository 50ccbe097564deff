/**
 * The receiving end of the coordinator's commands, which every process that obeys one shares: it decodes, refuses what is
 * unknown or of an older term (rule 9), lets the owner act, and acknowledges with the error, if there was one.
 */
import { MillraceError } from "../base/errors.js";
import type { Log } from "../base/ports.js";
import { acknowledgementFrame } from "../wire/control.js";
import { decodeFrame } from "../wire/frames.js";
import type { Bus, BusMessage, Subscription } from "./bus.js";
import { publishLossy } from "./publish-lossy.js";

export interface CommandOptions {
  readonly bus: Bus;
  readonly log: Log;
  /** Who obeys, for errors: "a host". */
  readonly who: string;
  /** Kinds of frames that are commands here; each has a `term`. */
  readonly kinds: ReadonlySet<string>;
  obey(kind: string, header: unknown): void | Promise<void>;
}

export class Commands {
  /** The highest seen. */
  #term = 0n;

  constructor(private readonly options: CommandOptions) {}

  async subscribe(subject: string): Promise<Subscription> {
    return this.options.bus.subscribe(subject, (message) => void this.#take(message));
  }

  async #take({ payload, replyTo }: BusMessage): Promise<void> {
    const { bus, log } = this.options;
    let [code, message] = ["", ""];
    try {
      await this.#obey(payload);
    } catch (cause) {
      const error = MillraceError.from(cause);
      log.error("a command failed", { error });
      [code, message] = [error.code, error.message];
    }
    if (replyTo !== undefined) await publishLossy(bus, log, replyTo, acknowledgementFrame.encode({ code, message }));
  }

  async #obey(payload: Uint8Array): Promise<void> {
    const { who, kinds, obey } = this.options;
    const { kind, header } = decodeFrame(payload);
    if (!kinds.has(kind))
      throw new MillraceError("MILL_COMMAND_REFUSED", `${who} does not know the command "${kind}".`);
    const { term } = header as { readonly term: bigint };
    if (term < this.#term) {
      throw new MillraceError("MILL_TERM_OVER", `term ${term} is over; the coordinator of term ${this.#term} leads.`);
    }
    this.#term = term;
    await obey(kind, header);
  }
}
