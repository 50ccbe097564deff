/** `embedText`: texts to vectors, by an OpenAI-compatible server. */
import type { Data, RecordBatch } from "apache-arrow";
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { EndpointSettings } from "../../services/handlers/endpoint.js";
import { openai } from "../../services/handlers/openai.js";
import { type CallContext, type Handler, type Service, type ServiceSpec, service } from "../../topology/service.js";
import { batchFromColumns, batchFromRows, columnOf } from "../../types/batches.js";
import { type ColumnType, t } from "../../types/columns.js";
import { checkNumber } from "../media-options.js";
import { type Named, named } from "../named.js";
import type { Accepted } from "../row-function.js";
import type { Step } from "../step.js";
import { type EmbeddingSettings, type EmbeddingType, embeddingType, normalized } from "./embed-image.js";
import { endpointOf, type ServiceStepOptions, serviceStep } from "./service-step.js";

type Input<F extends string> = Named<F, typeof t.utf8>;

/** Options of `embedText`. See docs/functions/embedText.md. */
export interface EmbedTextOptions<F extends string, I extends string>
  extends EndpointSettings,
    ServiceStepOptions<Input<NoInfer<F>>, Named<NoInfer<I>, EmbeddingType>>,
    EmbeddingSettings {
  /** Column with the text, `t.utf8`. */
  readonly from: F;
  /** Column for the embedding. */
  readonly into: I;
  /** The server's name of the model. */
  readonly model: string;
  /** Put before each text, as some models want it: `query: `. */
  readonly prefix?: string;
  /** Further fields of the request: `dimensions`, `user`. */
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** Make all vectors of length 1. Default false: they stay as the server gives them. */
  readonly normalize?: boolean;
  /** Characters of one text. Default 200,000. */
  readonly charsMax?: number;
}

const NAME = "embedText";

/** Adds a vector of each text. Texts go many to one request, 64 unless the service says otherwise. */
export function embedText<F extends string, I extends string>(
  options: EmbedTextOptions<F, I>,
): Step<Named<F, ColumnType<string>>, Named<I, EmbeddingType>> {
  const made = embedTextService(options);
  return serviceStep(NAME, options.from, plainText, options, () => made as never);
}

/** The service that `embedText` calls: for another's `fallback`, which must give vectors of the same model. */
export function embedTextService<F extends string, I extends string>(
  options: EmbedTextOptions<F, I>,
): Service<Input<F>, Named<I, EmbeddingType>> {
  const { from, into, model, embeddingModel = model, charsMax = limits.embedCharsMax, serviceName = NAME } = options;
  checkNumber(NAME, "charsMax", charsMax, { min: 1, max: 0x1fff_ffff, whole: true });
  const input = named(from, t.utf8);
  const output = named(into, embeddingType(options, embeddingModel));
  const handler = textHandler({ ...options, charsMax }, output);
  return service(serviceName, { ...options.service, input, output, handler } as unknown as ServiceSpec<
    typeof input,
    typeof output
  >);
}

const plainText: Accepted = { says: "text (t.utf8)", fits: ({ name }) => name === t.utf8.name };
const asked = { text: t.utf8 };
const answered = { embedding: t.list(t.float32) };

function textHandler<F extends string, I extends string>(
  options: EmbedTextOptions<F, I> & { readonly charsMax: number },
  output: Named<I, EmbeddingType>,
): Handler<Input<F>, Named<I, EmbeddingType>> {
  const { from, into, model, parameters, prefix = "", dimension, charsMax } = options;
  const endpoint = openai<typeof asked, typeof answered>({
    ...endpointOf(options),
    kind: "embeddings",
    model,
    ...(parameters !== undefined && { parameters }),
  });
  return {
    ...endpoint,
    kind: "embed-text",
    async load(context) {
      const loaded = await endpoint.load({ ...context, input: asked, output: answered } as never);
      return {
        async infer(batch, call) {
          const texts = Array.from(columnOf(batch as RecordBatch, from) as Iterable<string>);
          const rows = acceptedRows(texts, charsMax, call);
          const all = new Float32Array(texts.length * dimension);
          if (rows.length > 0) {
            const refused = new Set<number>();
            const answer = await loaded.infer(
              batchFromRows(
                asked,
                rows.map((row) => ({ text: prefix + texts[row]! })),
              ),
              callOf(call, rows, refused),
            );
            const vectors = columnOf(answer as RecordBatch, "embedding").data[0]!;
            for (const [i, row] of rows.entries()) {
              if (!refused.has(i)) all.set(vectorOf(vectors, i, options), row * dimension);
            }
          }
          if (options.normalize === true) normalized(all, dimension);
          return batchFromColumns(output, { [into]: all } as never);
        },
        unload: async () => loaded.unload?.(),
      };
    },
  };
}

/** Those of a bearable length; the others are refused. */
function acceptedRows(texts: readonly string[], charsMax: number, call: CallContext): number[] {
  return [...texts.keys()].filter((row) => {
    const { length } = texts[row]!;
    if (length <= charsMax) return true;
    const what = `it has ${length} characters; at most ${charsMax} are given to the model. Cut it before (chunkText), or raise charsMax.`;
    call.reject(row, new MillraceError("MILL_TEXT_TOO_LARGE", what));
    return false;
  });
}

/** The call as the endpoint sees it, which is asked for some of the rows. @param refused gets the rows that it refuses, by its numbers */
function callOf(call: CallContext, rows: readonly number[], refused: Set<number>): CallContext {
  return {
    ...call,
    rowId: (i) => call.rowId(rows[i]!),
    reject: (i, error) => {
      refused.add(i);
      call.reject(rows[i]!, error);
    },
  };
}

function vectorOf(
  vectors: Data,
  row: number,
  { dimension, model }: EmbeddingSettings & { readonly model: string },
): Float32Array {
  const [begin, end] = [vectors.valueOffsets[row]!, vectors.valueOffsets[row + 1]!];
  if (end - begin === dimension) return (vectors.children[0]!.values as Float32Array).subarray(begin, end);
  throw new MillraceError(
    "MILL_ENDPOINT_INVALID",
    `${NAME}: the model ${model} gives vectors of ${end - begin} elements, and dimension is ${dimension}. Say dimension: ${end - begin}, or ask for others with parameters: { dimensions: ${dimension} }.`,
    { model, dimension },
  );
}
