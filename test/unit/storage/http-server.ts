/** A server that behaves as badly as a test wants: what it sends is written byte by byte. */
import { createServer, type Server, type Socket } from "node:net";

export interface Request {
  /** First line, without the version: `GET /path`. */
  readonly line: string;
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Answers one request; the connection is the test's to write to and to close. */
export type Behaviour = (request: Request, socket: Socket, number: number) => void;

export interface BadServer {
  readonly origin: string;
  readonly port: number;
  readonly requests: Request[];
  /** Connections that were made, and those open now. */
  readonly connections: () => number;
  readonly open: () => number;
  /** How requests from now on are answered. */
  behave(behaviour: Behaviour): void;
  stop(): Promise<void>;
}

export async function startBadServer(): Promise<BadServer> {
  let behaviour: Behaviour = (_, socket) => void socket.end();
  let connections = 0;
  const sockets = new Set<Socket>();
  const requests: Request[] = [];
  const server: Server = createServer((socket) => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    let head = "";
    socket.on("data", (piece) => {
      head += piece.toString("latin1");
      for (let end = head.indexOf("\r\n\r\n"); end >= 0; end = head.indexOf("\r\n\r\n")) {
        const request = requestOf(head.slice(0, end));
        head = head.slice(end + 4);
        requests.push(request);
        behaviour(request, socket, requests.length);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    requests,
    connections: () => connections,
    open: () => sockets.size,
    behave(next) {
      behaviour = next;
      requests.length = 0;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function requestOf(head: string): Request {
  const [line = "", ...rest] = head.split("\r\n");
  const headers = rest.map((each) => [
    each.slice(0, each.indexOf(":")).toLowerCase(),
    each.slice(each.indexOf(":") + 1).trim(),
  ]);
  return { line: line.replace(/ HTTP\/1\.1$/, ""), headers: Object.fromEntries(headers) };
}

/** An answer in full; `Content-Length` is that of the body, where the headers say nothing else. */
export function answer(status: number, headers: Readonly<Record<string, string>> = {}, body = ""): string {
  const all = { "Content-Length": String(Buffer.byteLength(body)), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Said\r\n${lines.join("")}\r\n${body}`;
}

/** First byte and last one of a `Range` header; the last is undefined where it is open. */
export function rangeOf(request: Request): readonly [number, number | undefined] | undefined {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  if (first === undefined) return undefined;
  return [Number(first), last === "" ? undefined : Number(last)];
}
