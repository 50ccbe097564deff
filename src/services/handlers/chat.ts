/**
 * Chat completions of an OpenAI-compatible endpoint: a prompt of each row to a text.
 *
 * Answers are streamed, so that a server that stops in the middle is noticed by its silence, long before the whole
 * answer's time is up. The text is collected all the same: a row has its answer whole, or none.
 *
 * Invariants:
 *   L1  A row has the whole text up to the server's own end of it. A stream that ends before is a failed call.
 *   L2  A row that the server refuses for what it holds is refused alone.
 */
import { limits } from "../../base/limits.js";
import type { CallContext, HandlerContext, LoadedHandler } from "../../topology/service.js";
import { batchFromRows, rowsOf } from "../../types/batches.js";
import type { Columns, Row } from "../../types/columns.js";
import type { Endpoint, EndpointSettings } from "./endpoint.js";
import { columnTyped, isOfTheRow, noOtherColumns } from "./openai-columns.js";
import { eventData } from "./server-sent-events.js";

/** One message of a conversation, in the words of the OpenAI API. */
export interface ChatMessage {
  readonly role: "system" | "developer" | "user" | "assistant";
  /** A text, or the list of parts (texts, images) that the endpoint takes. */
  readonly content: string | readonly Readonly<Record<string, unknown>>[];
}

/** Settings of `openai` with `kind: "chat"`: each row is one request, and its answer a text. */
export interface ChatSpec<I extends Columns, O extends Columns> extends EndpointSettings {
  readonly kind: "chat";
  readonly model: string;
  /** Column with the user's message. Default `prompt`. */
  readonly prompt?: keyof I & string;
  /** The system's message, the same for all rows. */
  readonly system?: string;
  /** The whole conversation of a row, instead of `prompt` and `system`. */
  messages?(row: Row<I>): readonly ChatMessage[];
  /** Column that the answer goes to. Default `text`. */
  readonly text?: keyof O & string;
  /** JSON schema that the answer must follow; the text is JSON then. */
  readonly schema?: { readonly name: string; readonly schema: Readonly<Record<string, unknown>> };
  /** Further fields of the request: `temperature`, `max_tokens`, `seed`. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

/** Output columns that are filled where the service declares them. */
const USAGE = ["promptTokens", "completionTokens"] as const;
const REASON = "finishReason";

const PATH = "chat/completions";

interface Completion {
  readonly text: string;
  readonly finishReason: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

const NONE: Completion = { text: "", finishReason: "", promptTokens: 0, completionTokens: 0 };

export function loadChat<I extends Columns, O extends Columns>(
  spec: ChatSpec<I, O>,
  context: HandlerContext,
): (endpoint: Endpoint) => LoadedHandler<I, O> {
  const text = spec.text ?? "text";
  const output = context.output as O;
  const promptOf = promptReader(spec, context);
  columnTyped("output", text, ["utf8", "utf8?"], "text", context);
  noOtherColumns([text, ...USAGE, REASON], context);
  const usage = USAGE.filter((name) => output[name] !== undefined);
  for (const name of usage) columnTyped("output", name, ["int32", "int64", "float64"], "output", context);
  if (output[REASON] !== undefined) columnTyped("output", REASON, ["utf8"], "output", context);

  const rowOf = (completion: Completion): Row<O> => {
    const row: Record<string, unknown> = { [text]: completion.text };
    for (const name of usage) row[name] = output[name]!.name === "int64" ? BigInt(completion[name]) : completion[name];
    if (output[REASON] !== undefined) row[REASON] = completion.finishReason;
    return row as Row<O>;
  };

  return (endpoint) => {
    const chat = new Chat(endpoint, requestOf(spec, usage.length > 0));
    return {
      async infer(batch, call) {
        const rows = rowsOf(context.input as I, batch);
        const done = await Promise.allSettled(rows.map((row, i) => chat.complete(promptOf(row), i, call)));
        const completions = done.map((one) => {
          if (one.status === "rejected") throw one.reason;
          return rowOf(one.value);
        });
        return batchFromRows(output, completions);
      },
      unload: () => endpoint.close(),
    };
  };
}

function promptReader<I extends Columns, O extends Columns>(
  spec: ChatSpec<I, O>,
  context: HandlerContext,
): (row: Row<I>) => readonly ChatMessage[] {
  if (spec.messages !== undefined) return (row) => spec.messages!(row);
  const prompt = spec.prompt ?? "prompt";
  columnTyped("input", prompt, ["utf8"], "prompt, or give messages", context);
  const system: ChatMessage[] = spec.system === undefined ? [] : [{ role: "system", content: spec.system }];
  return (row) => [...system, { role: "user", content: row[prompt] as string }];
}

function requestOf<I extends Columns, O extends Columns>(
  { model, schema, parameters }: ChatSpec<I, O>,
  usage: boolean,
): Readonly<Record<string, unknown>> {
  return {
    ...parameters,
    model,
    stream: true,
    // Asked for only where it is wanted: older servers refuse what they do not know.
    ...(usage ? { stream_options: { include_usage: true } } : {}),
    ...(schema === undefined
      ? {}
      : { response_format: { type: "json_schema", json_schema: { ...schema, strict: true } } }),
  };
}

/** What a stream's events, and a whole answer, have of what is read here. */
interface Piece {
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly message?: { readonly content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: { readonly prompt_tokens?: number; readonly completion_tokens?: number } | null;
  readonly error?: { readonly message?: string; readonly code?: unknown; readonly status?: unknown } | string;
}

class Chat {
  constructor(
    private readonly endpoint: Endpoint,
    private readonly request: Readonly<Record<string, unknown>>,
  ) {}

  /** L2 */
  async complete(messages: readonly ChatMessage[], row: number, call: CallContext): Promise<Completion> {
    try {
      return await this.#complete(messages, call.rowId(row), call);
    } catch (error) {
      if (!isOfTheRow(error)) throw error;
      call.reject(row, error);
      return NONE;
    }
  }

  async #complete(messages: readonly ChatMessage[], rowId: string, call: CallContext): Promise<Completion> {
    const headers = {
      "content-type": "application/json",
      accept: "text/event-stream",
      ...(rowId === "" ? {} : { "idempotency-key": rowId }),
    };
    const body = JSON.stringify({ ...this.request, messages });
    const answer = await this.endpoint.send({ path: PATH, body, headers }, call);
    const type = answer.header("content-type") ?? "";
    if (type.includes("text/event-stream")) return this.#streamed(this.endpoint.pieces(answer));
    // A server that does not stream answers with one whole completion.
    const whole = (await this.endpoint.json(answer, PATH)) as Piece | null;
    return this.#whole([whole ?? {}], true);
  }

  async #streamed(pieces: AsyncIterable<Uint8Array>): Promise<Completion> {
    const read: Piece[] = [];
    let done = false;
    const max = limits.endpointEventCharsMax;
    const tooLong = () => this.endpoint.invalid(PATH, `a line of its stream has more than ${max} characters`);
    for await (const data of eventData(pieces, max, tooLong)) {
      done = data === "[DONE]";
      if (done) break;
      read.push(this.#parsed(data));
    }
    return this.#whole(read, done);
  }

  #parsed(data: string): Piece {
    let piece: Piece | null;
    try {
      piece = JSON.parse(data) as Piece | null;
    } catch (cause) {
      throw this.endpoint.invalid(PATH, `an event of its stream is no JSON: "${data.slice(0, 80)}"`, cause);
    }
    if (piece?.error === undefined || piece.error === null) return piece ?? {};
    // The status was sent before the error happened; some servers give it here.
    const {
      message = JSON.stringify(piece.error),
      code,
      status,
    } = typeof piece.error === "string" ? { message: piece.error } : piece.error;
    const said = [code, status].map(Number).find((number) => number >= 400 && number < 600);
    throw this.endpoint.failed(PATH, said ?? 500, message);
  }

  /** L1. @param ended the server said that this is all */
  #whole(pieces: readonly Piece[], ended: boolean): Completion {
    let text = "";
    let finishReason = "";
    let usage: NonNullable<Piece["usage"]> = {};
    for (const piece of pieces) {
      const choice = piece.choices?.[0];
      text += choice?.delta?.content ?? choice?.message?.content ?? "";
      finishReason = choice?.finish_reason ?? finishReason;
      usage = piece.usage ?? usage;
    }
    const choices = pieces.some((piece) => (piece.choices?.length ?? 0) > 0);
    if (ended && !choices) throw this.endpoint.invalid(PATH, 'it has no "choices"');
    if (!ended && finishReason === "") throw this.endpoint.brokenOff(PATH);
    return {
      text,
      finishReason,
      promptTokens: usage.prompt_tokens ?? 0,
      completionTokens: usage.completion_tokens ?? 0,
    };
  }
}
