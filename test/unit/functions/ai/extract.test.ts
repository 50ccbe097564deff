/** Each `@ts-expect-error` is a test of the compiler's: where the line below it compiles, this file does not. */
import assert from "node:assert/strict";
import { type ExtractOptions, extract, extractService } from "../../../../src/functions/ai/extract.js";
import type { LoadedHandler } from "../../../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../../../src/types/batches.js";
import { type Columns, t } from "../../../../src/types/columns.js";
import { BadServer, events, json, type Seen } from "../../services/handlers/bad-server.js";
import { callContext, errorOf, loadContext } from "../../services/handlers/contexts.js";
import { built, pages } from "../../topology/support.js";

const invoice = t.struct({
  number: t.utf8,
  total: t.float64,
  paid: t.bool,
  due: t.optional(t.utf8),
  lines: t.list(t.struct({ text: t.utf8, count: t.int32, unit: t.optional(t.utf8) })),
});
const good = {
  number: "A-17",
  total: 12.5,
  paid: false,
  due: null,
  lines: [{ text: "tea", count: 2, unit: "kg" }],
};

interface Request {
  readonly messages: { readonly role: string; readonly content: string }[];
  readonly response_format: { readonly json_schema: { readonly schema: object; readonly strict: boolean } };
  readonly temperature?: number;
}
const requestOf = (seen: Seen) => seen.json() as Request;

type Options = ExtractOptions<"letter", "invoice", (typeof invoice)["columns"]>;
type Given = Partial<Options>;

describe("functions/ai: extract", () => {
  let server: BadServer;
  const loaded: LoadedHandler<Columns, Columns>[] = [];

  beforeEach(async () => {
    server = await BadServer.start();
  });
  afterEach(async () => {
    for (const handler of loaded.splice(0)) await handler.unload?.();
    await server.stop();
  });

  const serviceOf = (options: Given) =>
    extractService({
      ...{ from: "letter", into: "invoice", schema: invoice, url: `${server.url}/v1`, model: "small" },
      ...options,
    } as Options);

  async function run(letters: readonly string[], options: Given = {}) {
    const service = serviceOf(options);
    const { input, output } = service;
    const handler = await service.handler.load(loadContext({ service: "extract", input, output }));
    loaded.push(handler as never);
    const refused = new Map<number, { code: string; message: string }>();
    const call = callContext({
      rowId: (row) => `row-${row}`,
      reject: (row, error) => void refused.set(row, error as never),
    });
    const batch = batchFromRows(
      input,
      letters.map((letter) => ({ letter })),
    );
    const answer = await handler.infer(batch as never, call);
    return { rows: rowsOf(output, answer as never).map((row) => row.invoice), refused };
  }

  /** Answers with these texts, one after another, and then with the last of them. */
  function answering(...texts: readonly (string | object)[]): void {
    let next = 0;
    server.answer = () => {
      const text = texts[Math.min(next++, texts.length - 1)]!;
      return said(typeof text === "string" ? text : JSON.stringify(text));
    };
  }
  const said = (content: string, finish_reason = "stop") =>
    json({ choices: [{ message: { content }, finish_reason }] });

  it("asks with the schema of the struct, and gives the answer as a struct", async () => {
    answering(good);
    const fields = { total: { description: "with taxes" }, "lines[].unit": { choices: ["kg", "m"] } };
    const { rows } = await run(["Invoice A-17"], { fields, parameters: { temperature: 0 } });
    assert.deepEqual(rows, [good]);
    const { messages, response_format, temperature } = requestOf(server.seen[0]!);
    assert.deepEqual(messages.at(-1), { role: "user", content: "Invoice A-17" });
    assert.equal(messages[0]!.role, "system");
    assert.equal(temperature, 0);
    assert.equal(response_format.json_schema.strict, true);
    assert.deepEqual(response_format.json_schema.schema, {
      type: "object",
      properties: {
        number: { type: "string" },
        total: { type: "number", description: "with taxes" },
        paid: { type: "boolean" },
        due: { type: ["string", "null"] },
        lines: {
          type: "array",
          items: {
            type: "object",
            properties: {
              text: { type: "string" },
              count: { type: "integer" },
              unit: { anyOf: [{ type: "string", enum: ["kg", "m"] }, { type: "null" }] },
            },
            required: ["text", "count", "unit"],
            additionalProperties: false,
          },
        },
      },
      required: ["number", "total", "paid", "due", "lines"],
      additionalProperties: false,
    });
  });

  it("an answer that does not fit goes back with what is wrong with it, under another idempotency key (X1, X2)", async () => {
    answering({ ...good, total: "twelve" }, "{", good);
    const { rows, refused } = await run(["Invoice A-17"]);
    assert.deepEqual([rows, refused.size], [[good], 0]);
    const conversations = server.seen.map((seen) => requestOf(seen).messages);
    assert.deepEqual(
      conversations.map((messages) => messages.map(({ role }) => role)),
      [
        ["system", "user"],
        ["system", "user", "assistant", "user"],
        ["system", "user", "assistant", "user"],
      ],
    );
    assert.match(conversations[1]!.at(-1)!.content, /total: a number is needed, not "twelve"/);
    assert.equal(conversations[2]!.at(-2)!.content, "{");
    assert.match(conversations[2]!.at(-1)!.content, /it is no JSON/);
    const keys = server.seen.map(({ headers }) => headers["idempotency-key"]);
    assert.equal(new Set(keys).size, 3);
    assert.equal(keys[0], "row-0");
  });

  const wrong: [string, string | object, RegExp][] = [
    ["a part that is missing", { ...good, total: undefined }, /the answer lacks "total"/],
    ["a part that the schema lacks", { ...good, extra: 1 }, /a part "extra" that the schema lacks/],
    ["a prototype", JSON.stringify(good).replace("{", '{"__proto__": {"paid": true}, '), /a part "__proto__"/],
    ["a null that may not be", { ...good, number: null }, /number: a text is needed, not null/],
    [
      "a fraction for a whole number",
      { ...good, lines: [{ text: "", count: 1.5, unit: null }] },
      /lines\[0\]\.count: a whole number of 32 bits is needed, not 1.5/,
    ],
    [
      "a number of more than 32 bits",
      { ...good, lines: [{ text: "", count: 2 ** 31, unit: null }] },
      /whole number of 32 bits/,
    ],
    ["a text for a truth", { ...good, paid: "yes" }, /paid: true or false is needed/],
    ["a list for an object", [good], /the answer: an object is needed, not a list/],
    ["an object for a list", { ...good, lines: {} }, /lines: a list is needed, not an object/],
    [
      "a choice that is none",
      { ...good, lines: [{ text: "", count: 1, unit: "mile" }] },
      /lines\[0\]\.unit: it is "mile"; it must be one of kg, m/,
    ],
    ["too many entries", { ...good, lines: Array(11).fill(good.lines[0]) }, /its lists have more than 10 entries/],
    ["too long a text", { ...good, number: "9".repeat(3_000) }, /at most 2000 are allowed/],
    ["a deep nest", `${"[".repeat(900)}${"]".repeat(900)}`, /nested deeper than 64 levels/],
    ["nothing", "", /it is no JSON/],
    ["prose", "I am sorry, but I cannot do that.", /it is no JSON/],
  ];
  for (const [what, answer, message] of wrong) {
    it(`an answer with ${what} is refused after the last try, with the reason and the answer's begin (X1)`, async () => {
      answering(answer);
      const fields = { "lines[].unit": { choices: ["kg", "m"] } };
      const { refused } = await run(["letter"], { fields, answersMax: 2, entriesMax: 10, answerCharsMax: 2_000 });
      assert.equal(server.seen.length, 2);
      const { code, message: text } = refused.get(0)!;
      assert.equal(code, "MILL_ANSWER_INVALID");
      assert.match(text, message);
      assert.ok(text.length < 900, `${text.length} characters`);
      assert.match(text, /2 times in a row/);
    });
  }

  it("one bad row costs no other its answer, and each row has its own", async () => {
    server.answer = (seen) => {
      const text = requestOf(seen).messages[1]!.content;
      return said(text === "bad" ? "no" : JSON.stringify({ ...good, number: text }));
    };
    const { rows, refused } = await run(["one", "bad", "three"], { answersMax: 1 });
    assert.deepEqual([...refused.keys()], [1]);
    assert.deepEqual([rows[0]!.number, rows[2]!.number], ["one", "three"]);
  });

  it("takes JSON in a code block, and answers that are streamed", async () => {
    answering(`\`\`\`json\n${JSON.stringify(good)}\n\`\`\``);
    assert.deepEqual((await run(["letter"])).rows, [good]);
    const [head, tail] = [JSON.stringify(good).slice(0, 20), JSON.stringify(good).slice(20)];
    server.answer = () =>
      events([
        { choices: [{ delta: { content: head } }] },
        { choices: [{ delta: { content: tail }, finish_reason: "stop" }] },
      ]);
    assert.deepEqual((await run(["letter"])).rows, [good]);
  });

  it("says so where the server cut the answer", async () => {
    server.answer = () => said(JSON.stringify(good).slice(0, 30), "length");
    const { refused } = await run(["letter"], { answersMax: 1 });
    assert.match(refused.get(0)!.message, /the server cut it: raise max_tokens/);
  });

  it("a text that is too long is refused without asking anybody", async () => {
    const { refused } = await run(["x".repeat(101)], { charsMax: 100 });
    assert.equal(refused.get(0)!.code, "MILL_TEXT_TOO_LARGE");
    assert.equal(server.seen.length, 0);
  });

  it("a server that is busy is the service's to try again; one that refuses the row refuses that row", async () => {
    server.answer = () => ({ status: 429, headers: { "retry-after": "1" } });
    assert.equal((await errorOf(run(["letter"]))).code, "MILL_ENDPOINT_BUSY");
    server.answer = () => json({ error: { message: "context length" } }, { status: 400 });
    assert.equal((await run(["letter"])).refused.get(0)!.code, "MILL_ENDPOINT_REFUSED");
  });

  it("what a service may be told is passed on, a fallback, too", () => {
    const fallback = serviceOf({ serviceName: "larger", model: "large" });
    const made = serviceOf({ service: { instances: 2, timeoutMs: 5_000, retry: { attemptsMax: 7 }, fallback } });
    assert.deepEqual(
      [made.id, made.instances, made.timeoutMs, made.retry.attemptsMax, made.fallback?.id],
      ["extract", 2, 5_000, 7, "larger"],
    );
    assert.equal(made.concurrency, 32); // what suits a chat
  });

  it("a schema that no answer can have is refused at once", () => {
    const make =
      (schema: unknown, more: Given = {}) =>
      () =>
        serviceOf({ schema: schema as never, ...more });
    const config = (message: RegExp) => ({ code: "MILL_CONFIG", message });
    assert.throws(make(t.utf8), config(/schema is no struct/));
    assert.throws(make(t.struct({})), config(/has no parts/));
    assert.throws(make(t.struct({ photo: t.image })), config(/"photo" is image; use structs and lists of/));
    assert.throws(make(t.struct({ day: t.timestamp })), config(/"day" is timestamp/));
    assert.throws(make(invoice, { fields: { totl: {} } }), config(/fields names "totl"/));
    assert.throws(make(invoice, { fields: { total: { choices: ["1"] } } }), config(/choices of "total"/));
    let deep: unknown = t.utf8;
    for (let i = 0; i < 12; i++) deep = t.struct({ deeper: deep as typeof t.utf8 });
    assert.throws(make(deep), config(/deeper than 10 levels/));
  });
});

describe("functions/ai: extract in a topology", () => {
  const options = {
    into: "found",
    schema: t.struct({ total: t.float64 }),
    url: "http://model/v1",
    model: "m",
  } as const;

  it("adds a struct, whose parts the next operator knows", () => {
    const { operators, services } = built((job) =>
      job
        .read(pages)
        .pipe(extract({ ...options, from: "name" }))
        .filter(({ found }) => found.total.toFixed(2) !== "0.00"),
    );
    assert.equal(operators[1]!.id, "extract-1");
    assert.deepEqual(
      services.map(({ id }) => id),
      ["extract"],
    );
  });

  it("a column that is no text is refused by TypeScript and by the plan, with operator and column", () => {
    assert.throws(
      // @ts-expect-error size is a number
      () => built((job) => job.read(pages).pipe(extract({ ...options, from: "size", id: "read" }))),
      {
        code: "MILL_TOPOLOGY_TYPE",
        message: 'operator "read": column "size" is int32, but extract reads text (t.utf8).',
      },
    );
  });
});
