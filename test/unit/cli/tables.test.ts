import assert from "node:assert/strict";
import { duration, plain, rate, table, time } from "../../../src/cli/api/tables.js";
import { topView } from "../../../src/cli/api/top-view.js";
import { checkpointsText, type Job, jobsText, jobText } from "../../../src/cli/api/views.js";
import { eventText } from "../../../src/cli/commands/logs.js";
import type { JobSummary, OperatorDetail } from "../../../src/coordinator/describe.js";

const plainPaint = (_: string, text: string) => text;
/** Clears the screen, and colours what follows. */
const STEERING = "\u001b[2J\u001b[31mred\r\nnext\u009b1m\u202e";

const summary = (job: string, changed: Partial<JobSummary> = {}): JobSummary => ({
  job,
  topology: "pages",
  state: "RUNNING",
  code: "",
  message: "",
  submittedMs: 1_000,
  startedMs: 2_000,
  finishedMs: 0,
  rowsTotal: 100,
  rowsRead: 40,
  rowsWritten: 39,
  rowsInFlight: 1,
  deadLetters: 0,
  counts: { actors: 2, actorsRunning: 2, regions: 2, restarts: 0, instancesWanted: 1, instancesReady: 1 },
  ...changed,
});

const operator = (name: string): OperatorDetail => ({
  operator: name,
  kind: "map",
  parallelism: 2,
  chain: name,
  service: "",
  regions: [],
  rowsIn: 1,
  rowsOut: 1,
  rowsInPerSecond: 12.345,
  rowsOutPerSecond: 1234.5,
  requestsInFlight: 0,
  rowsInFlight: 0,
  queuedBytes: 0,
  queuedBatches: 0,
  busy: 0.5,
  backPressured: 0.25,
  idle: 0.25,
  busyMax: 0.5,
  backPressuredMax: 0.25,
});

const job = (changed: Partial<Job> = {}): Job => ({
  ...summary("pages-1"),
  planHash: "",
  bundle: "",
  params: { input: "*.png" },
  parallelism: 0,
  unit: "pages",
  checkpointIntervalMs: 10_000,
  rowsReadPerSecond: 3,
  rowsWrittenPerSecond: 2.5,
  operators: [operator("decode")],
  edges: [],
  regions: [],
  services: [],
  hosts: [],
  ...changed,
});

describe("cli/api/tables: lists for people", () => {
  it("line up: texts at the left, numbers at the right", () => {
    const columns = [
      { title: "NAME", of: ({ name }: { name: string; count: number }) => name },
      { title: "N", of: ({ count }: { name: string; count: number }) => count },
    ];
    const rows = [
      { name: "a", count: 5 },
      { name: "longer", count: 123 },
    ];
    assert.equal(table(columns, rows, "none"), "NAME      N\na         5\nlonger  123\n");
    assert.equal(table(columns, [], "none"), "none\n");
  });

  it("let no text of others steer the terminal, or begin a line", () => {
    assert.equal(plain(STEERING), " [2J [31mred next 1m ");
    const texts = [
      jobsText([summary("a", { message: STEERING })]),
      jobText(job({ message: STEERING, params: { a: STEERING } })),
      checkpointsText("a", []),
      eventText(
        {
          event: "1-1",
          atMs: 0,
          kind: "job.state",
          severity: "error",
          job: "a",
          about: STEERING,
          code: "",
          message: STEERING,
        },
        true,
        plainPaint,
      ),
      topView(
        {
          url: "u",
          nowMs: 0,
          jobs: [summary("a", { message: STEERING })],
          job: job({ unit: STEERING }),
          error: STEERING,
        },
        { columns: 200, rows: 50 },
        plainPaint,
      ).join("\n"),
    ];
    for (const text of texts) assert.ok(!/[^\P{Cc}\n]|\p{Cf}/u.test(text), JSON.stringify(text));
  });

  it("tell times, spans and rates in a few digits", () => {
    assert.deepEqual([time(0), time(1_000)], ["-", "1970-01-01 00:00:01"]);
    assert.deepEqual([1_234, 90_000, 150_000, 7_300_000, 200_000_000].map(duration), [
      "1.2 s",
      "90 s",
      "2 min",
      "2 h",
      "2 d",
    ]);
    assert.deepEqual([0, 0.012345, 12.345, 1234.5].map(rate), [0, 0.0123, 12.3, 1235]);
  });

  it("jobs come newest first, with how far each is", () => {
    const text = jobsText([summary("old", { submittedMs: 1 }), summary("new", { rowsTotal: 0 })]);
    const [, first, second] = text.split("\n");
    assert.match(first!, /^new .* 40\/\? /);
    assert.match(second!, /^old .* 40\/100 /);
  });
});

describe("cli/api/top-view: one screen", () => {
  const facts = {
    url: "http://a:1",
    nowMs: 10_000,
    jobs: [summary("pages-1"), summary("pages-2")],
    job: job(),
    error: undefined,
  };

  it("shows the jobs, and of one its operators with their rates", () => {
    const lines = topView(facts, { columns: 120, rows: 40 }, plainPaint);
    assert.match(lines[0]!, /^millrace top {2}http:\/\/a:1 .*2 jobs/);
    assert.ok(lines.some((line) => /^pages-2 +RUNNING/.test(line)));
    assert.ok(
      lines.some((line) => /^pages-1 {2}RUNNING for 8\.0 s {2}3 pages\/s read, 2\.5 rows\/s written/.test(line)),
    );
    assert.ok(
      lines.some((line) => /^decode +map +2 +12\.3 +1235 +50% +25%/.test(line)),
      lines.join("\n"),
    );
  });

  it("fits the screen, however small it is", () => {
    const many = { ...facts, job: job({ operators: Array.from({ length: 50 }, (_, i) => operator(`operator-${i}`)) }) };
    for (const [columns, rows] of [
      [80, 24],
      [20, 5],
      [1, 1],
      [200, 100],
    ] as const) {
      const lines = topView(many, { columns, rows }, plainPaint);
      assert.ok(lines.length <= rows, `${lines.length} lines of ${rows}`);
      for (const line of lines) assert.ok(line.length <= columns, `${line.length} columns of ${columns}`);
    }
  });

  it("leaves out jobs that have ended some time ago", () => {
    const over = summary("over", { state: "FINISHED", finishedMs: 10_000 });
    const shown = (nowMs: number) =>
      topView({ ...facts, nowMs, jobs: [over] }, { columns: 99, rows: 9 }, plainPaint).join("\n");
    assert.match(shown(20_000), /^over /m);
    assert.doesNotMatch(shown(700_000), /^over /m);
  });

  it("says why the last look failed, and keeps what was known", () => {
    const lines = topView({ ...facts, error: "no coordinator answers" }, { columns: 99, rows: 30 }, plainPaint);
    assert.equal(lines[1], "no coordinator answers");
    assert.ok(lines.some((line) => line.startsWith("pages-2")));
  });
});
