/** What is sent is planned by a real child process; who leads is played. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { JobRequest } from "../../../src/api/submissions.js";
import type { Namespace } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { clusterSubjects } from "../../../src/bus/subjects.js";
import { ApiSubmissions } from "../../../src/cli/api-submissions.js";
import { bundleSource } from "../../../src/cli/bundle.js";
import { assetKey, bundleKey, jobKeys } from "../../../src/storage/keys.js";
import type { ObjectStore } from "../../../src/storage/object-store.js";
import { openStore } from "../../../src/storage/open-store.js";
import { acknowledgementFrame, jobSpecFrame, submitJobFrame } from "../../../src/wire/control.js";
import { withOwnTemporaries } from "./folders.js";

const namespace = "test" as Namespace;
const WORDS = `
import { files, jsonl, t, topology } from "millrace";
export default topology("words", (job) => {
  job.read(files(job.param("input", "s3://bucket/in/*.txt")), { id: "texts" })
    .flatMap({ id: "split", to: { word: t.utf8 } }, async () => [])
    .to(jsonl("out"), { id: "sink" });
});
`;
/** Says what it finds, as the message of an error. */
const saying = (code: string) => `
import { topology } from "millrace";
export default topology("says", () => { throw new Error("SAID " + (${code})); });
`;

describe("cli/api-submissions: what was sent is planned, and made a job", function () {
  this.timeout(120_000);
  let folder: string;
  let store: ObjectStore;
  let bus: MemoryBus;
  let submissions: ApiSubmissions;
  let begun: string[];
  let leads: { unsubscribe(): void };

  beforeEach(async () => {
    const ports = realPorts();
    folder = await mkdtemp(join(tmpdir(), "millrace-submissions-"));
    store = openStore(pathToFileURL(folder).href, { s3: {} }, ports);
    bus = new MemoryBus(ports);
    begun = [];
    leads = await bus.subscribe(clusterSubjects(namespace).coordinatorCommand, async ({ payload, replyTo }) => {
      const { job } = submitJobFrame.decode(payload).header;
      begun.push(job);
      await store.put(`open-jobs/${job}`, new Uint8Array());
      await bus.publish(replyTo!, acknowledgementFrame.encode({ code: "", message: "" }));
    });
    submissions = new ApiSubmissions({ bus, store, ports, namespace, s3: {} });
  });
  afterEach(async () => {
    await bus.close();
    await rm(folder, { recursive: true, force: true });
  });

  const request = (more: Partial<JobRequest>): JobRequest => ({
    ...{ params: {}, parallelism: 0, inputs: {}, assets: [], allowUnmatched: false, overwrite: false },
    ...more,
  });
  const keys = async () => {
    const found: string[] = [];
    for await (const { key } of store.list("")) found.push(key);
    return found;
  };
  const rejects = (more: Partial<JobRequest>, code: string, message: RegExp) =>
    assert.rejects(submissions.plan(request(more)), (error: Error & { code: string }) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    });

  it("a plan says what a job would be, and writes nothing", async () => {
    const { plan, text } = await submissions.plan(request({ topology: WORDS, parallelism: 3 }));
    assert.equal((plan as { actors: unknown[] }).actors.length, 3);
    assert.match(text, /^topology words {3}plan /);
    assert.deepEqual(await keys(), []);
  });

  it("source becomes a bundle and a spec, and the leader is told", async () => {
    const inputs = { texts: "s3://elsewhere/*.txt" };
    const job = await submissions.submit(request({ topology: WORDS, parallelism: 2, inputs }), undefined);
    assert.deepEqual(begun, [job]);
    const spec = jobSpecFrame.decode(await store.get(jobKeys(job).spec)).header;
    assert.equal(spec.job, job);
    assert.equal(spec.actors.length, 2);
    assert.deepEqual(spec.inputs, inputs);
    const code = await store.get(bundleKey(spec.bundle));
    assert.equal(createHash("sha256").update(code).digest("hex"), spec.bundle);
    const again = await submissions.plan(request({ bundle: spec.bundle, parallelism: 2 }));
    assert.equal((again.plan as { hash: string }).hash, spec.planHash, "an uploaded bundle comes to the same");
  });

  it("the same key makes the same job, also at another coordinator, and begins it once", async () => {
    const once = { hash: "ab".repeat(32), atMs: 1_700_000_000_000 };
    const first = await submissions.submit(request({ topology: WORDS }), once);
    const other = new ApiSubmissions({ bus, store, ports: realPorts(), namespace, s3: {} });
    assert.equal(await other.submit(request({ topology: WORDS }), once), first);
    assert.deepEqual(begun, [first]);
    assert.match(first, /^words-20231114221320-abababababab$/);
  });

  it("with nobody who leads it says so; the same key goes on", async () => {
    leads.unsubscribe();
    const once = { hash: "cd".repeat(32), atMs: 1_700_000_000_000 };
    await assert.rejects(submissions.submit(request({ topology: WORDS }), once), { code: "MILL_NO_LEADER" });
  });

  it("assets must be named and uploaded, all of them", async () => {
    const topology = `
import { files, jsonl, onnx, service, t, topology } from "millrace";
export default topology("models", (job) => {
  const handler = onnx({
    model: "./model.onnx",
    inputs: { x: { type: "float32", dims: [null] } },
    prepare: () => ({ warm: async () => {}, infer: async (batch) => batch }),
  });
  const model = service("model", { input: { name: t.utf8 }, output: { answered: t.utf8 }, handler });
  job.read(files("s3://bucket/*.txt"), { id: "texts" }).infer(model, { id: "ask" }).to(jsonl("out"), { id: "sink" });
});`;
    const { assets, failure } = await declared(topology);
    if (failure !== undefined) assert.fail(failure);
    const [one] = assets;
    const submit = (sent: JobRequest["assets"]) => submissions.submit(request({ topology, assets: sent }), undefined);
    await assert.rejects(submit([]), { code: "MILL_MODEL_MISSING" });
    const bytes = Buffer.from("a model");
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const sent = { ...one!, sha256, sizeBytes: bytes.length };
    await assert.rejects(submit([sent]), { code: "MILL_MODEL_MISSING" });
    await store.put(assetKey(sha256), bytes);
    await assert.rejects(submit([{ ...sent, sizeBytes: 1 }]), { code: "MILL_MODEL_MISSING" });
    await assert.rejects(submit([sent, { ...sent, name: "other" }]), { code: "MILL_CONFIG" });
    const job = await submit([sent]);
    assert.equal(jobSpecFrame.decode(await store.get(jobKeys(job).spec)).header.assets[0]?.sha256, sha256);
  });

  async function declared(topology: string): Promise<{ assets: JobRequest["assets"]; failure?: string }> {
    const { withPlanner } = await import("../../../src/cli/plan-child.js");
    const task = { code: { topology }, params: {}, parallelism: 0, inputs: {}, savepoint: undefined };
    return withPlanner({ ...task, allowUnmatched: false }, store, async ({ assets }) => ({
      assets: assets as unknown as JobRequest["assets"],
    })).catch((error: Error) => ({ assets: [], failure: error.message }));
  }

  it("files of the client are not there, and it says what to do", async () => {
    await rejects(
      { topology: WORDS, params: { input: "/etc/*.txt" } },
      "MILL_CONFIG",
      /source "texts".*s3:\/\/ pattern/,
    );
    await rejects({ topology: WORDS, inputs: { nobody: "s3://b/*" } }, "MILL_CONFIG", /no source\. There is: texts/);
    const local = WORDS.replace('jsonl("out")', 'jsonl("/tmp/somewhere")');
    await assert.rejects(submissions.submit(request({ topology: local }), undefined), {
      code: "MILL_SINK_UNWRITABLE",
    });
    assert.deepEqual(begun, []);
  });

  it("sent code sees no secret of the coordinator (S1)", async () => {
    process.env.AWS_SECRET_ACCESS_KEY_TEST = "planted-secret";
    process.env.MILLRACE_PLANTED = "planted-secret";
    try {
      const topology = saying("JSON.stringify(Object.keys(process.env).sort()) + JSON.stringify(process.env)");
      const error = await submissions.plan(request({ topology })).catch((cause: Error) => cause);
      assert.match(String((error as Error).message), /SAID .*PATH/);
      assert.doesNotMatch(String((error as Error).message), /planted-secret|MILLRACE_|AWS_|NATS/);
    } finally {
      delete process.env.AWS_SECRET_ACCESS_KEY_TEST;
      delete process.env.MILLRACE_PLANTED;
    }
  });

  it("sent code reads no file but packages, writes none, starts nothing and signals nobody; it is told what it did (F1, F2, F3)", async () => {
    const secret = join(folder, "tokens.json");
    await writeFile(secret, "planted-secret");
    const inside = join(process.cwd(), "node_modules", "typescript", "package.json");
    const [file, out] = [JSON.stringify(secret), JSON.stringify(join(folder, "out"))];
    const imports = ["fs", "child_process", "worker_threads", "os", "v8", "inspector"]
      .map((name) => `import * as ${name} from "node:${name}";`)
      .join("\n");
    const run = (code: string) => `${imports}\n${saying(code)}`;
    await rejects(
      { topology: run(`fs.readFileSync(${JSON.stringify(inside)}, "utf8").length`) },
      "MILL_TOPOLOGY_LOAD",
      /SAID \d+/,
    );
    const tries = [
      ...[`fs.readFileSync(${file}, "utf8")`, `fs.existsSync(${file})`, `fs.readdirSync("/etc")`],
      ...[`fs.readFileSync("/proc/self/environ")`, `fs.readFileSync("/proc/" + process.ppid + "/environ")`],
      ...[`fs.readFileSync(${JSON.stringify(join(process.cwd(), ".npmrc"))})`],
      ...[`fs.writeFileSync(${out}, "x")`, `fs.writeFileSync("here", "x")`, `fs.symlinkSync(${file}, "here")`],
      ...[`child_process.execFileSync("/bin/sh", ["-c", "id"])`, `child_process.fork("x.js")`],
      ...[`new worker_threads.Worker("1", { eval: true })`, `process.dlopen({ exports: {} }, "/x.node")`],
      ...[
        `process.binding("fs")`,
        `process.binding("spawn_sync")`,
        `v8.writeHeapSnapshot(${out})`,
        "inspector.open(0)",
      ],
      ...[
        `process.kill(process.ppid, 0)`,
        `process["_kill"](process.ppid, 0)`,
        `process["_debugProcess"](process.ppid)`,
      ],
      ...[`os.setPriority(process.ppid, 19)`, `v8.setFlagsFromString("--logfile=" + ${out})`],
      ...[`process.report.writeReport(${out})`],
    ];
    const trying = tries.map((code) => `[${JSON.stringify(code)}, () => ${code}]`).join(", ");
    const all = `JSON.stringify([${trying}].flatMap(([code, act]) => {
      try { return [code, act()]; } catch (error) {
        return ["ERR_ACCESS_DENIED", "ERR_DLOPEN_DISABLED", "MILL_TOPOLOGY_CONFINED"].includes(error.code) ? [] : [code, error.code];
      }
    }))`;
    await rejects({ topology: run(all) }, "MILL_TOPOLOGY_LOAD", /SAID \[\]/);
    for (const [code, says] of [
      [`fs.readFileSync(${file}, "utf8")`, /it reads \S+tokens\.json\. .*Do that in a function or handler/],
      [`child_process.execFileSync("/bin/sh", ["-c", "id"])`, /it starts a process/],
      [`process.dlopen({ exports: {} }, "/x.node")`, /it loads compiled code/],
      [`process.kill(process.ppid, 0)`, /it sends a signal/],
    ] as const)
      await rejects({ topology: run(code) }, "MILL_TOPOLOGY_CONFINED", says);
    assert.equal(existsSync(join(folder, "out")), false);
  });

  it("a bundle that was changed in the store after it was uploaded is refused: the coordinator looks", async () => {
    const { code, sha256 } = await bundleSource(WORDS, "the topology", process.cwd());
    await store.put(bundleKey(sha256), Buffer.concat([code, Buffer.from("// changed")]));
    await rejects({ bundle: sha256 }, "MILL_BUNDLE_HASH", /bundle at file:.*has SHA-256/);
    await assert.rejects(submissions.submit(request({ bundle: sha256 }), undefined), { code: "MILL_BUNDLE_HASH" });
    assert.deepEqual(begun, []);
  });

  it("a package with compiled code may be imported, and be used on the workers; not to build the topology", async () => {
    const importing = (use: string) => `
import sharp, { kernel, format as formats } from "sharp";
import { files, jsonl, t, topology } from "millrace";
${use}
export default topology("shrunk", (job) => {
  job.read(files("s3://bucket/*.png"), { id: "images" })
    .mapRows({ id: "shrink", to: { name: t.utf8 } }, async ({ name }) => {
      await sharp(name).resize({ width: 1, kernel: kernel.cubic }).toFormat(formats.png.id).toFile(name);
      return { name };
    })
    .to(jsonl("out"), { id: "sink" });
});
`;
    const { plan } = await submissions.plan(request({ topology: importing("") }));
    assert.deepEqual((plan as { external: string[] }).external, ["millrace", "sharp"]);
    await submissions.plan(request({ topology: importing("sharp.concurrency(1); new sharp.Pool();") }));
    const width = 'const { width } = await sharp("red.png").metadata();';
    for (const use of ["width + 1", "[...width]", "JSON.stringify({ width })"])
      await rejects(
        { topology: importing(`${width} console.log(${use});`) },
        "MILL_TOPOLOGY_CONFINED",
        /it uses the package "sharp", which has compiled code/,
      );
  });

  it("a bundle that names as a package what leads elsewhere is refused before anything is linked (F1)", async () => {
    for (const names of ['[".."]', '["../.."]', '["@x/../.."]', '["a/b"]', '["/etc"]', "[1]", '"millrace"', "{", ""]) {
      const code = Buffer.from(`// millrace external: ${names}\nexport default {};`);
      const sha256 = createHash("sha256").update(code).digest("hex");
      await store.put(bundleKey(sha256), code);
      await rejects({ bundle: sha256 }, "MILL_TOPOLOGY_LOAD", /does not begin with a list of packages/);
    }
  });

  it("sent code reads and writes nothing of the store that it was not given (S1)", async () => {
    await store.put("jobs/other/spec.avro", Buffer.from("other's"));
    const topology = `
import { topology } from "millrace";
const answer = await new Promise((resolve) => {
  process.on("message", resolve);
  process.send({ kind: "call", call: 99, method: "get", key: "jobs/other/spec.avro" });
});
export default topology("says", () => { throw new Error("SAID " + answer.kind + " " + answer.code); });
`;
    await rejects({ topology }, "MILL_TOPOLOGY_LOAD", /SAID refused MILL_STORE_REFUSED/);
  });

  it("what sent code claims to have planned is checked (S3)", async () => {
    const claims = (message: string) => `
import { topology } from "millrace";
process.send(${message});
await new Promise(() => setInterval(() => {}, 1000));
export default topology("never", () => {});
`;
    const submit = (topology: string) => submissions.submit(request({ topology }), undefined);
    const spec = (name: string) =>
      `{ topology: "${name}", actors: [], services: [], sources: [], operators: [], exchanges: [] }`;
    for (const [message, code] of [
      [`{ kind: "planned", spec: ${spec("../../x")}, outputs: [], assets: [], inputs: {} }`, "MILL_TOPOLOGY_LOAD"],
      [`{ kind: "planned", spec: ${spec("x")}, outputs: [], assets: [], inputs: {} }`, "MILL_TOPOLOGY_LOAD"],
      [`{ kind: "planned" }`, "MILL_TOPOLOGY_LOAD"],
      [`{ kind: "failed", code: "MILL_INTERNAL", message: "it broke" }`, "MILL_TOPOLOGY_LOAD"],
    ] as const)
      await assert.rejects(submit(claims(message)), { code }, message);
    assert.deepEqual(begun, []);
    assert.ok(!(await keys()).some((key) => key.startsWith("jobs/")));
  });

  it("it ends when it takes too much memory, or ends itself, and leaves nothing on the disk (S2)", async () => {
    const more = `(() => { const all = []; for (;;) all.push(Buffer.alloc(${limits.planMemoryBytesMax / 64}, 1)); })()`;
    await withOwnTemporaries(async (temporaries) => {
      await rejects({ topology: saying(more) }, "MILL_TOPOLOGY_LOAD", /memory|process ended/);
      await rejects({ topology: saying("process.exit(0)") }, "MILL_TOPOLOGY_LOAD", /process ended \(status 0\)/);
      assert.deepEqual(await readdir(temporaries), [], "its folder is gone");
    });
  });
});

describe("cli/bundle: source that was sent", () => {
  const bundle = (source: string) => bundleSource(source, "the topology", process.cwd());

  it("imports packages and Node's own modules, and no files", async () => {
    for (const path of [
      ...["./package.json", "../package.json", "/etc/passwd", "file:///etc/passwd", ".", "#inner", "C:\\x.js"],
      ...[
        "typescript/../../package.json",
        "@scope/..",
        "data:text/javascript,1",
        "https://example.org/a.js",
        "a/./../b",
      ],
    ])
      for (const source of [
        `import x from ${JSON.stringify(path)}; export default x;`,
        `export default require(${JSON.stringify(path)});`,
      ])
        await assert.rejects(bundle(source), { code: "MILL_BUNDLE_BUILD" }, source);
    const { external, code } = await bundle(
      'import { topology } from "millrace"; import fs from "node:fs"; import "events"; export default [topology, fs] as unknown;',
    );
    assert.deepEqual(external, ["millrace"]);
    assert.ok(code.length > 0);
  });
});
