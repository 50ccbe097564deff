import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { realPorts } from "../../../src/base/real/ports.js";
import { countOf, type OutputPlace, outputsOf, withOutputs } from "../../../src/cli/outputs.js";
import { jsonl } from "../../../src/connectors/jsonl.js";
import { topology } from "../../../src/topology/topology.js";
import { pages } from "../topology/support.js";
import { useFolders } from "./folders.js";

const options = { overwrite: false, s3: {}, ports: realPorts() };
const overwrite = { ...options, overwrite: true };

/** Every file below a folder with its text, by path; none where the folder is not there. */
async function filesIn(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const texts = await Promise.all(paths.sort().map((path) => readFile(path, "utf8")));
  return Object.fromEntries(paths.sort().map((path, i) => [path.slice(folder.length + 1), texts[i]!]));
}

const neverRun = () => assert.fail("the job must not start");

describe("cli/outputs: the places of a topology", () => {
  it("are its sinks' in order, then the dead letters', relative ones below the root", () => {
    const recorded = topology(
      "test",
      (job) => {
        const stream = job.read(pages);
        stream.to(jsonl("out/a"), { id: "a" });
        stream.to(jsonl("/elsewhere/b"), { id: "b" });
        stream.to(jsonl("s3://bucket/c"), { id: "c" });
      },
      { deadLetters: "out/bad" },
    ).build({});
    assert.deepEqual(outputsOf(recorded, "/root"), [
      { operator: "a", url: "/root/out/a" },
      { operator: "b", url: "/elsewhere/b" },
      { operator: "c", url: "s3://bucket/c" },
      { operator: "dead letters", url: "/root/out/bad" },
    ]);
    assert.equal(outputsOf(recorded, "s3://jobs/prefix/")[0]?.url, "s3://jobs/prefix/out/a");
  });

  it("counts are said in English", () => {
    assert.deepEqual(
      [0, 1n, 2].map((count) => countOf(count, "file")),
      ["0 files", "1 file", "2 files"],
    );
  });
});

describe("cli/outputs: places that hold something", () => {
  const makeFolder = useFolders();
  const earlier = { "a/out-0-1.jsonl": "old a", "b/out-0-1.jsonl": "old b", "b/_staging/1-out-0-2.jsonl": "half" };

  /** What is left of it when a job has failed: nobody needs what was prepared and not published. */
  const { "b/_staging/1-out-0-2.jsonl": _half, ...published } = earlier;

  async function places(files: Record<string, string> = earlier) {
    const root = await makeFolder(files);
    const at = (operator: string): OutputPlace => ({ operator, url: join(root, operator) });
    return { root, both: [at("a"), at("b")] };
  }

  it("runs the job where nothing is, and leaves what it wrote", async () => {
    const { root, both } = await places({});
    const result = await withOutputs(both, options, async () => {
      await writeFile(join(root, "out"), "new");
      return 7;
    });
    assert.equal(result, 7);
    assert.deepEqual(await filesIn(root), { out: "new" });
  });

  it("an earlier run's files are MILL_SINK_EXISTS, which names operator, place, file and the way on; nothing changes", async () => {
    const { root, both } = await places();
    await assert.rejects(withOutputs(both, options, neverRun), {
      code: "MILL_SINK_EXISTS",
      message: `operator "a": its output ${join(root, "a")} already holds 1 file (out-0-1.jsonl). Choose another place, or give --overwrite to replace what an earlier run wrote.`,
      facts: { operator: "a", url: join(root, "a") },
    });
    assert.deepEqual(await filesIn(root), earlier);
  });

  it("files that no run wrote are MILL_SINK_EXISTS even with --overwrite, before anything is changed anywhere (P1)", async () => {
    const { root, both } = await places({ ...earlier, "b/thesis.doc": "mine" });
    await assert.rejects(withOutputs(both, overwrite, neverRun), {
      code: "MILL_SINK_EXISTS",
      message: `operator "b": its output ${join(root, "b")} holds thesis.doc, which no run of a topology wrote, so --overwrite does not touch it. Choose another place.`,
    });
    assert.deepEqual(await filesIn(root), { ...earlier, "b/thesis.doc": "mine" });
  });

  it("a place that cannot be written is found before an earlier place is changed (P1)", async () => {
    const { root, both } = await places({ ...earlier, file: "no folder" });
    const broken = { operator: "c", url: join(root, "file", "out") };
    await assert.rejects(withOutputs([...both, broken], overwrite, neverRun), (error: Error & { code: string }) => {
      assert.equal(error.code, "MILL_SINK_UNWRITABLE");
      assert.ok(error.message.startsWith(`operator "c": its output ${broken.url} cannot be written: `), error.message);
      assert.ok(error.cause instanceof Error);
      return true;
    });
    assert.deepEqual(await filesIn(root), { ...earlier, file: "no folder" });
  });

  it("a place that is no store is MILL_CONFIG before an earlier place is changed (P1)", async () => {
    const { root, both } = await places();
    const strange = { operator: "c", url: "ftp://somewhere" };
    await assert.rejects(withOutputs([...both, strange], overwrite, neverRun), { code: "MILL_CONFIG" });
    assert.deepEqual(await filesIn(root), earlier);
  });

  it("while the job runs, what it replaces is out of sight: names start with _ (P2)", async () => {
    const { root, both } = await places();
    await withOutputs(both, overwrite, async () => {
      const seen = Object.keys(await filesIn(root)).filter((path) => !/(^|\/)_/.test(path));
      assert.deepEqual(seen, []);
    });
  });

  it("when the job has finished, only what it wrote is there (P2)", async () => {
    const { root, both } = await places();
    await withOutputs(both, overwrite, () => writeFile(join(root, "a", "out-0-1.jsonl"), "new a"));
    assert.deepEqual(await filesIn(root), { "a/out-0-1.jsonl": "new a" });
  });

  it("when the job fails, what was there is back, and the error is the job's (P2)", async () => {
    const { root, both } = await places();
    const failure = new Error("no luck");
    await assert.rejects(
      withOutputs(both, overwrite, () => Promise.reject(failure)),
      (error) => error === failure,
    );
    assert.deepEqual(await filesIn(root), published);
  });

  it("what a job published before it failed stays beside what was there (P2)", async () => {
    const { root, both } = await places({ "a/out-0-1.jsonl": "old" });
    const job = async () => {
      await writeFile(join(root, "a", "out-0-1.jsonl"), "new");
      throw new Error("no luck");
    };
    await assert.rejects(withOutputs(both, overwrite, job), { message: "no luck" });
    assert.deepEqual(await filesIn(root), { "a/_replaced-out-0-1.jsonl": "old", "a/out-0-1.jsonl": "new" });
  });

  it("what a killed run had put aside comes back when the next one fails, and goes when it finishes (P2)", async () => {
    const aside = { "a/_replaced-out-0-1.jsonl": "old", "a/out-1-1.jsonl": "other" };
    const failing = await places(aside);
    await assert.rejects(withOutputs(failing.both, overwrite, () => Promise.reject(new Error("no luck"))));
    assert.deepEqual(await filesIn(failing.root), { "a/out-0-1.jsonl": "old", "a/out-1-1.jsonl": "other" });
    const finishing = await places(aside);
    await withOutputs(finishing.both, overwrite, async () => {});
    assert.deepEqual(await filesIn(finishing.root), {});
  });

  it("a place inside another is put aside and brought back once (P2)", async () => {
    const { root } = await places({ "a/out-0-1.jsonl": "old a", "a/bad/dead-0-1.jsonl": "old bad" });
    const nested = [
      { operator: "a", url: join(root, "a") },
      { operator: "dead letters", url: join(root, "a", "bad") },
    ];
    const before = await filesIn(root);
    await assert.rejects(withOutputs(nested, overwrite, () => Promise.reject(new Error("no luck"))));
    assert.deepEqual(await filesIn(root), before);
    await withOutputs(nested, overwrite, () => writeFile(join(root, "a", "bad", "dead-0-1.jsonl"), "new bad"));
    assert.deepEqual(await filesIn(root), { "a/bad/dead-0-1.jsonl": "new bad" });
  });

  it("two sinks of one place are put aside once (P2)", async () => {
    const { root } = await places({ "a/out-0-1.jsonl": "old", "a/out-0-1.parquet": "old too" });
    const same = ["x", "y"].map((operator) => ({ operator, url: join(root, "a") }));
    const before = await filesIn(root);
    await assert.rejects(withOutputs(same, overwrite, () => Promise.reject(new Error("no luck"))));
    assert.deepEqual(await filesIn(root), before);
    await withOutputs(same, overwrite, async () => {});
    assert.deepEqual(await filesIn(root), {});
  });

  it("when bringing back fails too, the job's error says so, and the other files are back (P2)", async () => {
    const { root, both } = await places();
    const failure = new Error("no luck.");
    const job = async () => {
      await mkdir(join(root, "a", "out-0-1.jsonl", "folder"), { recursive: true });
      throw failure;
    };
    await assert.rejects(withOutputs(both, overwrite, job), (error: Error) => {
      assert.match(
        error.message,
        /^no luck\. Besides, 1 file of an earlier run could not be brought back \(.+\); .*"_replaced-"\.$/,
      );
      assert.equal(error.cause, failure);
      return true;
    });
    assert.deepEqual(await filesIn(root), {
      "a/_replaced-out-0-1.jsonl": "old a",
      "b/out-0-1.jsonl": "old b",
    });
  });
});
