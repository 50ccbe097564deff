/**
 * A handler that calls an OpenAI-compatible HTTP endpoint: OpenAI, Azure, vLLM, llama.cpp, Ollama and others.
 * `chat.ts` and `embeddings.ts` have the two ways to use one.
 */
import type { Handler } from "../../topology/service.js";
import type { Columns } from "../../types/columns.js";
import { type ChatSpec, loadChat } from "./chat.js";
import { type EmbeddingsSpec, loadEmbeddings } from "./embeddings.js";
import { checkEndpoint, openEndpoint } from "./endpoint.js";

/**
 * @throws {MillraceError} `MILL_CONFIG` for a URL that is none, or one that holds a secret
 * @example
 * openai({ kind: "chat", url: "https://api.openai.com/v1", model: "gpt-4o-mini", apiKeyEnv: "OPENAI_API_KEY" })
 */
export function openai<I extends Columns, O extends Columns>(
  spec: ChatSpec<I, O> | EmbeddingsSpec<I, O>,
): Handler<I, O> {
  checkEndpoint("openai", spec);
  return {
    kind: `openai-${spec.kind}`,
    assets: {},
    // Each row of a chat is a request of its own; embeddings go many rows to one request.
    defaults: spec.kind === "chat" ? { concurrency: 32 } : { concurrency: 8, batch: { rowsMax: 64 } },
    async load(context) {
      // Columns first: what is wrong with them needs no server to be told.
      const make = spec.kind === "chat" ? loadChat(spec, context) : loadEmbeddings(spec, context);
      return make(await openEndpoint(spec, context));
    },
  };
}
