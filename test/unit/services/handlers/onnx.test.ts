import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { MillraceError } from "../../../../src/base/errors.js";
import {
  type ModelInput,
  type OnnxCall,
  type OnnxModel,
  type OnnxSpec,
  onnx,
} from "../../../../src/services/handlers/onnx.js";
import type { LoadedHandler } from "../../../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../../../src/types/batches.js";
import { t } from "../../../../src/types/columns.js";
import { type TinyInput, tinyModel } from "../tiny-model.js";
import { callContext, errorOf, loadContext } from "./contexts.js";

const columns = { a: t.float32, b: t.float32 };
type Spec = OnnxSpec<typeof columns, typeof columns>;

const X: TinyInput = { name: "x", type: "float32", dims: ["n", 2] };
const TAKES_X: Readonly<Record<string, ModelInput>> = { x: { type: "float32", dims: [null, 2] } };

/** Feeds both columns as one tensor and reads them back from the model's answer. */
function throughModel(model: OnnxModel): OnnxCall<typeof columns, typeof columns> {
  return {
    warm: async () => {
      await model.run({ x: model.tensor(new Float32Array(2), [1, 2]) });
    },
    infer: async (batch) => {
      const rows = rowsOf(columns, batch);
      const fed = Float32Array.from(rows.flatMap(({ a, b }) => [a, b]));
      const answered = await model.run({ x: model.tensor(fed, [rows.length, 2]) });
      const data = answered[model.outputNames[0]!]!.data as Float32Array;
      return batchFromRows(
        columns,
        rows.map((_, i) => ({ a: data[2 * i]!, b: data[2 * i + 1]! })),
      );
    },
  };
}

describe("services/handlers/onnx: from a file to a handler", () => {
  let folder: string;
  const loaded: LoadedHandler<typeof columns, typeof columns>[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-onnx-"));
  });
  afterEach(async () => {
    for (const handler of loaded.splice(0)) await handler.unload?.();
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function load(model: Uint8Array, spec: Partial<Spec> = {}, others: Readonly<Record<string, string>> = {}) {
    const file = join(folder, "model.onnx");
    await writeFile(file, model);
    const handler = onnx<typeof columns, typeof columns>({
      model: "models/tiny.onnx",
      inputs: TAKES_X,
      prepare: throughModel,
      ...spec,
    });
    const asset = (name: string) => (name === "model" ? file : (others[name] ?? `/assets/${name}`));
    const signal = new AbortController().signal;
    const handlerLoaded = await handler.load({ ...loadContext({ input: columns, output: columns }), asset, signal });
    loaded.push(handlerLoaded);
    return { handler, loaded: handlerLoaded };
  }

  async function refusal(model: Uint8Array, spec: Partial<Spec> = {}): Promise<MillraceError> {
    try {
      await load(model, spec);
    } catch (error) {
      assert.ok(MillraceError.is(error), String(error));
      assert.match(error.message, /models\/tiny\.onnx/, "the model is called what the topology calls it");
      assert.ok(!error.message.includes(folder), `a path of this machine in: ${error.message}`);
      return error;
    }
    return assert.fail("it was loaded");
  }

  /** What sessions are made with; they are made all the same. */
  async function optionsOf(run: () => Promise<unknown>): Promise<InferenceSession.SessionOptions> {
    const { create } = InferenceSession;
    const seen: InferenceSession.SessionOptions[] = [];
    InferenceSession.create = ((path: Uint8Array, options: InferenceSession.SessionOptions) => {
      seen.push(options);
      return create.call(InferenceSession, path, options);
    }) as typeof create;
    try {
      await run();
    } finally {
      InferenceSession.create = create;
    }
    assert.equal(seen.length, 1);
    return seen[0]!;
  }

  it("warms and runs the model on the rows it is given", async () => {
    const { loaded } = await load(tinyModel(X));
    await loaded.warm?.();
    const batch = batchFromRows(columns, [
      { a: 1, b: 2 },
      { a: 3, b: 4 },
    ]);
    const answer = await loaded.infer(batch, callContext());
    assert.deepEqual(rowsOf(columns, answer), [
      { a: 1, b: 2 },
      { a: 3, b: 4 },
    ]);
  });

  it("runs on one thread of the cpu unless told otherwise: instances are what scales", async () => {
    const options = await optionsOf(() => load(tinyModel(X)));
    assert.deepEqual(
      [options.executionProviders, options.intraOpNumThreads, options.interOpNumThreads, options.executionMode],
      [["cpu"], 1, 1, "sequential"],
    );
  });

  it("passes on the threads and providers of the topology", async () => {
    const options = await optionsOf(() => load(tinyModel(X), { threads: 3, providers: ["cpu"] }));
    assert.deepEqual([options.executionProviders, options.intraOpNumThreads], [["cpu"], 3]);
  });

  it("gives the session's memory back when it is unloaded", async () => {
    const { loaded: handler } = await load(tinyModel(X));
    loaded.pop();
    await handler.unload?.();
    const batch = batchFromRows(columns, [{ a: 1, b: 2 }]);
    await assert.rejects(handler.infer(batch, callContext()));
  });

  it("declares the model and the other files as assets, and hands their paths to prepare", async () => {
    let path = "";
    const { handler } = await load(tinyModel(X), {
      assets: { keys: "models/keys.txt" },
      prepare: (model) => {
        path = model.asset("keys");
        return throughModel(model);
      },
    });
    assert.deepEqual(handler.assets, { model: "models/tiny.onnx", keys: "models/keys.txt" });
    assert.equal(path, "/assets/keys");
  });

  it("what prepare throws is what the instance reports", async () => {
    const error = new MillraceError("MILL_MODEL_INPUTS", "the key list does not fit");
    await assert.rejects(load(tinyModel(X), { prepare: () => Promise.reject(error) }), error);
  });

  const whole = tinyModel(X);
  for (const [what, bytes] of [
    ["an empty file", new Uint8Array(0)],
    ["a text", new TextEncoder().encode("this is no model, it is a text\n".repeat(20))],
    ["half a model", whole.subarray(0, whole.length >> 1)],
    ["a page of an error message", new TextEncoder().encode("<html><body>404 Not Found</body></html>")],
  ] as const) {
    it(`${what} is MILL_MODEL_CORRUPT, says what to do, and keeps the cause`, async () => {
      const error = await refusal(bytes);
      assert.equal(error.code, "MILL_MODEL_CORRUPT");
      assert.match(error.message, /[Ff]etch it again\.$/);
      assert.ok(error.cause instanceof Error);
      assert.equal(error.facts.service, "tiny");
    });
  }

  it("a provider that is not there is MILL_PROVIDER_MISSING naming it", async () => {
    const error = await refusal(whole, { providers: ["quantum"] });
    assert.equal(error.code, "MILL_PROVIDER_MISSING");
    assert.match(error.message, /provider quantum/);
  });

  it("nor does it fall back to the next of several", async () => {
    const error = await refusal(whole, { providers: ["quantum", "cpu"] });
    assert.equal(error.code, "MILL_PROVIDER_MISSING");
    assert.match(error.message, /quantum/);
  });

  const Y: TinyInput = { name: "y", type: "float32", dims: [1] };
  for (const [what, inputs, declared] of [
    ["an input under another name", [{ ...X, name: "image" }], TAKES_X],
    ["an input that the topology does not feed", [X, Y], TAKES_X],
    ["an input that the model does not have", [X], { ...TAKES_X, y: { type: "float32", dims: [1] } }],
    ["another element type", [{ ...X, type: "int64" }], TAKES_X],
    ["another rank", [{ ...X, dims: ["n", 2, 2] }], TAKES_X],
    ["another fixed size", [{ ...X, dims: ["n", 3] }], TAKES_X],
    ["a fixed size where the topology feeds any", [{ ...X, dims: [1, 2] }], TAKES_X],
  ] as const) {
    it(`${what} is MILL_MODEL_INPUTS and shows both sides`, async () => {
      const error = await refusal(tinyModel(...inputs), { inputs: declared });
      assert.equal(error.code, "MILL_MODEL_INPUTS");
      assert.match(error.message, /takes .*: (float32|int64)\[.*but the topology feeds x: float32\[any, 2\]/);
    });
  }

  it("a model that takes any size may be fed a fixed one", async () => {
    await load(tinyModel({ ...X, dims: ["n", "m"] }), { inputs: { x: { type: "float32", dims: [4, 2] } } });
  });

  describe("several models in one handler", () => {
    it("each has a session of its own, its file as an asset, and all are given back", async () => {
      const file = join(folder, "second.onnx");
      await writeFile(file, tinyModel({ name: "ids", type: "int64", dims: ["n"] }));
      let answered: unknown;
      const { handler, loaded: made } = await load(
        tinyModel(X),
        {
          models: { second: "models/second.onnx" },
          prepare: async (model) => {
            const second = model.models.second!;
            assert.deepEqual([second.inputNames, second.outputNames], [["ids"], ["out"]]);
            answered = (await second.run({ ids: model.tensor(BigInt64Array.of(3n, 4n), [2]) })).out?.data;
            return {
              ...throughModel(model),
              warm: async () => void (await second.run({ ids: model.tensor(BigInt64Array.of(1n), [1]) })),
            };
          },
        },
        { "model:second": file },
      );
      assert.deepEqual(handler.assets, { model: "models/tiny.onnx", "model:second": "models/second.onnx" });
      assert.deepEqual(answered, BigInt64Array.of(3n, 4n));
      await made.warm?.();
      loaded.pop();
      await made.unload?.();
      await assert.rejects(made.warm?.() ?? Promise.resolve(), /disposed/);
    });

    it("a bad one is named, and the sessions that were made before it are given back", async () => {
      const file = join(folder, "broken.onnx");
      await writeFile(file, "none");
      const { prototype } = InferenceSession as unknown as { prototype: InferenceSession };
      const { release } = prototype;
      let released = 0;
      prototype.release = function (this: InferenceSession) {
        released++;
        return release.call(this);
      };
      try {
        const spec = { models: { second: "models/broken.onnx" } };
        const error = await errorOf(load(tinyModel(X), spec, { "model:second": file }));
        assert.equal(error.code, "MILL_MODEL_CORRUPT");
        assert.match(error.message, /models\/broken\.onnx/);
      } finally {
        prototype.release = release;
      }
      assert.equal(released, 1);
    });
  });

  describe("too little memory", () => {
    /** What the runtime says when memory is short cannot be brought about at will: its words are put into its mouth. */
    async function thatFailsWith(message: string) {
      const { create } = InferenceSession;
      InferenceSession.create = (async (path: string, options: InferenceSession.SessionOptions) => {
        const session = await create.call(InferenceSession, path as never, options);
        session.run = () => Promise.reject(new Error(message));
        return session;
      }) as unknown as typeof create;
      try {
        const { loaded: made } = await load(tinyModel(X));
        return await made.infer(batchFromRows(columns, [{ a: 1, b: 2 }]), callContext());
      } finally {
        InferenceSession.create = create;
      }
    }

    for (const words of [
      "Non-zero status code returned while running Conv node. bfc_arena.cc:360 void* AllocateRawInternal(size_t) Failed to allocate memory for requested buffer of size 3221225472",
      "CUDA failure 2: out of memory ; GPU=0",
      "std::bad_alloc",
    ]) {
      it(`"${words.slice(-30)}" is MILL_OUT_OF_MEMORY naming the model, so that the call is made again in halves`, async () => {
        const error = await errorOf(thatFailsWith(words));
        assert.equal(error.code, "MILL_OUT_OF_MEMORY");
        assert.match(error.message, /^model models\/tiny\.onnx ran out of memory: /);
        assert.match(error.message, /batch\.rowsMax/);
      });
    }

    it("any other error of a run stays what it is", async () => {
      await assert.rejects(thatFailsWith("Got invalid dimensions for input: x"), /^Error: Got invalid dimensions/);
    });
  });
});
