/**
 * Embeddings of an OpenAI-compatible endpoint: the texts of a batch in one request, one vector for each.
 *
 * Invariants:
 *   V1  Each row has the vector that the server gave its text, by the server's own index, or the call has failed.
 */
import type { HandlerContext, LoadedHandler } from "../../topology/service.js";
import { batchFromRows, columnOf } from "../../types/batches.js";
import type { Columns, Row } from "../../types/columns.js";
import type { Endpoint, EndpointSettings } from "./endpoint.js";
import { columnTyped, isOfTheRow, noOtherColumns } from "./openai-columns.js";

/** Settings of `openai` with `kind: "embeddings"`: each row is a text, and its answer a vector. */
export interface EmbeddingsSpec<I extends Columns, O extends Columns> extends EndpointSettings {
  readonly kind: "embeddings";
  readonly model: string;
  /** Column with the text. Default `text`. */
  readonly text?: keyof I & string;
  /** Column that the vector goes to: a list of float32 or float64. Default `embedding`. */
  readonly embedding?: keyof O & string;
  /** Further fields of the request: `dimensions`, `user`. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

const PATH = "embeddings";

export function loadEmbeddings<I extends Columns, O extends Columns>(
  spec: EmbeddingsSpec<I, O>,
  context: HandlerContext,
): (endpoint: Endpoint) => LoadedHandler<I, O> {
  const text = spec.text ?? "text";
  const embedding = spec.embedding ?? "embedding";
  columnTyped("input", text, ["utf8"], "text", context);
  columnTyped("output", embedding, ["list<float32>", "list<float64>"], "embedding", context);
  noOtherColumns([embedding], context);
  const { model, parameters } = spec;
  const answerOf = (vectors: readonly (readonly number[])[]) =>
    batchFromRows(context.output as O, vectors.map((vector) => ({ [embedding]: vector })) as unknown as Row<O>[]);
  return (endpoint) => ({
    async infer(batch, call) {
      const input = Array.from(columnOf(batch, text) as Iterable<string>);
      const rowId = input.length === 1 ? call.rowId(0) : "";
      const headers = { "content-type": "application/json", ...(rowId === "" ? {} : { "idempotency-key": rowId }) };
      const body = JSON.stringify({ encoding_format: "float", ...parameters, model, input });
      try {
        const answer = await endpoint.send({ path: PATH, body, headers }, call);
        return answerOf(vectorsOf(await endpoint.json(answer, PATH), input.length, endpoint));
      } catch (error) {
        // Of several rows the instance finds the one.
        if (input.length !== 1 || !isOfTheRow(error)) throw error;
        call.reject(0, error);
        return answerOf([[]]);
      }
    },
    unload: () => endpoint.close(),
  });
}

/** V1 */
function vectorsOf(answer: unknown, count: number, endpoint: Endpoint): readonly (readonly number[])[] {
  const { data } = (answer ?? {}) as { readonly data?: unknown };
  if (!Array.isArray(data)) throw endpoint.invalid(PATH, 'it has no list "data"');
  if (data.length !== count) throw endpoint.invalid(PATH, `it has ${data.length} vectors for ${count} texts`);
  const vectors: (readonly number[])[] = [];
  for (const [place, one] of data.entries()) {
    const { index = place, embedding } = (one ?? {}) as { readonly index?: number; readonly embedding?: unknown };
    const numbers = Array.isArray(embedding) && embedding.every((value) => typeof value === "number");
    if (!numbers) throw endpoint.invalid(PATH, `its vector ${place} is no list of numbers`);
    if (!Number.isInteger(index) || index < 0 || index >= count || vectors[index] !== undefined) {
      throw endpoint.invalid(PATH, `its vector ${place} has the index ${index}, of ${count} texts`);
    }
    vectors[index] = embedding as number[];
  }
  return vectors;
}
