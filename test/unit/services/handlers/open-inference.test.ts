import assert from "node:assert/strict";
import { type OpenInferenceSpec, openInference } from "../../../../src/services/handlers/open-inference.js";
import type { Tensor } from "../../../../src/services/handlers/tensor.js";
import type { HandlerContext, LoadedHandler } from "../../../../src/topology/service.js";
import { batchFromRows, columnOf, rowsOf } from "../../../../src/types/batches.js";
import { type Columns, type Row, t } from "../../../../src/types/columns.js";
import { BadServer, json, type Reply } from "./bad-server.js";
import { callContext, errorOf, loadContext } from "./contexts.js";
import { type FakeV2, fakeV2, requestIn } from "./fake-v2.js";

const BINARY: FakeV2 = { extensions: ["model_repository", "binary_tensor_data"] };

describe("services/handlers/open-inference", () => {
  let server: BadServer;
  const loaded: { unload?(): Promise<void> }[] = [];

  beforeEach(async () => {
    server = await BadServer.start();
  });
  afterEach(async () => {
    for (const handler of loaded.splice(0)) await handler.unload?.();
    await server.stop();
  });

  async function load<C extends Columns, O extends Columns = C>(
    columns: C,
    spec: Partial<OpenInferenceSpec<C, O>> = {},
    given: { readonly output?: O; readonly context?: Partial<HandlerContext> } = {},
  ): Promise<LoadedHandler<C, O>> {
    const output = given.output ?? (columns as unknown as O);
    const handler = openInference<C, O>({ url: server.url, model: "echo", ...spec });
    const made = await handler.load(loadContext({ service: "scorer", input: columns, output, ...given.context }));
    loaded.push(made);
    return made;
  }
  const posted = () => server.seen.filter(({ method }) => method === "POST");

  const everything = {
    flag: t.bool,
    count: t.int32,
    id: t.int64,
    score: t.float32,
    exact: t.float64,
    when: t.timestamp,
    text: t.utf8,
    image: t.binary,
    vector: t.list(t.float32),
    table: t.list(t.list(t.int64)),
    words: t.list(t.utf8),
    flags: t.list(t.bool),
    pixels: t.tensor("uint8", [2, 3]),
    embedding: t.embedding(2, { metric: "cosine" }),
  };
  const row = (i: number): Row<typeof everything> => ({
    flag: i % 2 === 0,
    count: 0 - i,
    id: 2n ** 53n + BigInt(i),
    score: i / 4,
    exact: Math.PI * i,
    when: 1_700_000_000_000 + i,
    text: `Grüße ${"x".repeat(i)}`,
    image: Uint8Array.from({ length: i }, (_, at) => 250 + at),
    vector: [i, 0 - i, 0.5],
    table: [
      [BigInt(i), 1n],
      [2n, 3n],
    ],
    words: ["a", "ü".repeat(i)],
    flags: [i === 1, true, false],
    pixels: Uint8Array.of(i, 1, 2, 3, 4, 255),
    embedding: Float32Array.of(i, -0.5),
  });
  const rows = [row(0), row(1), row(2), row(3)];
  /** JSON keeps integers up to 2^53. */
  const small = rows.map((one, i) => ({ ...one, id: BigInt(i) - 2n }));

  for (const [what, options, sent] of [
    ["bytes, where the server has the extension", BINARY, rows],
    ["JSON, where it does not say that it has", {}, small],
  ] as const) {
    it(`every type of column comes back as it went, as ${what} (T1)`, async () => {
      server.answer = fakeV2("echo", options);
      const handler = await load(everything);
      const answer = await handler.infer(batchFromRows(everything, sent), callContext());
      assert.deepEqual(rowsOf(everything, answer), sent);
      const { headers } = posted()[0]!;
      assert.equal("inference-header-content-length" in headers, options === BINARY);
    });

    it(`so does the middle of a batch, as ${what}`, async () => {
      server.answer = fakeV2("echo", options);
      const handler = await load(everything);
      const answer = await handler.infer(batchFromRows(everything, sent).slice(1, 3), callContext());
      assert.deepEqual(rowsOf(everything, answer), sent.slice(1, 3));
    });
  }

  it("a column is one tensor [rows, ...], with the protocol's datatype and its bytes", async () => {
    server.answer = fakeV2("echo", BINARY);
    const handler = await load(everything);
    await handler.infer(batchFromRows(everything, rows.slice(2)), callContext());
    const { request, bytes } = requestIn(posted()[0]!);
    assert.deepEqual(
      request.inputs.map(({ name, datatype, shape }) => `${name} ${datatype} ${shape.join("x")}`),
      [
        "flag BOOL 2",
        "count INT32 2",
        "id INT64 2",
        "score FP32 2",
        "exact FP64 2",
        "when INT64 2",
        "text BYTES 2",
        "image BYTES 2",
        "vector FP32 2x3",
        "table INT64 2x2x2",
        "words BYTES 2x2",
        "flags BOOL 2x3",
        "pixels UINT8 2x2x3",
        "embedding FP32 2x2",
      ],
    );
    assert.equal(bytes.get("image")?.toString("hex"), "02000000fafb03000000fafbfc");
    assert.equal(bytes.get("count")?.toString("hex"), "fefffffffdffffff");
    assert.equal(bytes.get("flag")?.toString("hex"), "0100");
    assert.equal(bytes.get("pixels")?.toString("hex"), "0201020304ff0301020304ff");
    assert.deepEqual(request.outputs?.[0], { name: "flag", parameters: { binary_data: true } });
  });

  it("names, datatypes and shapes are the user's to say, and pixels need no list of numbers", async () => {
    const columns = { pixels: t.binary, small: t.list(t.int32) };
    server.answer = fakeV2("echo", { ...BINARY, renames: { x: "pixels" } });
    const handler = await load(columns, {
      inputs: {
        pixels: { tensor: "x", datatype: "UINT8", shape: [2, 2, 3] },
        small: { datatype: "INT64", shape: [2, 1] },
      },
    });
    const sent = [1, 2].map((i) => ({ pixels: Buffer.alloc(12, i), small: [i, -i] }));
    const error = await errorOf(handler.infer(batchFromRows(columns, sent), callContext()));
    assert.match(
      error.message,
      /output column "small" \(list<int32>\) cannot be a tensor: INT64 is not what fits into it/,
    );
    const { request, bytes } = requestIn(posted()[0]!);
    assert.deepEqual(
      request.inputs.map(({ name, datatype, shape }) => `${name} ${datatype} ${shape.join("x")}`),
      ["x UINT8 2x2x2x3", "small INT64 2x2x1"],
    );
    assert.deepEqual(bytes.get("x"), Buffer.concat(sent.map(({ pixels }) => pixels)));
  });

  it("raw content comes back as raw content", async () => {
    const columns = { mask: t.binary };
    server.answer = fakeV2("echo", BINARY);
    const handler = await load(columns, { inputs: { mask: { datatype: "FP32" } } });
    const mask = new Uint8Array(new Float32Array([1, 2, 3]).buffer);
    const answer = await handler.infer(batchFromRows(columns, [{ mask }, { mask }]), callContext());
    assert.deepEqual(rowsOf(columns, answer), [{ mask }, { mask }]);
    assert.deepEqual(requestIn(posted()[0]!).request.inputs[0]?.shape, [2, 3]);
  });

  it("takes encode and decode for anything else", async () => {
    const input = { a: t.float32, b: t.float32 };
    const output = { sum: t.float64 };
    server.answer = fakeV2("echo", BINARY);
    const handler = await load<typeof input, typeof output>(
      input,
      {
        encode: (batch): Tensor[] => {
          const both = rowsOf(input, batch).flatMap(({ a, b }) => [a, b]);
          return [{ name: "ab", datatype: "FP32", shape: [batch.numRows, 2], data: Float32Array.from(both) }];
        },
        decode: (tensors, batch) => {
          const ab = tensors.get("ab")!.data as Float32Array;
          const sums = Array.from({ length: batch.numRows }, (_, i) => ({ sum: ab[2 * i]! + ab[2 * i + 1]! }));
          return batchFromRows(output, sums);
        },
      },
      { output },
    );
    const answer = await handler.infer(
      batchFromRows(input, [
        { a: 1, b: 2 },
        { a: 3, b: 4 },
      ]),
      callContext(),
    );
    assert.deepEqual(Array.from(columnOf(answer, "sum")), [3, 7]);
    assert.equal(requestIn(posted()[0]!).request.outputs, undefined, "all outputs are asked for");
  });

  it("gives a row's id on, as the request's and as the idempotency key", async () => {
    const columns = { n: t.int32 };
    server.answer = fakeV2("echo");
    const handler = await load(columns);
    await handler.infer(batchFromRows(columns, [{ n: 1 }]), callContext({ rowId: () => "row-7" }));
    await handler.infer(
      batchFromRows(columns, [{ n: 1 }, { n: 2 }]),
      callContext({ rowId: () => assert.fail("two rows") }),
    );
    assert.deepEqual(
      posted().map((seen) => [requestIn(seen).request.id, seen.headers["idempotency-key"]]),
      [
        ["row-7", "row-7"],
        [undefined, undefined],
      ],
    );
  });

  describe("before an instance is READY", () => {
    const columns = { n: t.int32 };
    /** A clock on which a pause is over at once, and counted. */
    function hurried() {
      const { clock } = loadContext();
      let nowMs = 0;
      const sleep = async (ms: number) => {
        nowMs += ms;
      };
      return { ...clock, monotonicMs: () => nowMs, sleep };
    }

    it("it waits until server and model say that they are ready", async () => {
      const notYet: Reply = json({ error: "not ready" }, { status: 400 });
      server.answer = fakeV2("echo", { serverReady: [{ status: 503 }, { status: 503 }, {}], modelReady: [notYet, {}] });
      await load(columns, {}, { context: { clock: hurried() } });
      const asked = server.seen.map(({ path }) => path);
      assert.deepEqual(asked.slice(0, 5), [
        ...["/v2/health/ready", "/v2/health/ready", "/v2/health/ready"],
        ...["/v2/models/echo/ready", "/v2/models/echo/ready"],
      ]);
    });

    it("no longer than it may; then the last answer is the reason", async () => {
      server.answer = fakeV2("echo", { modelReady: [json({ error: "still loading" }, { status: 503 })] });
      const clock = hurried();
      const error = await errorOf(load(columns, { readyTimeoutMs: 2_000 }, { context: { clock } }));
      assert.equal(error.code, "MILL_ENDPOINT_BUSY");
      assert.match(error.message, /answered 503: still loading/);
      assert.equal(clock.monotonicMs(), 2_000);
    });

    it("a model that there is not is refused at once", async () => {
      server.answer = fakeV2("other");
      const error = await errorOf(load(columns));
      assert.equal(error.code, "MILL_ENDPOINT_REFUSED");
      assert.match(error.message, /models\/echo\/ready answered 404.* Check the URL and the name of the model/);
    });

    it("a stop ends the wait", async () => {
      const stop = new AbortController();
      const reason = new Error("stopped");
      server.answer = () => {
        stop.abort(reason);
        return { status: 503 };
      };
      await assert.rejects(load(columns, {}, { context: { signal: stop.signal } }), reason);
    });

    it("a version is part of every path of the model", async () => {
      server.answer = () => json({});
      await load(columns, { version: "3" });
      assert.ok(server.seen.some(({ path }) => path === "/v2/models/echo/versions/3/ready"));
    });

    for (const [what, describes, words] of [
      [
        "another name",
        { inputs: [{ name: "x", datatype: "INT32", shape: [-1] }] },
        /takes x: INT32, but the topology feeds n: INT32/,
      ],
      ["another datatype", { inputs: [{ name: "n", datatype: "FP32", shape: [-1] }] }, /takes n: FP32, but/],
      [
        "one more input",
        {
          inputs: [
            { name: "n", datatype: "INT32" },
            { name: "m", datatype: "INT32" },
          ],
        },
        /takes n: INT32; m: INT32, but/,
      ],
      [
        "no such output",
        { inputs: null, outputs: [{ name: "y", datatype: "INT32" }] },
        /answers y: INT32, but the topology wants "n"/,
      ],
    ] as const) {
      it(`${what} than the server describes is MILL_MODEL_INPUTS`, async () => {
        server.answer = fakeV2("echo", { describes });
        const error = await errorOf(load(columns));
        assert.equal(error.code, "MILL_MODEL_INPUTS");
        assert.match(error.message, words);
      });
    }

    for (const [what, given] of [
      ["a struct", { n: t.struct({ a: t.int32 }) }],
      ["a column with nulls", { n: t.optional(t.int32) }],
      ["a list of values that may be null", { n: t.list(t.optional(t.int32)) }],
      ["a tensor of many shapes", { n: t.tensor("uint8", [null]) }],
      ["a tensor that may be null", { n: t.optional(t.tensor("uint8", [1])) }],
      ["a list of tensors", { n: t.list(t.tensor("uint8", [1])) }],
    ] as const) {
      it(`${what} is MILL_TOPOLOGY_TYPE and asks for encode`, async () => {
        const error = await errorOf(load<Columns>(given));
        assert.equal(error.code, "MILL_TOPOLOGY_TYPE");
        assert.match(error.message, /input column "n".*give encode/);
      });
    }

    it("a datatype that does not hold the column's values is MILL_TOPOLOGY_TYPE (T1)", async () => {
      const error = await errorOf(load({ n: t.float64 }, { inputs: { n: { datatype: "FP32" } } }));
      assert.equal(error.code, "MILL_TOPOLOGY_TYPE");
      assert.match(error.message, /FP32 is not what holds its values. That is FP64/);
      const other = await errorOf(load({ n: t.tensor("uint8", [1]) }, { inputs: { n: { datatype: "INT8" } } }));
      assert.equal(other.code, "MILL_TOPOLOGY_TYPE");
      assert.match(other.message, /its elements are UINT8, and INT8 is something else/);
    });
  });

  it("rows of two lengths are refused and told what to do (T2)", async () => {
    const columns = { vector: t.list(t.float32) };
    server.answer = fakeV2("echo", BINARY);
    const handler = await load(columns);
    const error = await errorOf(
      handler.infer(batchFromRows(columns, [{ vector: [1] }, { vector: [1, 2] }]), callContext()),
    );
    assert.equal(error.code, "MILL_RECORD_INVALID");
    assert.match(error.message, /differ in length \(1 and 2\).*batch.bucketBy/);
  });

  it("minus zero stays minus zero in JSON (T1)", async () => {
    const columns = { x: t.float64 };
    server.answer = fakeV2("echo");
    await (await load(columns)).infer(batchFromRows(columns, [{ x: -0 }]), callContext());
    assert.ok(Object.is(requestIn(posted()[0]!).request.inputs[0]?.data?.[0], -0));
  });

  it("NaN and infinity need bytes: JSON has none", async () => {
    const columns = { x: t.float64 };
    server.answer = fakeV2("echo");
    const sent = [{ x: Number.NaN }, { x: Number.NEGATIVE_INFINITY }];
    const error = await errorOf((await load(columns)).infer(batchFromRows(columns, sent), callContext()));
    assert.match(error.message, /JSON has no NaN and no infinity. Use binary: true/);
    const answer = await (await load(columns, { binary: true })).infer(batchFromRows(columns, sent), callContext());
    assert.deepEqual(rowsOf(columns, answer), sent);
  });

  describe("an answer that is none of the protocol is MILL_ENDPOINT_INVALID", () => {
    const n = (more: object) =>
      json({ outputs: [{ name: "n", datatype: "INT32", shape: [2], data: [1, 2], ...more }] });
    const binary = (size: number, bytes: number, length?: string): Reply => {
      const head = JSON.stringify({
        outputs: [{ name: "n", datatype: "INT32", shape: [2], parameters: { binary_data_size: size } }],
      });
      const headers = { "inference-header-content-length": length ?? String(head.length) };
      return { headers, body: Buffer.concat([Buffer.from(head), Buffer.alloc(bytes)]) };
    };
    for (const [what, reply, words] of [
      ["fewer rows", n({ shape: [1], data: [1] }), /shape \[1\] where 2 rows were sent/],
      ["more rows", n({ shape: [3], data: [1, 2, 3] }), /shape \[3\] where 2 rows/],
      ["fewer values than its shape", n({ data: [1] }), /\[2\]\) has 1 values/],
      ["another tensor", n({ name: "m" }), /has no tensor "n". It has: m/],
      ["no outputs", json({ choices: [] }), /no list "outputs"/],
      ["null", json(null), /no list "outputs"/],
      ["an unknown datatype", n({ datatype: "STRING" }), /of its outputs one is .*STRING/],
      ["a shape that is none", n({ shape: [-1] }), /of its outputs one is /],
      ["a value of another type", n({ data: [1, "2"] }), /has the value "2"/],
      ["a value beyond its datatype", n({ datatype: "INT8", data: [1, 300] }), /has the value 300, which is no INT8/],
      ["half of a JSON", { body: '{"outputs": [{' }, /is no JSON and begins with "\{"outputs"/],
      ["a page", { body: "<html>" }, /begins with "<html>/],
      ["nothing", {}, /is no JSON/],
      ["more values than a plain column has", n({ shape: [2, 2], data: [1, 2, 3, 4] }), /has 2 values for each int32/],
      ["fewer bytes than announced", binary(8, 4), /has 4 bytes/],
      ["more bytes than announced", binary(8, 12), /tensors have 8 bytes and its body 12/],
      ["bytes of another count", binary(4, 4), /\[2\]\) has 4 bytes/],
      ["a JSON length beyond the body", binary(8, 8, "100000"), /is 100000 and its body has/],
      ["a JSON length that is none", binary(8, 8, "many"), /is many and/],
      ["a wrong JSON length", binary(8, 8, "20"), /is no JSON/],
    ] as [string, Reply, RegExp][]) {
      it(what, async () => {
        const columns = { n: t.int32 };
        const good = fakeV2("echo");
        server.answer = (seen) => (seen.method === "POST" ? reply : good(seen));
        const handler = await load(columns);
        const error = await errorOf(handler.infer(batchFromRows(columns, [{ n: 1 }, { n: 2 }]), callContext()));
        assert.equal(error.code, "MILL_ENDPOINT_INVALID");
        assert.match(error.message, /service "scorer": http.*\/infer gave an answer that cannot be used: /);
        assert.match(error.message, words);
      });
    }

    it("content with lengths that do not add up", async () => {
      const columns = { text: t.utf8 };
      const head = JSON.stringify({
        outputs: [{ name: "text", datatype: "BYTES", shape: [1], parameters: { binary_data_size: 6 } }],
      });
      const good = fakeV2("echo");
      server.answer = (seen) =>
        seen.method === "POST"
          ? {
              headers: { "inference-header-content-length": String(head.length) },
              body: Buffer.concat([Buffer.from(head), Buffer.from([9, 0, 0, 0, 65, 66])]),
            }
          : good(seen);
      const error = await errorOf((await load(columns)).infer(batchFromRows(columns, [{ text: "a" }]), callContext()));
      assert.equal(error.code, "MILL_ENDPOINT_INVALID");
    });
  });

  it("a server that wants rest is BUSY with the time that it named", async () => {
    const columns = { n: t.int32 };
    const good = fakeV2("echo");
    server.answer = (seen) => (seen.method === "POST" ? { status: 503, headers: { "retry-after": "2" } } : good(seen));
    const error = await errorOf((await load(columns)).infer(batchFromRows(columns, [{ n: 1 }]), callContext()));
    assert.equal(error.code, "MILL_ENDPOINT_BUSY");
    assert.equal(error.facts.retryAfterMs, 2_000);
  });
});
