/**
 * Sends commands to workers and hosts, and brings back what they answered. A command that is under way, or was answered just now, is
 * not sent again (K2).
 */
import { ERROR_CODES, isErrorCode } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { acknowledgementFrame } from "../wire/control.js";
import type { JobBook } from "./job-book.js";
import type { Then } from "./region-runner.js";

export interface CommandsOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  /** @param book undefined: the answer is about no job */
  look(book: JobBook | undefined): void;
  /** Whoever was asked follows another coordinator (K4). */
  deposed(by: string): void;
}

export class Commands {
  #underWay = new Set<string>();

  constructor(private readonly options: CommandsOptions) {}

  /** Asks, and looks again when answered. @param book whose job fails at a refusal that nothing else is said about */
  send(book: JobBook | undefined, subject: string, frame: Uint8Array, then: Then): void {
    const question = `${subject} ${Buffer.from(frame).toString("latin1")}`;
    if (this.#underWay.has(question)) return;
    this.#underWay.add(question);
    const { bus, ports, look, deposed } = this.options;
    const ask = async () => {
      try {
        const answer = await bus.request(subject, frame, { timeoutMs: limits.deployTimeoutMs });
        const { code, message } = acknowledgementFrame.decode(answer.payload).header;
        if (code === "MILL_TERM_OVER") return deposed(message);
        if (code === "") then.done?.();
        else if (then.refused !== undefined) then.refused(code, message);
        else if (!isPassing(code)) book?.onRefused(code, message);
        if (code !== "" || then.done !== undefined) look(book);
      } catch (error) {
        // The loss of a worker or host shows in its reports; asking again is the next look's business.
        ports.log.debug("a command was not answered", { subject, error });
      } finally {
        ports.clock.after(limits.heartbeatIntervalMs, () => this.#underWay.delete(question));
      }
    };
    void ask();
  }
}

/** A refusal that says no more than that the other side knows better, or one that may pass: asked again, if still needed. */
export function isPassing(code: string): boolean {
  return code === "MILL_COMMAND_REFUSED" || (isErrorCode(code) && ERROR_CODES[code].retry === "backoff");
}
