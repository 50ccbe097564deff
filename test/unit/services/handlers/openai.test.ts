import assert from "node:assert/strict";
import { MillraceError } from "../../../../src/base/errors.js";
import type { ChatSpec } from "../../../../src/services/handlers/chat.js";
import type { EmbeddingsSpec } from "../../../../src/services/handlers/embeddings.js";
import { openai } from "../../../../src/services/handlers/openai.js";
import type { LoadedHandler } from "../../../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../../../src/types/batches.js";
import { type Columns, t } from "../../../../src/types/columns.js";
import { BadServer, events, json, type Reply, type Seen } from "./bad-server.js";
import { callContext, errorOf, loadContext } from "./contexts.js";

/** Less than a second, undici would take a standstill of this process, in which the server lives, too, for silence of the server. */
const IDLE_MS = 1_000;

const token = (content: string, finish_reason: string | null = null) => ({
  choices: [{ index: 0, delta: { content }, finish_reason }],
});

describe("services/handlers/openai", () => {
  let server: BadServer;
  const loaded: { unload?(): Promise<void> }[] = [];

  beforeEach(async () => {
    server = await BadServer.start();
  });
  afterEach(async () => {
    for (const handler of loaded.splice(0)) await handler.unload?.();
    await server.stop();
  });

  describe("chat: a prompt of each row to a text", () => {
    const input = { prompt: t.utf8 };
    const output = { text: t.utf8 };

    async function chat<I extends Columns = typeof input, O extends Columns = typeof output>(
      spec: Partial<ChatSpec<I, O>> = {},
      columns: { input: I; output: O } = { input, output } as unknown as { input: I; output: O },
    ): Promise<LoadedHandler<I, O>> {
      const handler = openai<I, O>({ kind: "chat", url: `${server.url}/v1`, model: "small", ...spec });
      const made = await handler.load(loadContext({ service: "writer", ...columns }));
      loaded.push(made);
      return made;
    }
    const prompts = (...values: string[]) =>
      batchFromRows(
        input,
        values.map((prompt) => ({ prompt })),
      );
    const asked = (seen: Seen) => (seen.json() as { messages: { content: string }[] }).messages.at(-1)!.content;
    const request = () => server.seen[0]!.json() as Record<string, unknown>;

    it("asks for a stream and puts its tokens together", async () => {
      server.answer = () => events([token(""), token("Hel"), token("lo"), token("", "stop")]);
      const answer = await (await chat({ system: "Be short." })).infer(prompts("Hi"), callContext());
      assert.deepEqual(rowsOf(output, answer), [{ text: "Hello" }]);
      assert.equal(server.seen[0]?.path, "/v1/chat/completions");
      assert.deepEqual(request(), {
        model: "small",
        stream: true,
        messages: [
          { role: "system", content: "Be short." },
          { role: "user", content: "Hi" },
        ],
      });
    });

    it("answers each row in its place, whatever order the server takes", async () => {
      let release = () => {};
      const second = new Promise<void>((resolve) => {
        release = resolve;
      });
      server.answer = async (seen) => {
        if (asked(seen) === "one") await second;
        else release();
        return events([token(`to ${asked(seen)}`, "stop")]);
      };
      const answer = await (await chat()).infer(prompts("one", "two"), callContext());
      assert.deepEqual(rowsOf(output, answer), [{ text: "to one" }, { text: "to two" }]);
    });

    it("takes a server that does not stream", async () => {
      server.answer = () =>
        json({ choices: [{ message: { role: "assistant", content: "whole" }, finish_reason: "stop" }] });
      const answer = await (await chat()).infer(prompts("Hi"), callContext());
      assert.deepEqual(rowsOf(output, answer), [{ text: "whole" }]);
    });

    it("fills usage and finish reason where they are declared, and asks for usage only then", async () => {
      const wide = { text: t.utf8, promptTokens: t.int32, completionTokens: t.int64, finishReason: t.utf8 };
      const usage = { choices: [], usage: { prompt_tokens: 5, completion_tokens: 2 } };
      server.answer = () => events([token("a"), token("b", "length"), usage]);
      const answer = await (await chat({}, { input, output: wide })).infer(prompts("Hi"), callContext());
      assert.deepEqual(rowsOf(wide, answer), [
        { text: "ab", promptTokens: 5, completionTokens: 2n, finishReason: "length" },
      ]);
      assert.deepEqual(request().stream_options, { include_usage: true });
    });

    it("passes on messages, schema and parameters", async () => {
      const question = { question: t.utf8, url: t.utf8 };
      const messages = ({ question, url }: { question: string; url: string }) => [
        {
          role: "user" as const,
          content: [
            { type: "text", text: question },
            { type: "image_url", image_url: { url } },
          ],
        },
      ];
      server.answer = () => events([token("{}", "stop")]);
      const spec = { messages, schema: { name: "page", schema: { type: "object" } }, parameters: { temperature: 0 } };
      const handler = await chat(spec, { input: question, output });
      await handler.infer(batchFromRows(question, [{ question: "What?", url: "data:," }]), callContext());
      const { temperature, response_format, messages: sent } = request();
      assert.equal(temperature, 0);
      assert.deepEqual(response_format, {
        type: "json_schema",
        json_schema: { name: "page", schema: { type: "object" }, strict: true },
      });
      assert.deepEqual(sent, messages({ question: "What?", url: "data:," }));
    });

    it("sends the row's id as the idempotency key: the same row is the same request", async () => {
      server.answer = () => events([token("x", "stop")]);
      await (await chat()).infer(prompts("a", "b"), callContext({ rowId: (row) => `row-${row}` }));
      assert.deepEqual(server.seen.map(({ headers }) => headers["idempotency-key"]).sort(), ["row-0", "row-1"]);
    });

    it("a row that is too long is refused alone (L2)", async () => {
      server.answer = (seen) =>
        asked(seen) === "long"
          ? json({ error: { message: "maximum context length is 4096 tokens" } }, { status: 400 })
          : events([token("fine", "stop")]);
      const refused: [number, unknown][] = [];
      const call = callContext({ reject: (row, error) => refused.push([row, error]) });
      const answer = await (await chat()).infer(prompts("a", "long", "c"), call);
      assert.deepEqual(
        rowsOf(output, answer).map(({ text }) => text),
        ["fine", "", "fine"],
      );
      assert.equal(refused.length, 1);
      const [row, error] = refused[0]!;
      assert.ok(row === 1 && MillraceError.is(error));
      assert.equal(error.code, "MILL_ENDPOINT_REFUSED");
      assert.match(error.message, /maximum context length/);
    });

    for (const [what, reply, code, words] of [
      ["429", { status: 429, headers: { "retry-after": "3" } }, "MILL_ENDPOINT_BUSY", /answered 429/],
      ["401", { status: 401 }, "MILL_ENDPOINT_REFUSED", /answered 401/],
      [
        "a stream that ends in the middle",
        events([token("half a")], { done: false }),
        "MILL_ENDPOINT_UNREACHABLE",
        /ended its answer before it was whole/,
      ],
      [
        "a stream that breaks in the middle",
        events([token("half a")], { done: false, after: "close the connection" }),
        "MILL_ENDPOINT_UNREACHABLE",
        /closed the connection before/,
      ],
      [
        "a stream that stalls between two tokens",
        events([token("half a")], { done: false, after: "say nothing more" }),
        "MILL_ENDPOINT_UNREACHABLE",
        /nothing more came for 1000 ms/,
      ],
      ["an event that is no JSON", events(["{half"]), "MILL_ENDPOINT_INVALID", /is no JSON: "\{half/],
      ["an answer without choices", json({ result: "Hi" }), "MILL_ENDPOINT_INVALID", /has no "choices"/],
      ["a page", { body: "<html>" }, "MILL_ENDPOINT_INVALID", /begins with "<html>/],
      ["null", json(null), "MILL_ENDPOINT_INVALID", /has no "choices"/],
      [
        "an error after the first tokens",
        events([token("half"), { error: { message: "engine died", code: 503 } }]),
        "MILL_ENDPOINT_BUSY",
        /answered 503: engine died/,
      ],
      [
        "an error in the stream without a status",
        events([{ error: "engine died" }]),
        "MILL_ENDPOINT_FAILED",
        /engine died/,
      ],
    ] as [string, Reply, string, RegExp][]) {
      it(`${what} is ${code}, and no half of a text (L1)`, async () => {
        server.answer = () => reply;
        const error = await errorOf((await chat({ idleTimeoutMs: IDLE_MS })).infer(prompts("Hi"), callContext()));
        assert.equal(error.code, code);
        assert.match(error.message, words);
      });
    }

    it("an error of a row inside the stream refuses that row alone (L2)", async () => {
      server.answer = () => events([{ error: { message: "prompt too long", code: 400 } }]);
      const refused: number[] = [];
      await (await chat()).infer(prompts("Hi"), callContext({ reject: (row) => refused.push(row) }));
      assert.deepEqual(refused, [0]);
    });

    it("a character that is cut between two pieces is whole in the text", async () => {
      const { body, headers } = events([token("Grüße 水", "stop")]);
      const bytes = Buffer.from(body as string);
      const at = bytes.indexOf("水") + 1;
      server.answer = () => ({ headers: headers!, body: bytes.subarray(0, at), rest: bytes.subarray(at) });
      const answer = await (await chat()).infer(prompts("Hi"), callContext());
      assert.deepEqual(rowsOf(output, answer), [{ text: "Grüße 水" }]);
    });

    for (const [what, spec, columns, code, words] of [
      ["no prompt column", {}, { input: { question: t.utf8 }, output }, "MILL_TOPOLOGY_COLUMN", /no column "prompt"/],
      [
        "a prompt that is no text",
        {},
        { input: { prompt: t.int32 }, output },
        "MILL_TOPOLOGY_TYPE",
        /"prompt" is int32/,
      ],
      ["no text column", {}, { input, output: { answer: t.utf8 } }, "MILL_TOPOLOGY_COLUMN", /no column "text"/],
      [
        "an output that nothing fills",
        {},
        { input, output: { text: t.utf8, mood: t.utf8 } },
        "MILL_TOPOLOGY_COLUMN",
        /nothing fills its output column "mood"/,
      ],
    ] as [string, object, { input: Columns; output: Columns }, string, RegExp][]) {
      it(`${what} is ${code} when an instance loads, before any call`, async () => {
        const error = await errorOf(chat(spec, columns));
        assert.equal(error.code, code);
        assert.match(error.message, words);
        assert.equal(server.seen.length, 0);
      });
    }
  });

  describe("embeddings: the texts of a batch in one request", () => {
    const input = { text: t.utf8 };
    const output = { embedding: t.list(t.float32) };

    async function embeddings(spec: Partial<EmbeddingsSpec<typeof input, typeof output>> = {}) {
      const handler = openai<typeof input, typeof output>({
        kind: "embeddings",
        url: server.url,
        model: "e5",
        ...spec,
      });
      const made = await handler.load(loadContext({ service: "embedder", input, output }));
      loaded.push(made);
      return made;
    }
    const texts = (...values: string[]) =>
      batchFromRows(
        input,
        values.map((text) => ({ text })),
      );

    it("gives each row its vector, by the server's index (V1)", async () => {
      server.answer = () =>
        json({
          data: [
            { index: 1, embedding: [3, 4] },
            { index: 0, embedding: [1, 2] },
          ],
        });
      const answer = await (await embeddings({ parameters: { dimensions: 2 } })).infer(texts("a", "b"), callContext());
      assert.deepEqual(rowsOf(output, answer), [{ embedding: [1, 2] }, { embedding: [3, 4] }]);
      assert.equal(server.seen.length, 1);
      assert.deepEqual(server.seen[0]?.json(), {
        model: "e5",
        input: ["a", "b"],
        encoding_format: "float",
        dimensions: 2,
      });
    });

    it("takes part of a batch as what it is", async () => {
      server.answer = () => json({ data: [{ embedding: [1] }] });
      await (await embeddings()).infer(texts("a", "b", "c").slice(1, 2), callContext());
      assert.deepEqual((server.seen[0]!.json() as { input: string[] }).input, ["b"]);
    });

    for (const [what, answer, words] of [
      ["fewer vectors than texts", { data: [{ index: 0, embedding: [1] }] }, /1 vectors for 2 texts/],
      [
        "an index twice",
        {
          data: [
            { index: 0, embedding: [1] },
            { index: 0, embedding: [2] },
          ],
        },
        /index 0, of 2/,
      ],
      [
        "an index beyond",
        {
          data: [
            { index: 0, embedding: [1] },
            { index: 2, embedding: [2] },
          ],
        },
        /index 2, of 2/,
      ],
      [
        "a vector that is none",
        { data: [{ embedding: [1] }, { embedding: "AAAA" }] },
        /vector 1 is no list of numbers/,
      ],
      ["another protocol", { outputs: [] }, /no list "data"/],
    ] as [string, unknown, RegExp][]) {
      it(`${what} is MILL_ENDPOINT_INVALID (V1)`, async () => {
        server.answer = () => json(answer);
        const error = await errorOf((await embeddings()).infer(texts("a", "b"), callContext()));
        assert.equal(error.code, "MILL_ENDPOINT_INVALID");
        assert.match(error.message, words);
      });
    }

    it("a refusal of one text is that row's own; of several it is the call's, and the instance finds the row", async () => {
      server.answer = () => json({ error: { message: "input is too long" } }, { status: 400 });
      const handler = await embeddings();
      const refused: number[] = [];
      await handler.infer(texts("a"), callContext({ reject: (row) => refused.push(row) }));
      assert.deepEqual(refused, [0]);
      const error = await errorOf(handler.infer(texts("a", "b"), callContext()));
      assert.equal(error.code, "MILL_ENDPOINT_REFUSED");
    });
  });

  it("wants many calls at a time, and for embeddings many rows of one", () => {
    const url = "http://localhost:1";
    assert.deepEqual(openai({ kind: "chat", url, model: "m" }).defaults, { concurrency: 32 });
    assert.deepEqual(openai({ kind: "embeddings", url, model: "m" }).defaults, {
      concurrency: 8,
      batch: { rowsMax: 64 },
    });
  });
});
