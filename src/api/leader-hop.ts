/**
 * Requests that only the coordinator that leads can answer. Where another took them, they go on over the bus, whole, and so does the
 * answer: there is one implementation of each route, and coordinators need not know one another's addresses.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Log } from "../base/ports.js";
import type { Bus, Subscription } from "../bus/bus.js";
import { publishLossy } from "../bus/publish-lossy.js";
import { type ApiRequest, type ApiResponse, apiRequestFrame, apiResponseFrame } from "../wire/control.js";

export interface Hop {
  readonly header: ApiRequest;
  readonly body: Uint8Array;
}

export interface HopAnswer {
  readonly header: ApiResponse;
  readonly body: Uint8Array;
}

/** Of a request: what routes read. */
const PASSED_ON: ReadonlySet<string> = new Set([
  "content-type",
  "accept",
  "if-match",
  "if-none-match",
  "idempotency-key",
]);
/** Of an answer. */
const PASSED_BACK: ReadonlySet<string> = new Set([
  "content-type",
  "etag",
  "location",
  "retry-after",
  "cache-control",
  "link",
]);

type Headers = Readonly<Record<string, string | number | readonly string[] | undefined>>;

function some(headers: Headers, names: ReadonlySet<string>): Record<string, string> {
  const kept = Object.entries(headers).filter(([name, value]) => names.has(name) && value !== undefined);
  return Object.fromEntries(kept.map(([name, value]) => [name, String(value)]));
}

export const headersOfRequest = (headers: Headers): Record<string, string> => some(headers, PASSED_ON);
export const headersOfAnswer = (headers: Headers): Record<string, string> => some(headers, PASSED_BACK);

/** @throws {MillraceError} `MILL_NO_LEADER`: nobody leads, or who does did not answer in time */
export async function askLeader(bus: Bus, subject: string, { header, body }: Hop): Promise<HopAnswer> {
  try {
    const timeoutMs = limits.apiHopTimeoutMs;
    const { payload } = await bus.request(subject, apiRequestFrame.encode(header, body), { timeoutMs });
    const answer = apiResponseFrame.decode(payload);
    return { header: answer.header, body: answer.payload };
  } catch (cause) {
    const error = MillraceError.from(cause);
    if (error.code !== "MILL_BUS_NO_RESPONDER" && error.code !== "MILL_BUS_TIMEOUT") throw error;
    const message = "no coordinator leads at the moment. Jobs go on; another takes over within seconds. Ask again.";
    throw new MillraceError("MILL_NO_LEADER", message, {}, { cause });
  }
}

/** The leader's side. */
export function answerHops(
  bus: Bus,
  subject: string,
  log: Log,
  answer: (hop: Hop) => Promise<HopAnswer>,
): Promise<Subscription> {
  return bus.subscribe(subject, ({ payload, replyTo }) => {
    const act = async () => {
      if (replyTo === undefined) return;
      try {
        const { header, payload: body } = apiRequestFrame.decode(payload);
        const { header: head, body: back } = await answer({ header, body });
        await publishLossy(bus, log, replyTo, apiResponseFrame.encode(head, back));
      } catch (error) {
        log.warn("a request of another coordinator could not be answered", { error });
      }
    };
    void act();
  });
}
