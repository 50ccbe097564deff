import assert from "node:assert/strict";
import { handler, openai, openInference, rowsOf, service, t } from "millrace";
import { batchFromRows } from "../../../../src/types/batches.js";
import { callContext, loadContext } from "./contexts.js";

const input = { n: t.int32 };
const output = { doubled: t.int32 };

describe("services/handlers/handler: four functions of the user's", () => {
  it("hands what load made to the other three, each once", async () => {
    const told: string[] = [];
    const made = handler({
      input,
      output,
      load: ({ service: of }) => {
        told.push(`load ${of}`);
        return { factor: 2 };
      },
      warm: (model) => void told.push(`warm ${model.factor}`),
      infer: (model, rows) => rows.map(({ n }) => ({ doubled: n * model.factor })),
      unload: (model) => void told.push(`unload ${model.factor}`),
    });
    const loaded = await made.load(loadContext());
    await loaded.warm?.();
    const answer = await loaded.infer(batchFromRows(input, [{ n: 4 }, { n: 5 }]), callContext());
    await loaded.unload?.();
    assert.deepEqual(rowsOf(output, answer), [{ doubled: 8 }, { doubled: 10 }]);
    assert.deepEqual(told, ["load tiny", "warm 2", "unload 2"]);
  });

  it("needs no more than load and infer", async () => {
    const made = handler({ input, output, load: () => undefined, infer: () => [] });
    assert.deepEqual([made.kind, made.assets], ["typescript", {}]);
    const loaded = await made.load(loadContext());
    await loaded.warm?.();
    await loaded.unload?.();
  });

  it("what infer throws is what the call ends with, also where it is not async", async () => {
    const made = handler({
      input,
      output,
      load: () => undefined,
      infer: () => {
        throw new RangeError("too far");
      },
    });
    const loaded = await made.load(loadContext());
    await assert.rejects(loaded.infer(batchFromRows(input, []), callContext()), RangeError);
  });

  it("may refuse a row and answer the others", async () => {
    const made = handler({
      input,
      output,
      load: () => undefined,
      infer: (_, rows, context) =>
        rows.map(({ n }, i) => {
          if (n < 0) context.reject(i, new Error("negative"));
          return { doubled: 2 * n };
        }),
    });
    const loaded = await made.load(loadContext());
    const refused: number[] = [];
    const context = callContext({ reject: (row) => refused.push(row) });
    await loaded.infer(batchFromRows(input, [{ n: 1 }, { n: -1 }]), context);
    assert.deepEqual(refused, [1]);
  });

  it("fits a service of its columns, as the HTTP handlers do; each has the concurrency that suits it", () => {
    const url = "http://localhost:8000";
    const load = () => undefined;
    const double = handler({ input, output, load, infer: (_, rows) => rows.map(({ n }) => ({ doubled: 2 * n })) });
    const services = [
      service("double", { input, output, handler: double }),
      service("scorer", { input, output, handler: openInference({ url, model: "scorer" }) }),
      service("writer", {
        input: { prompt: t.utf8 },
        output: { text: t.utf8 },
        handler: openai({ kind: "chat", url, model: "small" }),
      }),
    ];
    assert.deepEqual(
      services.map(({ concurrency }) => concurrency),
      [1, 16, 32],
    );
  });
});
