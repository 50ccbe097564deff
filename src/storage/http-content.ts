/**
 * Content at `http:` and `https:` addresses, from servers that nobody vouches for.
 *
 * Invariants:
 *   H1  Nothing is asked of a host or an address that the policy does not allow, also after redirects; see `http-content-addresses.ts`.
 *   H2  No wait without an end: for the connection, the answer, the next piece, and for all of it. Time in which the caller works on a
 *       piece does not count.
 *   H3  No more than `sizeBytesMax` bytes are taken, whatever the server says of the length. Nothing is unpacked: packed answers are refused.
 *   H4  What is handed out are the bytes that were asked for, of one version: an answer that breaks off is continued only where the server
 *       says that the rest belongs to what was begun.
 *   H5  User and password of an address go to its own origin only. No proxy of the environment is used.
 *   H6  Connections are kept for further requests; of one host, no more than `concurrencyPerHost` answers are under way.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import { retryAfterMs } from "../base/retry-after.js";
import type { ContentReadOptions } from "./content-store.js";
import type { Resolve } from "./http-content-addresses.js";
import { isBehindEnd, lengthOf, otherVersion, type Part, partOf, validatorOf } from "./http-content-answer.js";
import { type HttpBody, HttpContentClient } from "./http-content-client.js";
import { Broken, failure, statusFailure, Transient } from "./http-content-errors.js";
import { TimeLeft } from "./http-content-waits.js";
import { checkRange, joined } from "./object-calls.js";

/** Whom to ask, how much to take, how long to wait. */
export interface HttpContentPolicy {
  /** Hosts that may be asked: `example.com`, `*.example.com`, `example.com:8443`. Default: any of the public internet. */
  readonly allowedHosts?: readonly string[];
  /**
   * Which addresses that are not of the public internet may be connected to: all of them, or those in ranges such as `10.1.0.0/16`.
   * Default false: none.
   */
  readonly allowPrivateAddresses?: boolean | readonly string[];
  /** Bytes of one object, or of the part that is read. Default 4 GiB; what is held in memory, 512 MiB at most. */
  readonly sizeBytesMax?: number;
  /** Time for a connection to come about, ms. Default 10,000. */
  readonly connectTimeoutMs?: number;
  /** Time until an answer begins, ms. Default 30,000. */
  readonly answerTimeoutMs?: number;
  /** Silence within an answer, ms. Default 30,000. */
  readonly idleTimeoutMs?: number;
  /** All attempts together, with the pauses and waits between them, ms. Default 600,000. */
  readonly timeoutMs?: number;
  /** Answers of one host under way at a time. Default 8. */
  readonly concurrencyPerHost?: number;
  /** Attempts in a row that bring nothing. Default 4. */
  readonly attemptsMax?: number;
}

export interface HttpContentOptions extends HttpContentPolicy {
  readonly ports: Pick<Ports, "clock" | "random">;
  /** How names are resolved. Default: as the machine does. */
  readonly resolve?: Resolve;
}

export interface HttpContentInfo {
  /** Bytes of the whole object; -1n: not said. */
  readonly sizeBytes: bigint;
  /** As the server says, without parameters; empty: it does not. */
  readonly mediaType: string;
  /** Changes when the content does; empty: nothing says. */
  readonly version: string;
}

export interface FetchedContent extends HttpContentInfo {
  readonly bytes: Uint8Array;
}

/** One read: how far it has come. */
interface Read {
  readonly uri: string;
  readonly from: number;
  readonly to: number;
  readonly sizeBytesMax: number;
  readonly time: TimeLeft;
  /** Next byte that is wanted. */
  at: number;
  /** What the first answer said. */
  begun: Part | undefined;
  info: HttpContentInfo;
  /** Failed attempts since `mark`, which moves on with each 8 MiB: what breaks off now and then is not what never gets on. */
  failed: number;
  mark: number;
}

const NOTHING_KNOWN: HttpContentInfo = { sizeBytes: -1n, mediaType: "", version: "" };

/** @throws {MillraceError} `MILL_CONFIG` */
export function checkPolicy(policy: HttpContentPolicy): void {
  new HttpContentClient(clientSettings(policy));
  const { sizeBytesMax, timeoutMs, attemptsMax } = policy;
  for (const [option, value] of Object.entries({ sizeBytesMax, timeoutMs, attemptsMax, ...clientTimes(policy) })) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= 1)) continue;
    throw new MillraceError("MILL_CONFIG", `${option} is ${value}; give a whole number from 1 on.`, { option });
  }
}

function clientTimes(policy: HttpContentPolicy) {
  return {
    connectTimeoutMs: policy.connectTimeoutMs ?? limits.httpConnectTimeoutMs,
    answerTimeoutMs: policy.answerTimeoutMs ?? limits.httpAnswerTimeoutMs,
    idleTimeoutMs: policy.idleTimeoutMs ?? limits.httpIdleTimeoutMs,
    concurrencyPerHost: policy.concurrencyPerHost ?? limits.httpConcurrencyPerHost,
  };
}

function clientSettings(policy: HttpContentPolicy, resolve?: Resolve) {
  const { allowedHosts, allowPrivateAddresses = false } = policy;
  return { allowedHosts, allowPrivateAddresses, resolve, ...clientTimes(policy) };
}

export class HttpContent {
  #client: HttpContentClient;
  #sizeBytesMax: number;

  /** @throws {MillraceError} `MILL_CONFIG` */
  constructor(private readonly options: HttpContentOptions) {
    checkPolicy(options);
    this.#sizeBytesMax = options.sizeBytesMax ?? limits.httpBytesMax;
    this.#client = new HttpContentClient(clientSettings(options, options.resolve));
  }

  /**
   * All of it, or of the range, in memory.
   * @throws {MillraceError} `MILL_CONTENT_ADDRESS`, `MILL_CONTENT_REFUSED`, `MILL_CONTENT_TOO_LARGE`, `MILL_CONTENT_SLOW`,
   *   `MILL_SOURCE_CHANGED`, `MILL_STORE_NOT_FOUND`, `MILL_STORE_REFUSED`, `MILL_STORE_EXPIRED`, `MILL_STORE_UNREACHABLE`, `MILL_STORE_FAILED`
   */
  async get(uri: string, options: ContentReadOptions = {}): Promise<Uint8Array> {
    return (await this.fetch(uri, options)).bytes;
  }

  /** As `get`, with what the server says of it. */
  async fetch(uri: string, options: ContentReadOptions = {}): Promise<FetchedContent> {
    const read = this.#read(uri, options, Math.min(this.#sizeBytesMax, limits.httpMemoryBytesMax));
    for (;;) {
      try {
        const pieces: Uint8Array[] = [];
        for await (const piece of this.#pieces(read)) pieces.push(piece);
        return { bytes: joined(pieces), ...read.info };
      } catch (error) {
        if (!(error instanceof Broken)) throw error;
        // Nobody has seen what came so far: it can be begun anew.
        await this.#pause(read, new Transient(error.error));
        [read.at, read.begun] = [read.from, undefined];
      }
    }
  }

  /** The content in pieces. @throws as `get` */
  async *stream(uri: string, options: ContentReadOptions = {}): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#pieces(this.#read(uri, options, this.#sizeBytesMax));
    } catch (error) {
      throw error instanceof Broken ? error.error : error;
    }
  }

  /** What the server says of it; nothing is read. @throws as `get` */
  async head(uri: string, options: Pick<ContentReadOptions, "signal"> = {}): Promise<HttpContentInfo> {
    const read = this.#read(uri, options, this.#sizeBytesMax);
    return this.#attempts(read, async () => {
      const answer = await this.#ask(read, "HEAD", {});
      answer.close();
      return infoOf(answer, lengthOf(answer));
    });
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #read(uri: string, { range, signal }: ContentReadOptions, sizeBytesMax: number): Read {
    checkRange(range);
    const timeoutMs = this.options.timeoutMs ?? limits.httpTimeoutMs;
    const time = new TimeLeft(this.options.ports.clock, timeoutMs, signal, () =>
      failure(
        "MILL_CONTENT_SLOW",
        { uri },
        `it did not come within ${timeoutMs} ms. Look at the server and the network.`,
      ),
    );
    const from = range?.offset ?? 0;
    const to =
      range === undefined || range.length === Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : from + range.length;
    return {
      uri,
      from,
      to,
      sizeBytesMax,
      time,
      at: from,
      begun: undefined,
      info: NOTHING_KNOWN,
      failed: 0,
      mark: from,
    };
  }

  async *#pieces(read: Read): AsyncGenerator<Uint8Array> {
    while (read.at < read.to) {
      const next = await this.#attempts(read, () => this.#next(read));
      if (next === undefined) return;
      const { answer, part } = next;
      try {
        yield* this.#body(read, answer, part);
      } catch (error) {
        if (!(error instanceof Transient)) throw error;
        if (read.at === read.from) read.begun = undefined;
        else if (part.validator === undefined) throw new Broken(error.error);
        await this.#pause(read, error);
        continue;
      } finally {
        answer.close();
      }
      if (answer.status === 200 || read.at >= (part.total ?? Number.POSITIVE_INFINITY)) return;
      // A server may give less than it was asked for. Then it is asked for the rest.
      if (read.at < read.to && part.validator === undefined) throw new Broken(partOnly(read, answer));
    }
  }

  /** The answer with the next bytes; undefined: there are none. */
  async #next(read: Read): Promise<{ readonly answer: HttpBody; readonly part: Part } | undefined> {
    const wanted = { from: read.at, to: read.to };
    const ranged = read.at > 0 || read.to !== Number.POSITIVE_INFINITY;
    const last = read.to === Number.POSITIVE_INFINITY ? "" : read.to - 1;
    const validator = read.begun?.validator;
    const answer = await this.#ask(read, "GET", {
      ...(ranged && { range: `bytes=${read.at}-${last}` }),
      ...(ranged && validator !== undefined && { "if-range": validator }),
    });
    try {
      if (answer.status === 416) {
        answer.close();
        if (read.begun === undefined ? isBehindEnd(answer, wanted) : read.begun.total === undefined) return undefined;
        throw failure("MILL_STORE_FAILED", answer.asked, `the server has no bytes from ${read.at} on. It is at fault.`);
      }
      const part = partOf(answer, wanted);
      const changed = read.begun && otherVersion(answer, read.begun, part);
      if (changed !== undefined) throw new Broken(changed);
      read.begun ??= part;
      read.info = infoOf(answer, part.total);
      checkSize(read, answer, part);
      return { answer, part };
    } catch (error) {
      answer.close();
      throw error;
    }
  }

  /** What of the answer is wanted: a server that knows no ranges sends all of it. */
  async *#body(read: Read, answer: HttpBody, part: Part): AsyncGenerator<Uint8Array> {
    const pieces = answer.pieces();
    let position = part.from;
    for (;;) {
      const next = await read.time.within(() => pieces.next());
      if (next.done === true) return;
      const { value } = next;
      const [from, to] = [read.at - position, Math.min(value.length, read.to - position)];
      position += value.length;
      if (position - Math.min(part.from, read.from) > read.sizeBytesMax) throw tooLarge(read, answer);
      if (from >= to) continue;
      read.at += to - from;
      if (read.at - read.mark >= limits.storeMultipartBytes) [read.mark, read.failed] = [read.at, 0];
      yield from === 0 && to === value.length ? value : value.subarray(from, to);
      if (read.at >= read.to && position < part.to) return; // else the end is awaited, and the connection can be used again
    }
  }

  async #ask(read: Read, method: "GET" | "HEAD", more: Readonly<Record<string, string>>): Promise<HttpBody> {
    const headers = { accept: "*/*", "accept-encoding": "identity", "user-agent": "millrace", ...more };
    const answer = await this.#client.ask({ method, uri: read.uri, headers, signal: read.time.signal });
    if (answer.status === 200 || answer.status === 206 || answer.status === 416) return answer;
    const waitMs = retryAfterMs(answer, this.options.ports.clock.nowMs());
    const said = await answer.start(limits.httpErrorBytesMax);
    throw statusFailure(answer.asked, answer.status, said, waitMs);
  }

  /** Until one succeeds, or there is no sense in another. */
  async #attempts<T>(read: Read, act: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await read.time.within(act);
      } catch (error) {
        if (!(error instanceof Transient)) throw error;
        await this.#pause(read, error);
      }
    }
  }

  /** @throws {MillraceError} the failure itself, where another attempt is not made */
  async #pause(read: Read, { error, waitMs = 0 }: Transient): Promise<void> {
    read.failed++;
    const { clock, random } = this.options.ports;
    const growing = Math.min(limits.httpBackoffMs * 2 ** (read.failed - 1), limits.httpBackoffMsMax);
    const pauseMs = Math.max(growing * (0.5 + random.next() / 2), waitMs);
    const tooLong = waitMs > limits.httpRetryAfterMsMax || pauseMs >= read.time.ms;
    if (read.failed >= (this.options.attemptsMax ?? limits.httpAttemptsMax) || tooLong) throw error;
    await read.time.within(() => clock.sleep(pauseMs, read.time.signal));
  }
}

function infoOf(answer: HttpBody, total: number | undefined): HttpContentInfo {
  const [mediaType = ""] = (answer.header("content-type") ?? "").split(";");
  return {
    sizeBytes: total === undefined ? -1n : BigInt(total),
    mediaType: mediaType.trim().toLowerCase(),
    version: validatorOf(answer) ?? "",
  };
}

/** What is said to be too much is not begun. */
function checkSize(read: Read, answer: HttpBody, part: Part): void {
  const end = Math.min(read.to, part.total ?? 0);
  if (end - Math.min(part.from, read.from) > read.sizeBytesMax) throw tooLarge(read, answer);
}

function partOnly({ at }: Read, { asked }: HttpBody) {
  const what = `the server gave a part of what was asked for, up to byte ${at}, and nothing that says of which version it is.`;
  return failure("MILL_STORE_FAILED", asked, `${what} It is at fault.`);
}

function tooLarge({ sizeBytesMax }: Read, { asked }: HttpBody) {
  return failure(
    "MILL_CONTENT_TOO_LARGE",
    asked,
    `more than ${sizeBytesMax} bytes would have to be read. Raise sizeBytesMax if content may be that large.`,
  );
}
