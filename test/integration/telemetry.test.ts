/** A job's traces and metrics as a receiver of OTLP gets them, in one process and on a cluster, against the tables of docs/telemetry.md. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../src/cli/packages.js";
import { Cluster } from "../e2e/cluster.js";
import { type Ended, MillraceProcess } from "../e2e/millrace-process.js";
import { OtlpReceiver, type ReceivedSpan } from "../servers/otlp.js";

const FIXTURE = join(packageRoot, "test", "fixtures", "traced-words.ts");
const FILES = 4;
const WORDS = "alpha beta gamma delta epsilon zeta eta theta";

/** Short times, so that tests need not wait; all traces. */
const settings = (endpoint: string) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  OTEL_TRACES_SAMPLER: "always_on",
  OTEL_METRIC_EXPORT_INTERVAL: "300",
  OTEL_BSP_SCHEDULE_DELAY: "100",
});

interface Row {
  readonly name: string;
  readonly cells: readonly string[];
}

/** Rows of the tables whose first column is headed so. */
async function table(head: string): Promise<Row[]> {
  const lines = (await readFile(join(packageRoot, "docs", "telemetry.md"), "utf8")).split("\n");
  const at = lines.findIndex((line) => line.startsWith(`| ${head} |`));
  assert.ok(at >= 0, `docs/telemetry.md has a table of each ${head}`);
  const end = lines.findIndex((line, i) => i > at && !line.startsWith("|"));
  return lines.slice(at + 2, end).map((line) => {
    const [name = "", ...cells] = line.split("|").slice(1, -1);
    return { name: namesIn(name)[0]!, cells };
  });
}

const namesIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
/** `read <operator>` without whose it is. */
const stepOf = (name: string) => name.replace(/ <.*$/, "");
const stepOfSpan = (name: string) => name.replace(/ (texts|split|ask|initials|check|handover|last|words|shout)$/, "");

async function writeTexts(folder: string): Promise<void> {
  for (let i = 0; i < FILES; i++) await writeFile(join(folder, `text-${i}.txt`), `${WORDS} w${i}`);
}

function ok({ status, stdout, stderr }: Ended): string {
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  return stdout;
}

class Spans {
  readonly #byId: ReadonlyMap<string, ReceivedSpan>;

  constructor(readonly all: readonly ReceivedSpan[]) {
    this.#byId = new Map(all.map((span) => [span.spanId, span]));
  }

  parent({ parentId }: ReceivedSpan): ReceivedSpan | undefined {
    return this.#byId.get(parentId);
  }

  named(name: string): ReceivedSpan[] {
    return this.all.filter((span) => span.name === name);
  }

  /** Names from a span up to the root of its trace. */
  path(span: ReceivedSpan | undefined): string[] {
    return span === undefined ? [] : [span.name, ...this.path(this.parent(span))];
  }

  /** Every span that has been named as a parent has come. */
  get whole(): boolean {
    return this.all.every((span) => span.parentId === "" || this.#byId.has(span.parentId));
  }
}

/** What a run must have left, and everything that the table says of it. */
async function checkSpans(spans: Spans): Promise<void> {
  const rows = await table("span");
  const documented = new Map(rows.map((row) => [stepOf(row.name), row]));
  for (const span of spans.all) {
    const row = documented.get(stepOfSpan(span.name));
    assert.ok(row !== undefined, `docs/telemetry.md lacks the span ${span.name}`);
    const parents = namesIn(row.cells[0]!);
    const parent = spans.parent(span);
    const mayBegin = row.cells[0]!.includes("none");
    const fits =
      parent === undefined ? mayBegin : parents.includes(stepOfSpan(parent.name)) || span.name === "read handover";
    assert.ok(fits, `${spans.path(span).join(" < ")} is not as docs/telemetry.md says`);
    const attributes = new Set([...namesIn(row.cells[1]!), "error.type"]);
    for (const name of Object.keys(span.attributes)) assert.ok(attributes.has(name), `${span.name} has ${name}`);
    if (parent !== undefined) assert.equal(span.traceId, parent.traceId);
    assert.ok(span.endMs >= span.startMs, `${span.name} ends before it starts`);
  }
  const received = new Set(spans.all.map(({ name }) => stepOfSpan(name)));
  const sometimes = ["wait for credit", "receive"];
  const missing = [...documented.keys()].filter((step) => !received.has(step) && !sometimes.includes(step));
  assert.deepEqual(missing, [], "every documented span was received");
}

/** One batch of the source, from its reading to the commit that publishes it. */
function checkTrace(spans: Spans): ReceivedSpan[] {
  const commit = spans.named("commit words")[0]!;
  const ofTrace = spans.all.filter(({ traceId }) => traceId === commit.traceId);
  const names = new Set(ofTrace.map(({ name }) => name));
  for (const name of ["read texts", "process split", "infer ask", "call shout", "client queue shout", "serve shout"]) {
    assert.ok(names.has(name), `the trace has ${name}: ${[...names]}`);
  }
  for (const name of ["queue wait shout", "batch wait shout", "process check", "write handover", "write words"]) {
    assert.ok(names.has(name), `the trace has ${name}: ${[...names]}`);
  }
  const roots = ofTrace.filter(({ parentId }) => parentId === "").map(({ name }) => name);
  assert.deepEqual(roots, ["read texts"]);
  return ofTrace;
}

/** Calls that answered several requests: each of the others is linked to the call, and the call to each of them. */
function checkLinks(spans: Spans): void {
  const calls = new Map(spans.named("inference shout").map((span) => [span.spanId, span]));
  const serves = spans.named("serve shout");
  for (const serve of serves) {
    const own = [...calls.values()].filter(({ parentId }) => parentId === serve.spanId);
    if (own.length > 0) continue;
    const [link] = serve.links.filter(({ spanId }) => calls.has(spanId));
    assert.ok(link !== undefined, "a request that met others in a call is linked to it");
    assert.ok(calls.get(link.spanId)!.links.some(({ spanId }) => spanId === serve.spanId));
    assert.ok(
      spans.parent(serve)!.links.some(({ spanId }) => spanId === link.spanId),
      "and so is its client's call",
    );
  }
  assert.equal(serves.length, FILES);
}

/** Of the log, those with this message. */
function linesOf(stderr: string, message: string): Record<string, unknown>[] {
  const lines = stderr.split("\n").filter((line) => line.startsWith("{"));
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ msg }) => msg === message);
}

/** What hosts and instances log comes out at their workers' standard error, at the workers' level, with its trace. */
function checkLogs(spans: Spans, workers: readonly MillraceProcess[], job: string): void {
  const complained = workers.map((worker) => worker.complained).join("\n");
  const at = (span: ReceivedSpan) => `00-${span.traceId}-${span.spanId}-01`;
  const said = (message: string, spanName: string) => {
    const lines = linesOf(complained, message);
    const known = new Map(spans.named(spanName).map((span) => [span.spanId, span]));
    assert.equal(lines.length, known.size, `${message}: ${complained}`);
    for (const line of lines) {
      const span = known.get(String(line.span_id)) ?? assert.fail(`no span of ${JSON.stringify(line)}`);
      assert.deepEqual([line.trace_id, line.trace_flags, line.job], [span.traceId, "01", job]);
      assert.equal(line.traceparent, at(span), "what a call out would carry");
    }
    return lines;
  };
  for (const { host, operator } of said("split into words", "read texts"))
    assert.deepEqual([typeof host, operator], ["string", "split"]);
  for (const { instance, service } of said("shouts", "inference shout"))
    assert.match(`${service} ${instance}`, /^shout shout-\d+-0$/);
  assert.deepEqual([linesOf(complained, "whispers"), linesOf(complained, "was quiet about it")], [[], []]);
  assert.ok(!complained.includes("printed by"), "what is printed is of the level info");
}

/** Names of `GET /metrics`, as a scraper reads them, without what histograms and counters put behind. */
async function scraped(url: string): Promise<Map<string, string>> {
  const answer = await fetch(`${url}/metrics`);
  assert.deepEqual([answer.status, answer.headers.get("content-type")?.split(";")[0]], [200, "text/plain"]);
  const lines = (await answer.text()).split("\n");
  const types = lines.flatMap((line) => /^# TYPE (\S+) (\w+)$/.exec(line)?.slice(1) ?? []);
  const kinds = new Map<string, string>();
  for (let i = 0; i < types.length; i += 2) kinds.set(types[i]!, types[i + 1]!);
  for (const line of lines) {
    const name = /^([a-z_0-9]+)[{ ]/.exec(line)?.[1];
    if (name === undefined) continue;
    assert.ok(kinds.has(name) || kinds.has(name.replace(/_(bucket|sum|count)$/, "")), `${line} has a type`);
  }
  return kinds;
}

/** As the docs say: a collector's names of those that a coordinator has. */
async function checkScraped(kinds: ReadonlyMap<string, string>): Promise<void> {
  const units: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes", "1": "_ratio" };
  const ofCoordinator = /^(millrace\.(checkpoint|region|bus)\.|nodejs\.|process\.|v8js\.)/;
  const rows = (await table("metric")).filter(({ name }) => ofCoordinator.test(name));
  const expected = rows.map(({ name, cells: [unit = "", kind = ""] }) => {
    const plain = name.replaceAll(".", "_");
    const suffix = units[namesIn(unit)[0]!] ?? "";
    const whole = plain.endsWith(suffix) ? plain : `${plain}${suffix}`;
    return [kind.trim() === "counter" ? `${whole}_total` : whole, kind.trim()];
  });
  assert.deepEqual([...kinds].sort(), expected.sort());
}

describe("telemetry: a job in one process", function () {
  this.timeout(60_000); // two processes start, one after the other
  let receiver: OtlpReceiver;
  let folder: string;
  before(async () => {
    [receiver, folder] = [await OtlpReceiver.start(), await mkdtemp(join(tmpdir(), "millrace-telemetry-"))];
    await writeTexts(folder);
  });
  after(async () => {
    await receiver.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const run = (output: string, env: Readonly<Record<string, string>>) => {
    const params = {
      input: join(folder, "text-*.txt"),
      output: join(folder, output),
      parallelism: "1",
      delayMs: "200",
    };
    const flags = Object.entries(params).flatMap(([name, value]) => ["-p", `${name}=${value}`]);
    return new MillraceProcess(["run", FIXTURE, ...flags], { env, cwd: folder }).ended;
  };

  it("is one trace for each batch of its source, from reading to commit, and links where batches meet", async () => {
    const { stderr, ...ended } = await run("traced", settings(receiver.url));
    ok({ stderr, ...ended });
    const spans = new Spans(receiver.spans);
    await checkSpans(spans);
    checkTrace(spans);
    checkLinks(spans);
    const roots = spans.named("read texts");
    assert.equal(roots.length, FILES);
    const linked = spans.named("commit handover").flatMap(({ links }) => links);
    assert.equal(linked.length + spans.named("commit handover").length, FILES, "a commit is linked to all its batches");
    const line = stderr.split("\n").find((text) => text.includes("split into words"))!;
    const { trace_id, span_id, trace_flags, trace } = JSON.parse(line) as Record<string, string>;
    assert.ok(
      roots.some(({ traceId, spanId }) => traceId === trace_id && spanId === span_id),
      "logs name their trace",
    );
    assert.deepEqual([trace_flags, trace], ["01", undefined]);
    const [shout] = linesOf(stderr, "shouts");
    assert.ok(
      spans.named("inference shout").some(({ spanId }) => spanId === shout?.span_id),
      `the service's instance, a process of its own, logs here as well: ${stderr}`,
    );
  });

  it("sends nothing where the variables say that it is off", async () => {
    const before = receiver.headers.length;
    ok(await run("silent", { ...settings(receiver.url), OTEL_SDK_DISABLED: "true" }));
    assert.equal(receiver.headers.length, before);
  });

  it("goes on where the receiver is away, and each process says so in a line of the log (E1, E2)", async () => {
    const gone = await OtlpReceiver.start();
    const { url } = gone;
    await gone.stop();
    const secret = "planted-secret-of-a-header";
    const ended = await run("away", { ...settings(url), OTEL_EXPORTER_OTLP_HEADERS: `authorization=${secret}` });
    ok(ended);
    const complaints = linesOf(ended.stderr, "telemetry could not be sent; the job goes on");
    const processes = complaints.map(({ instance }) => (instance === undefined ? "run" : "instance"));
    assert.deepEqual(processes.sort(), ["instance", "run"], ended.stderr);
    assert.ok(!ended.stderr.includes(secret));
  });
});

describe("telemetry: a job on a cluster", () => {
  let receiver: OtlpReceiver;
  let cluster: Cluster;
  const set: string[] = [];
  before(async function () {
    this.timeout(60_000);
    receiver = await OtlpReceiver.start();
    // As an operator would: for whatever is started here, and what that starts.
    for (const [name, value] of Object.entries({ ...settings(receiver.url), OTEL_SERVICE_NAME: "mill" })) {
      process.env[name] = value;
      set.push(name);
    }
    cluster = await Cluster.start("one", "two");
    await writeTexts(cluster.folder);
  });
  after(async function () {
    this.timeout(60_000);
    for (const name of set) delete process.env[name];
    await cluster?.stop();
    await receiver.stop();
  });

  it("is traced through all its processes, and has exactly the documented metrics", async function () {
    this.timeout(90_000);
    const params = ["-p", `input=${cluster.folder}/text-*.txt`, "-p", "output=words", "-p", "delayMs=200"];
    const said = ok(await cluster.run("submit", FIXTURE, ...params));
    const [coordinator, ...started] = cluster.processes;
    const workers = started.slice(0, 2);
    // A worker leaves behind the job's processes, and each process when it has sent and written all.
    for (const { status } of await Promise.all(workers.map((worker) => worker.stop()))) assert.equal(status, 0);
    const spans = new Spans(receiver.spans);
    assert.ok(spans.whole, "all spans have come that are named as parents");
    await checkSpans(spans);
    checkLinks(spans);
    const roles = new Set(checkTrace(spans).map(({ resource }) => resource["millrace.role"]));
    assert.deepEqual([...roles].sort(), ["host", "instance"]);
    const received = spans.named("receive check");
    assert.ok(received.length > 0, "batches have crossed a channel between two hosts");
    for (const span of received)
      assert.notEqual(span.resource["process.pid"], spans.parent(span)!.resource["process.pid"]);
    assert.ok(spans.all.every(({ resource }) => resource["service.name"] === "mill"));
    checkLogs(spans, workers, /job (\S+) submitted/.exec(said)![1]!);
    await checkMetrics(receiver);
    await checkScraped(await scraped(/http:\/\/127\.0\.0\.1:\d+/.exec(coordinator!.said)![0]));
  });

  it("hosts and instances log at the level that their worker was asked for, and what is printed there, too", async function () {
    this.timeout(90_000);
    const loud = await cluster.up("worker", "--name", "three", "--log-level", "info");
    const params = ["-p", `input=${cluster.folder}/text-*.txt`, "-p", "output=loud"];
    ok(await cluster.run("submit", FIXTURE, ...params));
    assert.equal((await loud.stop()).status, 0, "it leaves when all has been written");
    assert.ok(linesOf(loud.complained, "whispers").length > 0, loud.complained);
    assert.equal(linesOf(loud.complained, "was quiet about it").length, FILES);
    const printed = linesOf(loud.complained, "printed");
    assert.equal(printed.length, FILES);
    for (const { level, text, host, pid } of printed)
      assert.deepEqual([level, text, typeof host, typeof pid], ["info", "printed by an operator", "string", "number"]);
  });
});

async function checkMetrics(receiver: OtlpReceiver): Promise<void> {
  const rows = await table("metric");
  await receiver.until("metrics of every process", () => {
    const roles = new Set(receiver.metrics.map(({ resource }) => resource["millrace.role"]));
    return ["coordinator", "host", "instance", "worker"].every((role) => roles.has(role)) ? roles : undefined;
  });
  await receiver.until("every metric", () => rows.every(({ name }) => receiver.metricNames.has(name)) || undefined);
  assert.deepEqual([...receiver.metricNames].sort(), rows.map(({ name }) => name).sort());
  for (const { name, unit, kind, points } of receiver.metrics) {
    const [unitCell = "", kindCell = "", attributesCell = ""] = rows.find((row) => row.name === name)!.cells;
    assert.deepEqual([unit, kind], [namesIn(unitCell)[0], kindCell.trim()], name);
    const documented = namesIn(attributesCell).sort();
    for (const { attributes } of points) assert.deepEqual(Object.keys(attributes).sort(), documented, name);
  }
  const newest = (name: string, operator: string) =>
    receiver.metrics
      .filter((metric) => metric.name === name)
      .flatMap(({ points, resource }) => points.map((point) => ({ ...point, pid: resource["process.pid"] })))
      .filter(({ attributes }) => attributes["millrace.operator"] === operator);
  const perProcess = new Map(newest("millrace.operator.rows.in", "words").map(({ pid, value }) => [pid, value]));
  const words = FILES * (WORDS.split(" ").length + 1);
  assert.equal(
    [...perProcess.values()].reduce((sum, value) => sum + value, 0),
    words,
  );
}
