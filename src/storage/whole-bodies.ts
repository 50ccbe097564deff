/**
 * HTTP for reads whose reader wants all of the body in memory: the system writes it where it is to lie. Node's own client reads each
 * piece into new memory, copies it out of its parser, and leaves the pieces to be put together: two to three times as much processor
 * time for 5 MB, most of it for memory that is thrown away.
 *
 * Invariants:
 *   B1  An answer comes when all of its body has; one of a stated length comes as one piece. A body that breaks off comes as far as it
 *       got, and then fails.
 *   B2  Only `GET` over `http:`. The rest is left to the client's own handler: TLS decrypts into memory of its own.
 *   B3  A connection is used again only when its answer was whole, and as long as it says nothing that it was not asked. One that the server
 *       has closed meanwhile costs no attempt: the question is put once more.
 */
import { connect, type Socket } from "node:net";
import { Readable } from "node:stream";
import { HTTPParser } from "http-parser-js";

/** As the client for S3 makes it. */
export interface HttpRequest {
  readonly protocol: string;
  readonly method: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
}

/** What that client asks for answers. */
export interface HttpHandler {
  handle(request: HttpRequest, options?: { readonly abortSignal?: unknown }): Promise<HttpAnswer>;
}

export interface HttpAnswer {
  readonly response: {
    readonly statusCode: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: Readable;
  };
}

export interface WholeBodiesOptions {
  readonly connectTimeoutMs: number;
  /** Silence after which a connection is given up. */
  readonly silenceMs: number;
}

/** Less than servers wait for the next request. */
const IDLE_MS = 4_000;
/** What the head of an answer is read into, and what comes in chunks. */
const SCRATCH_BYTES = 16 * 1024;

export class WholeBodies implements HttpHandler {
  readonly #idle = new Map<string, Connection[]>();
  readonly #all = new Set<Connection>();

  constructor(
    private readonly others: HttpHandler,
    private readonly options: WholeBodiesOptions,
  ) {}

  handle(request: HttpRequest, options: { readonly abortSignal?: unknown } = {}): Promise<HttpAnswer> {
    if (request.protocol !== "http:" || request.method !== "GET") return this.others.handle(request, options);
    return this.#ask(request, options.abortSignal as AbortSignal | undefined);
  }

  destroy(): void {
    for (const connection of this.#all) connection.close();
  }

  async #ask(request: HttpRequest, signal: AbortSignal | undefined): Promise<HttpAnswer> {
    const idle = this.#idle.get(placeOf(request))?.pop();
    try {
      return await this.#askOn(idle ?? this.#open(request), request, signal);
    } catch (error) {
      if (idle?.saidNothing !== true || isOver(error)) throw error;
      return this.#askOn(this.#open(request), request, signal);
    }
  }

  async #askOn(connection: Connection, request: HttpRequest, signal: AbortSignal | undefined): Promise<HttpAnswer> {
    const abort = () => connection.close(Object.assign(new Error("aborted"), { name: "AbortError" }));
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      const answer = await connection.ask(headOf(request));
      if (connection.isFree) this.#keep(placeOf(request), connection);
      const { status, headers } = answer;
      return { response: { statusCode: status, headers, body: Readable.from(piecesOf(answer)) } };
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  #open({ hostname, port = 80 }: HttpRequest): Connection {
    const connection: Connection = new Connection(hostname, port, this.options, () => {
      this.#all.delete(connection);
      for (const idle of this.#idle.values()) {
        const at = idle.indexOf(connection);
        if (at >= 0) idle.splice(at, 1);
      }
    });
    this.#all.add(connection);
    return connection;
  }

  #keep(place: string, connection: Connection): void {
    const idle = this.#idle.get(place);
    if (idle === undefined) this.#idle.set(place, [connection]);
    else idle.push(connection);
  }
}

/** An answer, while it comes and afterwards. */
class Answer {
  status = 0;
  headers: Record<string, string> = {};
  failure: Error | undefined;
  isWhole = false;
  isLast = true;
  /** Of a stated length. */
  bytes: Buffer | undefined;
  /** So much of `bytes` has come. */
  got = 0;
  /** Of another length. */
  readonly pieces: Buffer[] = [];
  readonly #parser = new HTTPParser(HTTPParser.RESPONSE);

  constructor() {
    this.#parser[HTTPParser.kOnHeadersComplete] = ({ statusCode, headers, shouldKeepAlive }) => {
      if (this.status >= 200) throw invalid("there is more behind the answer");
      [this.headers, this.isLast] = [{}, !shouldKeepAlive];
      for (let i = 0; i < headers.length; i += 2) {
        const [name, value] = [headers[i]!.toLowerCase(), headers[i + 1]!];
        this.headers[name] = name in this.headers ? `${this.headers[name]}, ${value}` : value;
      }
      const { "content-length": length, "transfer-encoding": encoding } = this.headers;
      if (length !== undefined && encoding === undefined) {
        if (!/^\d+$/.test(length)) throw invalid("the length of the body is no number");
        this.bytes = Buffer.allocUnsafeSlow(Number(length));
      }
      this.status = statusCode;
    };
    this.#parser[HTTPParser.kOnBody] = (chunk, offset, length) => {
      const piece = chunk.subarray(offset, offset + length);
      if (this.bytes === undefined) this.pieces.push(Buffer.from(piece));
      else this.bytes.set(piece, this.got);
      this.got += length;
    };
    this.#parser[HTTPParser.kOnMessageComplete] = () => {
      this.isWhole = this.status >= 200;
    };
  }

  /** Where the system is to write what comes next; undefined: it has to be looked through. */
  get rest(): Uint8Array | undefined {
    return this.bytes === undefined || this.got === this.bytes.length ? undefined : this.bytes.subarray(this.got);
  }

  /** @throws where it is no HTTP */
  lookThrough(scratch: Buffer, count: number): void {
    const parsed = this.#parser.execute(scratch, 0, count);
    if (parsed instanceof Error) throw invalid(parsed.message);
  }

  /** So much was written into `rest`. */
  filled(count: number): void {
    this.got += count;
    this.isWhole = this.got === this.bytes!.length;
  }

  /** Nothing more comes. That is the end of a body that has no other. */
  close(): void {
    this.#parser.finish();
  }
}

async function* piecesOf({ bytes, got, pieces, failure }: Answer): AsyncGenerator<Uint8Array> {
  if (bytes !== undefined) yield got === bytes.length ? bytes : bytes.subarray(0, got);
  yield* pieces;
  if (failure !== undefined) throw failure;
}

class Connection {
  readonly #socket: Socket;
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  #coming: { readonly answer: Answer; resolve(answer: Answer): void; reject(error: Error): void } | undefined;
  #closed: Error | undefined;
  /** To the last question. */
  saidNothing = true;

  constructor(
    hostname: string,
    port: number,
    private readonly options: WholeBodiesOptions,
    closed: () => void,
  ) {
    const onread = {
      buffer: () => this.#coming?.answer.rest ?? this.#scratch,
      callback: (count: number) => this.#onRead(count),
    };
    this.#socket = connect({ host: hostname.replace(/^\[(.*)\]$/, "$1"), port, noDelay: true, onread });
    this.#socket.setTimeout(options.connectTimeoutMs);
    this.#socket.once("connect", () => this.#socket.setTimeout(options.silenceMs));
    this.#socket.on("timeout", () => this.close(Object.assign(new Error("no answer"), { name: "TimeoutError" })));
    this.#socket.on("error", (error) => this.close(error));
    this.#socket.once("close", () => {
      this.#coming?.answer.close();
      this.close();
      closed();
    });
  }

  get isFree(): boolean {
    return this.#closed === undefined && this.#coming === undefined;
  }

  /** @throws where no head of an answer has come */
  ask(head: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#coming = { answer: new Answer(), resolve, reject };
      this.saidNothing = true;
      if (this.#closed !== undefined) return this.#end();
      if (!this.#socket.connecting) this.#socket.setTimeout(this.options.silenceMs);
      this.#socket.ref().write(head, "latin1");
    });
  }

  close(error: Error = Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" })): void {
    this.#closed ??= error;
    this.#socket.destroy();
    this.#end();
  }

  #onRead(count: number): boolean {
    this.saidNothing = false;
    const answer = this.#coming?.answer;
    try {
      if (answer === undefined) throw invalid("it was not asked");
      if (answer.rest === undefined) answer.lookThrough(this.#scratch, count);
      else answer.filled(count);
      if (answer.isWhole) this.#end();
    } catch (error) {
      this.close(error as Error);
    }
    return true;
  }

  #end(): void {
    const coming = this.#coming;
    if (coming === undefined) return;
    this.#coming = undefined;
    const { answer } = coming;
    if (!answer.isWhole) answer.failure = this.#closed;
    else if (answer.isLast) this.close();
    else this.#socket.setTimeout(IDLE_MS).unref();
    if (answer.status >= 200) coming.resolve(answer);
    else coming.reject(this.#closed!);
  }
}

/** Another connection would not help. */
function isOver(error: unknown): boolean {
  return /^(AbortError|TimeoutError)$/.test((error as Error).name);
}

function invalid(what: string): Error {
  return Object.assign(new Error(what), { code: "HPE_INVALID_ANSWER" });
}

function placeOf({ hostname, port = 80 }: HttpRequest): string {
  return `${hostname} ${port}`;
}

function headOf({ method, path, query = {}, headers }: HttpRequest): string {
  const pairs = Object.keys(query)
    .sort()
    .flatMap((name) => [query[name] ?? ""].flat().map((value) => `${escaped(name)}=${escaped(value)}`));
  const target = pairs.length === 0 ? path : `${path}?${pairs.join("&")}`;
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`${method} ${target} HTTP/1.1`, ...lines, "", ""].join("\r\n");
}

/** As S3 signs it. */
function escaped(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}
