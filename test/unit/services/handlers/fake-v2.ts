/**
 * The least of an Open Inference server, written from the protocol's text and not from our code: health, metadata, and a
 * model that answers with its inputs, in JSON or in the binary extension as it was asked.
 *
 * It does not do: versions, parameters, several models, datatypes other than it was sent.
 */
import { json, type Reply, type Seen } from "./bad-server.js";

export interface FakeV2 {
  /** Answers of the ready paths, one after the other; the last one stays. Default: ready. */
  readonly serverReady?: readonly Reply[];
  readonly modelReady?: readonly Reply[];
  readonly extensions?: readonly string[];
  readonly describes?: unknown;
  /** Name of each output, by that of the input whose tensor it repeats. Default: the same. */
  readonly renames?: Readonly<Record<string, string>>;
}

interface Input {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly parameters?: { readonly binary_data_size?: number };
  readonly data?: readonly unknown[];
}
interface Request {
  readonly id?: string;
  readonly inputs: readonly Input[];
  readonly outputs?: readonly { readonly name: string; readonly parameters?: { readonly binary_data?: boolean } }[];
}

export function fakeV2(model: string, options: FakeV2 = {}): (seen: Seen) => Reply {
  const serverReady = [...(options.serverReady ?? [{}])];
  const modelReady = [...(options.modelReady ?? [{}])];
  return (seen) => {
    switch (`${seen.method} ${seen.path}`) {
      case "GET /v2/health/ready":
        return (serverReady.length > 1 ? serverReady.shift() : serverReady[0])!;
      case `GET /v2/models/${model}/ready`:
        return (modelReady.length > 1 ? modelReady.shift() : modelReady[0])!;
      case "GET /v2":
        return json({ name: "fake", version: "1", extensions: options.extensions ?? [] });
      case `GET /v2/models/${model}`:
        return options.describes === undefined ? { status: 404 } : json(options.describes);
      case `POST /v2/models/${model}/infer`:
        return repeat(seen, options.renames ?? {});
      default:
        return json({ error: `no ${seen.path} here` }, { status: 404 });
    }
  };
}

/** What was sent, read again: the request, and the bytes of each of its tensors. */
export function requestIn(seen: Seen): { request: Request; bytes: Map<string, Buffer> } {
  const header = seen.headers["inference-header-content-length"];
  const end = header === undefined ? seen.body.length : Number(header);
  const request = JSON.parse(seen.body.subarray(0, end).toString("utf8")) as Request;
  const bytes = new Map<string, Buffer>();
  let at = end;
  for (const { name, parameters } of request.inputs) {
    const size = parameters?.binary_data_size;
    if (size === undefined) continue;
    bytes.set(name, seen.body.subarray(at, at + size));
    at += size;
  }
  return { request, bytes };
}

function repeat(seen: Seen, renames: Readonly<Record<string, string>>): Reply {
  const { request, bytes } = requestIn(seen);
  const parts: Buffer[] = [];
  const outputs = request.inputs.map(({ data, ...input }) => {
    const name = renames[input.name] ?? input.name;
    const content = bytes.get(input.name);
    if (content === undefined) return { ...input, name, data };
    parts.push(content);
    return { ...input, name, parameters: { binary_data_size: content.length } };
  });
  const head = Buffer.from(JSON.stringify({ model_name: "fake", id: request.id, outputs }));
  if (parts.length === 0) return { headers: { "content-type": "application/json" }, body: head };
  return {
    headers: { "content-type": "application/octet-stream", "inference-header-content-length": String(head.length) },
    body: Buffer.concat([head, ...parts]),
  };
}
