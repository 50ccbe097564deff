/**
 * Requests to one bucket: the client, attempts with growing pauses, and errors that name the store.
 *
 * The client's own retries are off. Its pauses cannot be cancelled, and it does not try again when an answer
 * breaks off in its body; one loop here does both for every request, with the limits of `src/base/limits.ts`.
 */
import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import { keepSecret } from "../base/secrets.js";
import { explain, isTransient, type S3Place, whereIs } from "./s3-errors.js";
import { WholeBodies } from "./whole-bodies.js";

export interface S3Options {
  readonly endpoint?: string;
  readonly region?: string;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
  /** Silence after which a request counts as failed; `limits.storeRequestTimeoutMs` if left out. */
  readonly requestTimeoutMs?: number;
}

export class S3Calls {
  readonly client: S3Client;
  /** For what is wanted whole, by those who check it themselves: asks for no checksums, and gives each body in one piece where it can. */
  readonly unchecked: S3Client;
  readonly where: string;
  #place: S3Place;

  constructor(
    readonly bucket: string,
    readonly url: string,
    options: S3Options,
    readonly ports: Ports,
  ) {
    for (const secret of [options.secretAccessKey, options.sessionToken]) keepSecret(secret);
    this.#place = { url, bucket, endpoint: withoutCredentials(options.endpoint) };
    this.where = whereIs(this.#place);
    this.client = makeClient(options);
    this.unchecked = new S3Client({
      ...clientConfig(options),
      requestHandler: new WholeBodies(this.client.config.requestHandler, silences(options)),
      responseChecksumValidation: "WHEN_REQUIRED",
    });
  }

  /**
   * The answer of `request`, which is made again while it fails in a way that may pass.
   * @throws {MillraceError} see `s3-errors.ts`; the signal's reason when it is aborted, also in a pause
   */
  async call<T>(
    key: string,
    signal: AbortSignal | undefined,
    request: (options: { abortSignal?: AbortSignal }, attempt: number) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      try {
        return await request(signal === undefined ? {} : { abortSignal: signal }, attempt);
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        if (!isTransient(error) || attempt >= limits.storeAttemptsMax) throw this.explain(key, error);
        await this.pause(key, attempt, error, signal);
      }
    }
  }

  explain(key: string, error: unknown): MillraceError {
    return explain(this.#place, key, error);
  }

  /** Waits before attempt `attempt + 1`: twice as long each time, less up to a half, so that many do not come back at once. */
  async pause(key: string, attempt: number, error: unknown, signal: AbortSignal | undefined): Promise<void> {
    const { clock, log, random } = this.ports;
    const pauseMs = Math.min(limits.storeBackoffMsMax, limits.storeBackoffMs * 2 ** (attempt - 1));
    const { name, message } = error as Error;
    log.debug("object store: trying again", { url: this.url, key, attempt, error: `${name}: ${message}` });
    await clock.sleep(pauseMs * (1 - random.next() / 2), signal);
  }

  /** A signal for `act` that is aborted after `boundMs`, or with `outer`. */
  async within<T>(
    boundMs: number,
    outer: AbortSignal | undefined,
    act: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const bound = new AbortController();
    const timer = this.ports.clock.after(boundMs, () =>
      bound.abort(
        new MillraceError(
          "MILL_STORE_UNREACHABLE",
          `${this.where} did not answer within ${boundMs} ms. Start it (compose.yaml has one), or set AWS_ENDPOINT_URL_S3.`,
          { url: this.url },
        ),
      ),
    );
    try {
      return await act(outer === undefined ? bound.signal : AbortSignal.any([outer, bound.signal]));
    } finally {
      timer.cancel();
    }
  }
}

function makeClient(options: S3Options): S3Client {
  const { connectTimeoutMs, silenceMs } = silences(options);
  return new S3Client({
    ...clientConfig(options),
    // Not `requestTimeout`: by default that one only logs, and it would limit how long a large part may take.
    requestHandler: { connectionTimeout: connectTimeoutMs, socketTimeout: silenceMs },
  });
}

function silences({ requestTimeoutMs = limits.storeRequestTimeoutMs }: S3Options) {
  return { connectTimeoutMs: limits.storeConnectTimeoutMs, silenceMs: requestTimeoutMs };
}

function clientConfig({ endpoint, region, ...options }: S3Options): S3ClientConfig {
  const { accessKeyId, secretAccessKey, sessionToken } = options;
  const keys = accessKeyId !== undefined && secretAccessKey !== undefined;
  return {
    region: region ?? "us-east-1",
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    ...(keys
      ? { credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) } }
      : {}),
    maxAttempts: 1,
    // With "Expect: 100-continue" each body of 2 MiB or more would have a new connection, and wait for leave on it: 6 s where none comes.
    expectContinueHeader: false,
  };
}

/** @throws {MillraceError} `MILL_CONFIG` */
function withoutCredentials(endpoint: string | undefined): string | undefined {
  if (endpoint === undefined) return undefined;
  if (!URL.canParse(endpoint)) {
    throw new MillraceError(
      "MILL_CONFIG",
      `the address of the S3 server is no URL. Set AWS_ENDPOINT_URL_S3 to one like http://127.0.0.1:9000.`,
    );
  }
  const { protocol, host, pathname } = new URL(endpoint);
  return `${protocol}//${host}${pathname === "/" ? "" : pathname}`;
}
