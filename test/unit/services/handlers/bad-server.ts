/**
 * A model server that behaves as the test says, badly above all: each request is given to `answer`, and kept.
 * What it can do to its answer is what `respond` takes; what it never does is wait for a fixed time.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  /** Port of the caller: the same for two requests over one connection. */
  readonly port: number;
  json(): unknown;
}

export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Follows `body` in a piece of its own. */
  readonly rest?: Uint8Array;
  /** What happens once `body` is written. Default: the answer ends. */
  readonly after?: "close the connection" | "say nothing more";
}

/** Nothing at all is answered. */
export type Answer = (seen: Seen) => Reply | "silence" | Promise<Reply | "silence">;

export class BadServer {
  readonly seen: Seen[] = [];
  answer: Answer = () => ({ status: 404 });
  /** Resolves when a caller has gone away before its answer was whole. */
  callerGone: Promise<void>;
  #gone!: () => void;
  #sockets = new Set<Socket>();

  private constructor(private readonly server: ReturnType<typeof createServer>) {
    this.callerGone = new Promise((resolve) => {
      this.#gone = resolve;
    });
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.on("request", (request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<BadServer> {
    const server = createServer();
    const made = new BadServer(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return made;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.server, "close");
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    const seen: Seen = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      body,
      port: request.socket.remotePort ?? 0,
      json: () => JSON.parse(body.toString("utf8")),
    };
    this.seen.push(seen);
    response.on("close", () => {
      if (!response.writableFinished) this.#gone();
    });
    const reply = await this.answer(seen);
    if (reply === "silence") return;
    response.writeHead(reply.status ?? 200, reply.headers ?? {});
    if (reply.rest !== undefined) {
      // Once the first piece is with the kernel, the second one is a write of its own.
      response.write(reply.body ?? "", () => setImmediate(() => response.end(reply.rest)));
      return;
    }
    if (reply.after === undefined) {
      response.end(reply.body ?? "");
      return;
    }
    response.write(reply.body ?? "", () => {
      if (reply.after === "close the connection") request.socket.destroy();
    });
  }
}

export function json(value: unknown, reply: Reply = {}): Reply {
  return { ...reply, headers: { "content-type": "application/json", ...reply.headers }, body: JSON.stringify(value) };
}

/** The events of a stream, the last one as OpenAI ends it unless told otherwise. */
export function events(values: readonly unknown[], reply: Reply & { readonly done?: boolean } = {}): Reply {
  const data = values.map((value) => `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`);
  const { done = true, ...rest } = reply;
  const headers = { "content-type": "text/event-stream", ...reply.headers };
  return { ...rest, headers, body: [...data, ...(done ? ["data: [DONE]\n\n"] : [])].join("") };
}
