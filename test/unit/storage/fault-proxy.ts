/**
 * An HTTP proxy in front of a real S3 server that makes chosen requests go wrong, and remembers all of them.
 *
 * It reads each request whole before it acts on it, so "before" and "after" have a meaning: a fault of kind `answer`,
 * `reset` or `stall` happens before the server knows of the request; one with `applied` after the server has carried it out.
 * Not injected: faults below TCP (a lost packet), and a server that forgets what it acknowledged: no client can help that.
 */
import assert from "node:assert/strict";
import {
  Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { within } from "../../conformance/bus-support.js";

export type Fault =
  /** The proxy answers; with `applied`, in place of the server, which has done what it was asked to. */
  | { readonly kind: "answer"; readonly answer: Answer; readonly applied?: true }
  /** The connection is reset without an answer. */
  | { readonly kind: "reset"; readonly applied?: true }
  /** The answer never comes. */
  | { readonly kind: "stall" }
  /** The server gets the request only then. */
  | { readonly kind: "hold"; readonly until: Promise<void> }
  /** The answer's body ends after so many bytes: with a reset, or with silence. */
  | { readonly kind: "cut"; readonly afterBytes: number; readonly ends: "reset" | "stall" }
  /** One bit of the answer's body is another. */
  | { readonly kind: "damage-answer"; readonly at: number }
  /** One bit of the request's body is another. */
  | { readonly kind: "damage-request"; readonly at: number };

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface SeenRequest {
  /** As S3's own documentation names it: `PutObject`, `UploadPart`, … */
  readonly operation: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface PlannedFault {
  readonly operation: string;
  readonly fault: Fault;
  left: number;
}

/** An answer as S3 gives it to say that something failed. */
export function s3Error(status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer {
  const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>told to fail</Message></Error>`;
  return { status, headers: { "content-type": "application/xml", ...headers }, body };
}

export class FaultProxy {
  readonly seen: SeenRequest[] = [];
  /** Takes the signature off: the server sees somebody unknown, to whom only the bucket's policy applies. */
  anonymous = false;
  #faults: PlannedFault[] = [];
  #upstream = new Agent({ keepAlive: true });
  #wake = () => {};

  private constructor(
    private readonly server: Server,
    private readonly target: URL,
  ) {}

  static async start(target: string): Promise<FaultProxy> {
    const server = createServer();
    const proxy = new FaultProxy(server, new URL(target));
    server.on("request", (incoming: IncomingMessage, outgoing) => {
      proxy.#pass(incoming, outgoing).catch(() => incoming.socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** The next `times` requests of `operation` go wrong so; faults for one operation come in the order they were planned. */
  plan(operation: string, fault: Fault, times = 1): void {
    this.#faults.push({ operation, fault, left: times });
  }

  /** Names of the operations seen, in order. */
  operations(): string[] {
    return this.seen.map(({ operation }) => operation);
  }

  of(operation: string): SeenRequest[] {
    return this.seen.filter((each) => each.operation === operation);
  }

  async waitFor(operation: string, count = 1): Promise<void> {
    const enough = new Promise<void>((resolve) => {
      this.#wake = () => {
        if (this.of(operation).length >= count) resolve();
      };
      this.#wake();
    });
    await within(`${count} requests ${operation}; seen: ${this.operations()}`, enough);
  }

  /** Forgets what was seen; asserts that every planned fault has happened. */
  reset(): void {
    const unused = this.#faults.map(({ operation, fault, left }) => `${left} of ${fault.kind} for ${operation}`);
    this.#faults = [];
    this.seen.length = 0;
    this.anonymous = false;
    this.server.closeAllConnections();
    assert.deepEqual(unused, [], "planned faults did not happen");
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.#upstream.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await readAll(incoming);
    const operation = operationOf(incoming);
    const fault = this.#take(operation);
    this.seen.push({ operation, path: incoming.url!, headers: incoming.headers, body });
    this.#wake();
    const sent = fault?.kind === "damage-request" ? flipped(body, fault.at) : body;
    if (fault?.kind === "stall") return;
    if (fault?.kind === "hold") await fault.until;
    const applied = fault !== undefined && "applied" in fault && fault.applied === true;
    if (fault?.kind === "reset" || fault?.kind === "answer") {
      if (applied) await this.#forward(incoming, sent);
      if (fault.kind === "reset") incoming.socket.resetAndDestroy();
      else outgoing.writeHead(fault.answer.status, fault.answer.headers).end(fault.answer.body);
      return;
    }
    const { status, headers, content } = await this.#forward(incoming, sent);
    outgoing.writeHead(status, headers);
    if (fault?.kind === "damage-answer") outgoing.end(flipped(content, fault.at));
    else if (fault?.kind === "cut") {
      outgoing.flushHeaders();
      outgoing.write(content.subarray(0, fault.afterBytes), () => {
        // Ended, not reset: a reset may overtake what was written before it.
        if (fault.ends === "reset") incoming.socket.end();
      });
    } else outgoing.end(content);
  }

  #forward(incoming: IncomingMessage, body: Buffer) {
    const headers: IncomingHttpHeaders = { ...incoming.headers };
    delete headers.expect; // answered already
    if (this.anonymous) delete headers.authorization;
    return new Promise<{ status: number; headers: IncomingHttpHeaders; content: Buffer }>((resolve, reject) => {
      const { hostname: host, port } = this.target;
      const { method, url: path } = incoming;
      const forwarded = request({ host, port, method, path, headers, agent: this.#upstream }, (answer) => {
        readAll(answer).then((content) => {
          resolve({ status: answer.statusCode!, headers: answer.headers, content });
        }, reject);
      });
      forwarded.on("error", reject);
      forwarded.end(body);
    });
  }

  #take(operation: string): Fault | undefined {
    const planned = this.#faults.find((each) => each.operation === operation);
    if (planned === undefined) return undefined;
    planned.left--;
    if (planned.left === 0) this.#faults.splice(this.#faults.indexOf(planned), 1);
    return planned.fault;
  }
}

function operationOf({ method, url, headers }: IncomingMessage): string {
  const query = new URL(url!, "http://any").searchParams;
  const inParts = query.has("uploadId");
  if (method === "PUT") {
    if (inParts) return "UploadPart";
    return headers["x-amz-copy-source"] === undefined ? "PutObject" : "CopyObject";
  }
  if (method === "POST") return inParts ? "CompleteMultipartUpload" : "CreateMultipartUpload";
  if (method === "DELETE") return inParts ? "AbortMultipartUpload" : "DeleteObject";
  if (method === "HEAD") return "HeadObject";
  return query.has("list-type") ? "ListObjectsV2" : "GetObject";
}

async function readAll(from: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of from) pieces.push(piece);
  return Buffer.concat(pieces);
}

function flipped(content: Buffer, at: number): Buffer {
  assert.ok(at < content.length, `byte ${at} of ${content.length} cannot be damaged`);
  const other = Buffer.from(content);
  other[at]! ^= 1;
  return other;
}
