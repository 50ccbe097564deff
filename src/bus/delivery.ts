/** The last step to a subscriber, shared by every bus: one handler's failure stays its own (B6). */
import { MillraceError } from "../base/errors.js";
import type { Log } from "../base/ports.js";
import type { BusMessage } from "./bus.js";

export type Handler = (message: BusMessage) => void;

export function deliver(handler: Handler, message: BusMessage, log: Log): void {
  try {
    // An async function passes as a handler, too; its rejection must not end the process.
    const result: unknown = handler(message);
    if (result instanceof Promise) result.catch((error: unknown) => report(message, error, log));
  } catch (error) {
    report(message, error, log);
  }
}

function report(message: BusMessage, error: unknown, log: Log): void {
  log.error("a subscriber failed on a message; its subscription goes on", { subject: message.subject, error });
}

export function closedError(what: string): MillraceError {
  return new MillraceError("MILL_BUS_CLOSED", `${what}: the bus is closed. Open a new connection.`);
}

export function noResponderError(subject: string): MillraceError {
  return new MillraceError("MILL_BUS_NO_RESPONDER", `nobody subscribes to ${subject}, so nobody can answer.`, {
    subject,
  });
}

export function timeoutError(subject: string, timeoutMs: number): MillraceError {
  return new MillraceError("MILL_BUS_TIMEOUT", `no answer on ${subject} within ${timeoutMs} ms.`, {
    subject,
    timeoutMs,
  });
}
