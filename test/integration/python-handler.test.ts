/**
 * The handler of examples/python-handler, started as a worker's instance process starts it, spoken to over a real NATS with
 * our own bus and frames.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MillraceError } from "../../src/base/errors.js";
import type { InstanceId, JobId, Namespace } from "../../src/base/ids.js";
import { realPorts } from "../../src/base/real/ports.js";
import type { Bus } from "../../src/bus/bus.js";
import { connectNats } from "../../src/bus/nats-bus.js";
import { jobSubjects } from "../../src/bus/subjects.js";
import { startProgram } from "../../src/cli/program-instance.js";
import { command, commandOf } from "../../src/services/handlers/command.js";
import { type Service, service } from "../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../src/types/batches.js";
import { arrowSchema, t } from "../../src/types/columns.js";
import { decodeBatch, decodeSchema, encodeBatch, encodeSchema, schemaId } from "../../src/wire/arrow.js";
import {
  type AnswerHeader,
  answerFrame,
  askFrame,
  cancelFrame,
  type LoadReport,
  loadReportFrame,
  requestFrame,
} from "../../src/wire/frames.js";
import { packageRoot } from "../servers/find.js";
import { type NatsServer, startNats } from "../servers/nats.js";
import { PYTHON_INSTALL_MS_MAX, pythonFor } from "../servers/python.js";

const HANDLER = join(packageRoot(), "examples", "python-handler", "handler.py");
const REQUIREMENTS = "examples/python-handler/requirements.txt";
const WAIT_MS_MAX = 15_000;

const input = { text: t.utf8 };
const output = { words: t.int32, longest: t.utf8 };
const job = "job-1" as JobId;
const namespace = "test" as Namespace;
const instance = "word-count-0" as InstanceId;
const subjects = jobSubjects(namespace, job);

interface AskedMore {
  readonly instance?: string;
  readonly timeoutMs?: number;
  readonly traceparent?: string;
  /** To whom it is sent. */
  readonly at?: string;
}

describe("examples/python-handler: an instance in Python, over NATS", () => {
  let python = "";
  let nats: NatsServer;
  let bus: Bus;
  let counter: Service;
  let stop: (() => Promise<void>) | undefined;
  const failures: unknown[] = [];
  const reports: LoadReport[] = [];
  const answers = new Map<string, { header: AnswerHeader; rows: readonly unknown[] }>();
  let schema: Uint8Array = new Uint8Array();
  /** Looks at what came whenever something has. */
  const watchers = new Set<() => void>();

  before(async function () {
    this.timeout(PYTHON_INSTALL_MS_MAX);
    nats = await startNats();
    python = await pythonFor(this, REQUIREMENTS);
    bus = await connectNats({ servers: nats.url, name: "test" }, realPorts());
    await bus.subscribe(subjects.load("word-count" as never), ({ payload }) => {
      reports.push(loadReportFrame.decode(payload).header);
      for (const watch of watchers) watch();
    });
    await bus.subscribe(subjects.answer("client-1"), ({ payload }) => {
      const { header, payload: body } = answerFrame.decode(payload);
      schema = header.schema ?? schema;
      const rows = body.length === 0 ? [] : rowsOf(output, decodeBatch(decodeSchema(schema), body) as never);
      answers.set(header.id, { header, rows });
      for (const watch of watchers) watch();
    });
    counter = service("word-count", {
      input,
      output,
      handler: command({ run: [python, "{handler}"], assets: { handler: "handler.py" } }),
    }) as unknown as Service;
    stop = start();
    await until("the instance is READY", () => reports.some(({ state }) => state === "READY"));
  });

  after(async () => {
    await stop?.();
    await bus?.close();
    await nats?.stop();
  });

  function start(name = instance, handlerFile = HANDLER): () => Promise<void> {
    const run = commandOf(counter.handler, () => handlerFile) ?? [];
    const options = { command: run, nats: { servers: [nats.url] }, namespace, job, instance: name, service: counter };
    return startProgram(options, (error) => {
      failures.push(error);
      for (const watch of watchers) watch();
    });
  }

  function until(what: string, holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        watchers.delete(look);
        const seen = [...answers.values()].map(({ header }) => `${header.id} ${header.status} ${header.message}`);
        const states = reports.map(({ state, reason }) => `${state} ${reason}`.trim());
        reject(new Error(`not within ${WAIT_MS_MAX} ms: ${what}. States: ${states}; answers: ${seen}; ${failures}`));
      }, WAIT_MS_MAX);
      const look = () => {
        if (!holds()) return;
        clearTimeout(timer);
        watchers.delete(look);
        resolve();
      };
      watchers.add(look);
      look();
    });
  }

  const message = encodeSchema(arrowSchema(input) as never);

  async function ask(id: string, texts: readonly string[], more: AskedMore = {}) {
    const rows = batchFromRows(
      input,
      texts.map((text) => ({ text })),
    );
    const { at = instance, ...asked } = more;
    const header = {
      ...{ id, client: "client-1", service: "word-count", instance, attempt: 1, timeoutMs: 0, crashes: 0, bucket: "" },
      ...{ rows: texts.length, schemaId: schemaId(message), schema: message },
    };
    const frame = requestFrame.encode({ ...header, ...asked }, encodeBatch(rows as never));
    await bus.publish(subjects.instanceRequest("word-count" as never, at as InstanceId), frame);
  }
  async function answered(id: string) {
    await until(`an answer to ${id}`, () => answers.has(id));
    return answers.get(id)!;
  }

  it("reports each state of its life, in order, with its time", () => {
    assert.deepEqual([...new Set(reports.map(({ state }) => state))], ["LOADING", "READY"]);
    assert.ok(reports.every(({ enteredMs, subject }) => enteredMs > 0n && subject.endsWith("word-count-0.request")));
    const numbers = reports.map(({ sequence }) => sequence);
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => Number(a - b)),
    );
  });

  it("answers each row in its place, in the declared columns, and refuses a row alone", async () => {
    await ask("r1", ["the mill race", "...", "Grüße, aus der Mühle!"]);
    const { header, rows } = await answered("r1");
    assert.deepEqual([header.status, header.rows, header.load.state], ["OK", 3, "READY"]);
    assert.deepEqual(header.rejectedRows, [{ row: 1, code: "MILL_RECORD_INVALID", message: "the text has no words" }]);
    assert.deepEqual(
      [rows[0], rows[2]],
      [
        { words: 3, longest: "mill" },
        { words: 4, longest: "Grüße" },
      ],
    );
    assert.deepEqual(arrowSchema(output).toString(), decodeSchema(schema).toString());
  });

  it("sends its schema to a client once, and measures its rows", async () => {
    await ask("r2", ["one more"]);
    const { header, rows } = await answered("r2");
    assert.deepEqual(rows, [{ words: 2, longest: "more" }]);
    assert.equal(header.schema, null);
    assert.ok(header.load.rowMs > 0);
  });

  it("takes and gives what is larger than one message of NATS", async () => {
    const word = "x".repeat(3_000_000);
    await ask("r3", [`a ${word}`]);
    assert.deepEqual((await answered("r3")).rows, [{ words: 2, longest: word }]);
  });

  it("gives back a request that was for another instance", async () => {
    await ask("r4", ["a"], { instance: "word-count-9" });
    assert.equal((await answered("r4")).header.status, "RETURNED");
  });

  it("answers a client that comes up with a report at once", async () => {
    const before = reports.length;
    const frame = askFrame.encode({ client: "client-2", service: "word-count", rowIds: new Uint8Array(), round: 0 });
    await bus.publish(subjects.ask("word-count" as never), frame);
    await until("a report", () => reports.length > before);
  });

  it("passes over what is no frame, and a cancel of what it does not hold", async () => {
    const subject = subjects.instanceRequest("word-count" as never, instance);
    await bus.publish(subject, new TextEncoder().encode("hello"));
    await bus.publish(subject, cancelFrame.encode({ client: "client-1", requests: ["r9"] }));
    await ask("r5", ["still here"]);
    assert.equal((await answered("r5")).header.status, "OK");
  });

  /** Another instance, with a handler that is changed a little. */
  async function withChanged(
    name: string,
    before: string,
    after: string,
    work: (at: InstanceId, end: () => Promise<void>) => Promise<void>,
  ) {
    const folder = await mkdtemp(join(tmpdir(), "millrace-python-"));
    const source = await readFile(HANDLER, "utf8");
    const changed = source.replace(before, after);
    assert.notEqual(changed, source);
    await writeFile(join(folder, "handler.py"), changed);
    const other = name as InstanceId;
    const end = start(other, join(folder, "handler.py"));
    try {
      await until("the other is READY", () => reports.some((one) => one.instance === name && one.state === "READY"));
      await work(other, end);
    } finally {
      await end();
      await rm(folder, { recursive: true, force: true });
    }
  }

  it("hands its handler the request's span, for what that calls", async () => {
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    await withChanged("word-count-7", "max(words, key=len)", "traceparent", async (at) => {
      const ask7 = (id: string, more: AskedMore) => ask(id, ["a mill"], { at, instance: at, ...more });
      await ask7("r-traced", { traceparent });
      await ask7("r-not-traced", {});
      assert.deepEqual((await answered("r-traced")).rows, [{ words: 2, longest: traceparent }]);
      assert.deepEqual((await answered("r-not-traced")).rows, [{ words: 2, longest: "" }]);
    });
  });

  it("drains when it is told to stop: it finishes what runs, gives back what waits and what still comes, DRAINING, STOPPED, and its process ends", async () => {
    const release = join(tmpdir(), `millrace-python-${randomUUID()}`);
    const held = `while not os.path.exists("${release}"):\n            time.sleep(0.01)\n        words =`;
    await withChanged("word-count-8", "words =", held, async (at, end) => {
      const own = () => reports.filter((one) => one.instance === at);
      const send = async (...ids: string[]) => {
        for (const id of ids) await ask(id, ["some words ".repeat(100_000)], { at, instance: at });
      };
      const [first, ...waiting] = Array.from({ length: 10 }, (_, i) => `d${i}`) as [string, ...string[]];
      const late = Array.from({ length: 10 }, (_, i) => `late${i}`);
      await send(first, ...waiting);
      await until("all to be there", () =>
        own().some((one) => one.runningRows === 1 && one.queuedRows === waiting.length),
      );
      const ended = end();
      await until("DRAINING", () => own().some(({ state }) => state === "DRAINING"));
      await send(...late);
      await bus.flush();
      await writeFile(release, "");
      await ended;
      assert.equal((await answered(first)).header.status, "OK");
      for (const id of [...waiting, ...late]) assert.equal((await answered(id)).header.status, "RETURNED", id);
      await until("STOPPED", () => own().at(-1)?.state === "STOPPED");
    }).finally(() => rm(release, { force: true }));
    assert.deepEqual(failures, []);
  });

  it("a program that ends by itself fails its instance, and says how", async () => {
    const options = { nats: { servers: [nats.url] }, namespace, job, instance, service: counter };
    for (const [run, words] of [
      [[python, "-c", "import sys; sys.exit(3)"], /ended with status 3/],
      [["no-such-program"], /cannot be run: .*ENOENT/],
    ] as const) {
      const error = await new Promise((resolve) => startProgram({ ...options, command: run }, resolve));
      assert.ok(MillraceError.is(error));
      assert.equal(error.code, "MILL_SERVICE_FAILED");
      assert.match(error.message, words);
    }
  });

  it("without NATS it is MILL_CONFIG with what to do", () => {
    const options = { command: [python], nats: undefined, namespace, job, instance, service: counter };
    assert.throws(
      () => startProgram(options, (error) => assert.fail(String(error))),
      (error: unknown) =>
        MillraceError.is(error) && error.code === "MILL_CONFIG" && /millrace submit/.test(error.message),
    );
  });
});
