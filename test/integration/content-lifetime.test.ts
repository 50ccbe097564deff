/**
 * Owned content on a real S3, from when it is put to when nothing refers to it: a job whose hosts are killed again and again, whose rows
 * are other bytes each time they are made, so that whatever a dead attempt has put is of no use to the next one.
 *
 * Bus, coordinator, worker and hosts are in this process, because the limits are small: a collection every 200 ms.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { Host } from "../../src/actors/host.js";
import { type HostId, id, type JobId, type Namespace, type WorkerId } from "../../src/base/ids.js";
import { limits } from "../../src/base/limits.js";
import { realPorts, silentLog } from "../../src/base/real/ports.js";
import { MemoryBus } from "../../src/bus/memory-bus.js";
import { clusterSubjects } from "../../src/bus/subjects.js";
import { outputsAt } from "../../src/cli/content.js";
import { JobHandle } from "../../src/cli/job-handle.js";
import { jobSpec, type Submission } from "../../src/cli/submission.js";
import { jsonl } from "../../src/connectors/jsonl.js";
import { outputFolder } from "../../src/connectors/output-folder.js";
import { Coordinator } from "../../src/coordinator/coordinator.js";
import { planTopology } from "../../src/plan/plan.js";
import { ContentReader } from "../../src/storage/content.js";
import { decodeContentRoot, OwnedContent } from "../../src/storage/content-roots.js";
import { ContentStore } from "../../src/storage/content-store.js";
import { jobKeys, numberIn } from "../../src/storage/keys.js";
import { S3Store } from "../../src/storage/s3-store.js";
import type { Source } from "../../src/topology/endpoints.js";
import { topology } from "../../src/topology/topology.js";
import { batchFromRows } from "../../src/types/batches.js";
import { t } from "../../src/types/columns.js";
import { contentsOfSnapshot } from "../../src/wire/content-hashes.js";
import { collectContentFrame, contentReportFrame, jobSpecFrame, submitJobFrame } from "../../src/wire/control.js";
import { regionRecordFrame } from "../../src/wire/stored.js";
import { type Child, type Exit, Worker } from "../../src/worker/worker.js";
import { type MinioServer, startMinio } from "../servers/index.js";

const JOB = id<JobId>("job", "pages");
const NAMESPACE = id<Namespace>("namespace", "lifetime");
const SMALL = { contentTouchMs: 300, contentAgeMsMin: 600, contentCollectionMs: 200, heartbeatIntervalMs: 100 };
const ROWS = 120;
const KILLS: readonly number[] = [15, 37, 61, 90];
const BOUND_MS = 60_000;

const numbers = { n: t.int32, key: t.utf8 };
const pages = { n: t.int32, key: t.utf8, page: t.document };

describe("integration/content-lifetime: owned content on S3", function () {
  this.timeout(3 * BOUND_MS);
  const keys = jobKeys(JOB);
  const ports = realPorts(silentLog);
  const usual: Record<string, number> = {};
  let server: MinioServer;
  let store: S3Store;
  let cluster: Small;

  before(async () => {
    for (const [name, value] of Object.entries(SMALL)) {
      usual[name] = (limits as Record<string, number>)[name]!;
      (limits as Record<string, number>)[name] = value;
    }
    server = await startMinio();
    store = new S3Store(server.bucket, "cluster", server, ports);
    cluster = new Small(server, store);
    await cluster.run();
  });
  after(async () => {
    Object.assign(limits, usual);
    await cluster?.close();
    await store?.close();
    await server?.stop();
  });

  const hashesBelow = async (prefix: string) => {
    const found: string[] = [];
    for await (const { key } of store.list(prefix)) found.push(key.slice(prefix.length));
    return found;
  };
  /** By published file: the hashes of the content that its rows refer to. */
  const published = async () => {
    const out = new S3Store(server.bucket, "cluster/out", server, ports);
    const files = new Map<string, string[]>();
    for await (const { key } of out.list("out-")) {
      const lines = Buffer.from(await out.get(key))
        .toString()
        .split("\n");
      const rows = lines.filter((line) => line !== "").map((line) => JSON.parse(line) as { page: { sha256: string } });
      files.set(
        key,
        rows.map(({ page }) => page.sha256),
      );
    }
    await out.close();
    return files;
  };
  const until = async (what: string, is: () => Promise<unknown>) => {
    const endMs = performance.now() + BOUND_MS;
    while (!(await is())) {
      assert.ok(performance.now() < endMs, `awaited for ${BOUND_MS} ms: ${what}`);
      await pause(20);
    }
  };

  it("what the newest checkpoints refer to was never missing while the job was at work", () => {
    assert.ok(cluster.looks > 5, `${cluster.looks} looks`);
    assert.deepEqual(cluster.missing, []);
  });

  it("hosts were killed, and what their attempts had put was more than what is published", async () => {
    assert.equal(cluster.killed, KILLS.length);
    const rows = [...(await published()).values()].flat();
    assert.equal(rows.length, ROWS);
    const kept = new Set(rows).size;
    assert.ok(cluster.put.size > kept, `${cluster.put.size} put, ${kept} published`);
  });

  it("when the job is over, exactly what published files refer to stays", async () => {
    const kept = [...new Set([...(await published()).values()].flat())].sort();
    await until("content of dead attempts to be gone", async () => {
      const left = [...(await hashesBelow(keys.content(""))), ...(await hashesBelow(keys.contentTrash("")))];
      for (const hash of kept) assert.ok(left.includes(hash), `${hash} is published, and gone`);
      return new Set(left).size === kept.length;
    });
    await until("the job to be forgotten", async () => (await hashesBelow(keys.open)).length === 0);
    assert.deepEqual((await hashesBelow(keys.content(""))).sort(), kept);
  });

  it("a published file that the user deletes frees its content, and no other", async () => {
    const files = await published();
    const [gone = "", other = ""] = files.keys();
    const records = async () => {
      const found = (await hashesBelow(keys.contentRoots)).map(async (name) => {
        const key = keys.contentRoots + name;
        return { key, ...decodeContentRoot(key, await store.get(key)) };
      });
      return Promise.all(found);
    };
    const { url } = (await records()).find(({ name }) => name === gone)!;
    // As of an attempt that was killed between its put and its commit: the next one has cut elsewhere.
    const dead = { url, name: gone, contents: [...files.get(gone)!, files.get(other)![0]!] };
    await new OwnedContent(store, JOB).record("out", "dead", dead);
    const out = new S3Store(server.bucket, "cluster/out", server, ports);
    await out.delete(gone);
    await out.close();
    const freed = new Set(files.get(gone));
    const kept = [...files].flatMap(([name, hashes]) => (name === gone ? [] : hashes));
    const dry = await cluster.collect(true);
    assert.deepEqual([dry.putAway > 0 || dry.left > 0, dry.purged], [true, 0]);
    await until("the content of the deleted file to be gone", async () => {
      await cluster.collect(false);
      const left = [...(await hashesBelow(keys.content(""))), ...(await hashesBelow(keys.contentTrash("")))];
      return left.every((hash) => !freed.has(hash) || kept.includes(hash));
    });
    assert.deepEqual((await hashesBelow(keys.content(""))).sort(), [...new Set(kept)].sort());
    const left = await records();
    assert.ok(left.some(({ key }) => key === keys.contentRoot("out", "dead")));
    for (const { key, name, contents } of left)
      assert.ok(name !== gone || contents.some((hash) => kept.includes(hash)), `there is still ${key} (Q10)`);
    for (const file of files.keys())
      assert.ok(file === gone || left.some(({ name }) => name === file), `no record of ${file}`);
  });
});

/** Coordinator, a worker and its hosts, with the job that they run. */
class Small {
  readonly bus = new MemoryBus(realPorts(silentLog));
  /** Content that the newest checkpoints referred to and that was nowhere. */
  readonly missing: string[] = [];
  readonly put = new Set<string>();
  looks = 0;
  killed = 0;
  #ports = realPorts(silentLog);
  #hosts = new Set<() => void>();
  #coordinator: Coordinator | undefined;
  #over = false;
  #due = new Set(KILLS);

  constructor(
    private readonly server: MinioServer,
    private readonly store: S3Store,
  ) {}

  async run(): Promise<void> {
    const { bus, store } = this;
    const ports = this.#ports;
    const built = this.#topology();
    const submission = { topology: built, plan: planTopology(built) } as Submission;
    const whole = {
      ...submission,
      bundle: { code: new Uint8Array(), sha256: "", external: [] },
      bundleFile: "",
      assets: [],
      options: { params: {}, parallelism: 0, cache: "" },
    };
    await store.put(jobKeys(JOB).spec, jobSpecFrame.encode(jobSpec(whole, JOB, {}, 0)));
    const outputAt = outputsAt(this.server, false, ports);
    this.#coordinator = new Coordinator({ bus, store, ports, namespace: NAMESPACE, outputAt });
    await this.#coordinator.open();
    const worker = new Worker({
      ...{ bus, ports, namespace: NAMESPACE, cpus: 4, memoryBytes: 8e9 },
      worker: id<WorkerId>("worker", "w"),
      launcher: {
        startHost: (_job, host) => this.#startHost(host),
        startInstance: () => assert.fail("the job has no services"),
      },
    });
    await worker.open();
    await bus.request(clusterSubjects(NAMESPACE).coordinatorCommand, submitJobFrame.encode({ job: JOB }));
    const noClose = async () => {};
    const handle = new JobHandle({ bus, ports, namespace: NAMESPACE, job: JOB, unit: "rows", close: noClose });
    const watching = this.#watch();
    try {
      await handle.ended();
    } finally {
      this.#over = true;
      await watching;
      await worker.close();
    }
  }

  async collect(dryRun: boolean) {
    const asked = collectContentFrame.encode({ job: JOB, dryRun });
    const answer = await this.bus.request(clusterSubjects(NAMESPACE).coordinatorCommand, asked);
    return contentReportFrame.decode(answer.payload).header;
  }

  async close(): Promise<void> {
    await this.#coordinator?.close();
    await this.bus.close();
  }

  /** Kills the host whose row is one of `KILLS`, once each. */
  #topology() {
    return topology(
      "pages",
      (job) => {
        job
          .read(source(), { id: "numbers" })
          .mapRows({ id: "make", to: pages }, async (row, context) => {
            const page = await context.content.put(Buffer.from(`page ${row.n} ${randomUUID()}`));
            await pause(10);
            if (this.#due.delete(row.n)) {
              this.killed += 1;
              for (const kill of this.#hosts) kill();
            }
            return { ...row, page };
          })
          .keyBy("key")
          .process({ id: "hold", to: pages, state: pages }, async (row, state) => {
            // The page of the key's row before: its reference has been in the state for many checkpoints.
            const held = state.get() ?? row;
            state.set(row);
            return [{ ...row, page: held.page }];
          })
          .to(jsonl("out"), { id: "out" });
      },
      { checkpointIntervalMs: 100, deadLetters: "bad" },
    ).build({});
  }

  async #startHost(host: HostId): Promise<Child> {
    const ports = this.#ports;
    const built = this.#topology();
    const { store, bus } = this;
    const owned = new ContentStore({ store, job: JOB, clock: ports.clock });
    const put = owned.put.bind(owned);
    owned.put = (sha256, ...rest) => {
      this.put.add(sha256);
      return put(sha256, ...rest);
    };
    const s3 = this.server;
    const made = new Host({
      ...{ bus, store, ports, namespace: NAMESPACE, job: JOB, host, topology: built, plan: planTopology(built) },
      content: new ContentReader({ s3 }, ports, { owned }),
      owned: new OwnedContent(store, JOB),
      deadLetterSink: jsonl(built.deadLetters),
      outputFor: (url) => outputFolder(new S3Store(s3.bucket, `cluster/${url}`, s3, ports)),
    });
    await made.open();
    let exit: (exit: Exit) => void = () => {};
    const exited = new Promise<Exit>((resolve) => {
      exit = resolve;
    });
    const stop = () => {
      this.#hosts.delete(stop);
      void made.close().finally(() => exit({ code: "", message: "" }));
    };
    this.#hosts.add(stop);
    return { exited, stop };
  }

  /** Looks at the newest checkpoint again and again, and whether what it refers to is there. */
  async #watch(): Promise<void> {
    const { store } = this;
    const keys = jobKeys(JOB);
    while (!this.#over) {
      await pause(50);
      let newest = "";
      for await (const { key } of store.list("jobs/pages/regions/")) {
        if (key.includes("/log/") && numberIn(key) !== undefined) newest = key;
      }
      if (newest === "") continue;
      try {
        const record = regionRecordFrame.decode(await store.get(newest)).header;
        const frames = record.actors.map(({ key, inline: bytes }) => (key === "" ? bytes : store.get(key)));
        const contents = (await Promise.all(frames)).flatMap(contentsOfSnapshot);
        for (const hash of contents) {
          const there = (await store.head(keys.content(hash))) ?? (await store.head(keys.contentTrash(hash)));
          // Where it was brought back in between, it was in neither place when it was looked for.
          if (there === undefined && (await store.head(keys.content(hash))) === undefined) this.missing.push(hash);
        }
        if (contents.length > 0) this.looks += 1;
      } catch {
        // An older one by now, and deleted.
      }
    }
  }
}

function source(): Source<typeof numbers> {
  return {
    kind: "numbers",
    columns: numbers,
    describe: "numbers",
    async *splits() {
      yield { id: "all", payload: new Uint8Array(), rows: ROWS };
    },
    async *read() {
      for (let n = 0; n < ROWS; n += 3) {
        const rows = [n, n + 1, n + 2].map((one) => ({ n: one, key: `k${one % 5}` }));
        yield batchFromRows(numbers, rows);
      }
    },
  };
}
