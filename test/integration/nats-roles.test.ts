/** deploy/nats/roles.conf on a real nats-server: each role can do its work, and nothing that belongs to another. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AckPolicy, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import type { Namespace } from "../../src/base/ids.js";
import { connectNats } from "../../src/bus/nats-bus.js";
import { clusterSubjects } from "../../src/bus/subjects.js";
import { bytes, recordingPorts, text, within } from "../conformance/bus-support.js";
import { Cluster, finished, until } from "../e2e/cluster.js";
import { packageRoot } from "../servers/find.js";
import { type NatsServer, startNats } from "../servers/index.js";

const ROLES = ["coordinator", "worker", "submitter"] as const;
type Role = (typeof ROLES)[number];

const FILE = join(packageRoot(), "deploy", "nats", "roles.conf");
const passwordOf = (role: Role) => `${role}-password`;
const inboxOf = (role: Role) => `_INBOX_${role}`;
/** Logs are in the workers' account. */
const LOGS_API = "JS.jobs.API";
const subjects = clusterSubjects("default" as Namespace);

function startWithRoles(): Promise<NatsServer> {
  const configuration = ROLES.reduce(
    (all, role) => all.replace(`$MILLRACE_${role.toUpperCase()}_PASSWORD`, passwordOf(role)),
    readFileSync(FILE, "utf8"),
  );
  return startNats({ files: { "roles.conf": configuration }, config: () => `include "roles.conf"` });
}

function envOf(role: Role): Record<string, string> {
  return {
    MILLRACE_NATS_USER: role,
    MILLRACE_NATS_PASSWORD: passwordOf(role),
    MILLRACE_NATS_INBOX: inboxOf(role),
    ...(role === "coordinator" && { MILLRACE_NATS_LOGS_API: LOGS_API }),
  };
}

describe("deploy/nats: three users run jobs", () => {
  let cluster: Cluster;

  before(async function () {
    this.timeout(120_000);
    cluster = await Cluster.startAs({ nats: startWithRoles, env: envOf }, "left", "right");
  });
  after(async () => {
    await cluster?.stop();
  });

  it("a job with a durable exchange: the logs are written, read, and deleted when it has ended", async function () {
    this.timeout(120_000);
    const words = await cluster.writeWords(3, 20);
    const { ended } = await cluster.submit("durable-words", "durable");
    finished(await ended);
    assert.deepEqual((await cluster.words("durable")).sort(), words.sort());
  });

  it("a job whose rows are exchanged between hosts and go through a service", async function () {
    this.timeout(120_000);
    const words = await cluster.writeWords(3, 20);
    for (const fixture of ["told-words", "count-words"]) finished(await (await cluster.submit(fixture, fixture)).ended);
    assert.deepEqual((await cluster.words("told-words")).sort(), words.sort());
  });

  it("a savepoint while logs are read and written, the job's end, and its start from there", async function () {
    this.timeout(120_000);
    const words = await cluster.writeWords(30, 6);
    // Far longer than a command takes to start on a busy machine: it is stopped at the savepoint, so nobody waits for its end.
    const { args } = await cluster.submission("durable-words", "first", { writeMs: 200, readMs: 20 });
    const job = /job (\S+) submitted/.exec(finished(await cluster.run(...args, "--no-wait")))![1]!;
    await until("the first rows", async () => ((await cluster.rows("first")).length > 0 ? true : undefined));
    finished(await cluster.run("savepoint", "create", job, "--name", "half-way", "--stop"));
    finished(await cluster.run("refs", "collect", job));
    const next = await cluster.submission("durable-words", "next", {});
    finished(await cluster.run(...next.args, "--savepoint", `${job}/half-way`));
    const all = [...(await cluster.words("first")), ...(await cluster.words("next"))];
    assert.deepEqual(all.sort(), words.sort());
  });

  it("nothing that its processes asked of NATS was refused", () => {
    for (const process of cluster.processes) assert.doesNotMatch(process.complained, /MILL_BUS_REFUSED|[Pp]ermission/);
  });
});

describe("deploy/nats: what belongs to another role", () => {
  let server: NatsServer;
  const { ports } = recordingPorts();

  before(async () => {
    server = await startWithRoles();
    const coordinator = await connectAs("coordinator");
    await (await coordinator.bucket("millrace-default")).update("term", bytes("1"), 0n);
    await coordinator.close();
  });
  after(() => server?.stop());

  function connectAs(role: Role) {
    const credentials = { user: role, password: passwordOf(role) };
    return connectNats({ servers: server.url, name: "test", credentials, inbox: inboxOf(role) }, ports);
  }

  /** A client that does what it wants. */
  function dial(role: Role): Promise<NatsConnection> {
    return connect({ servers: server.url, user: role, pass: passwordOf(role), inboxPrefix: inboxOf(role) });
  }

  async function refusedToPublish(role: Role, ...forbidden: string[]): Promise<void> {
    for (const subject of forbidden) {
      const bus = await connectAs(role);
      try {
        await bus.publish(subject, bytes("x"));
        await assert.rejects(bus.flush(), { code: "MILL_BUS_REFUSED", message: /publish permissions/ }, subject);
      } finally {
        await bus.close();
      }
    }
  }

  async function refusedToSubscribe(role: Role, ...forbidden: string[]): Promise<void> {
    const bus = await connectAs(role);
    try {
      for (const subject of forbidden)
        await assert.rejects(
          bus.subscribe(subject, () => {}),
          { code: "MILL_BUS_REFUSED" },
          subject,
        );
    } finally {
      await bus.close();
    }
  }

  it("a worker commands nobody: not the coordinator, not workers, not hosts, and makes no events", async () => {
    await refusedToPublish(
      "worker",
      ...[subjects.coordinatorCommand, subjects.coordinatorApi, subjects.events],
      ...["mr.default.cluster.worker.other.command", "mr.default.some-job.host.some-host.command"],
    );
  });

  it("a worker does not write the coordinator's bucket: a bucket of that name in its own account is another", async () => {
    await refusedToPublish("worker", "$KV.millrace-default.term", "$KV.millrace-default.lease");
    const [raw, coordinator] = await Promise.all([dial("worker"), connectAs("coordinator")]);
    try {
      const jetstream = await jetstreamManager(raw);
      await jetstream.streams.add({ name: "KV_millrace-default", subjects: ["$KV.millrace-default.>"] });
      await jetstream.streams.purge("KV_millrace-default");
      const bucket = await coordinator.bucket("millrace-default");
      assert.equal(text((await bucket.get("term"))!.value), "1");
    } finally {
      await Promise.all([raw.close(), coordinator.close()]);
    }
  });

  it("a worker has nobody publish for it either: not JetStream, not whoever answers", async () => {
    const [raw, coordinator] = await Promise.all([dial("worker"), connectAs("coordinator")]);
    const heard: string[] = [];
    try {
      for (const subject of [subjects.coordinatorCommand, subjects.coordinatorApi, subjects.events])
        await coordinator.subscribe(subject, (message) => void heard.push(`${subject}: ${text(message.payload)}`));
      const bucket = await coordinator.bucket("millrace-default");
      const jetstream = await jetstreamManager(raw);
      const told = async (name: string, dest: string) => {
        const republish = { src: `mr_log.${name}`, dest };
        await jetstream.streams.add({ name, subjects: [`mr_log.${name}`], republish });
        const delivery = { durable_name: "push", deliver_subject: dest, ack_policy: AckPolicy.None };
        await jetstream.consumers.add(name, delivery).catch(() => {}); // a wildcard of another stream's: refused outright
        await jetstream.consumers.add(name, { durable_name: "pull", ack_policy: AckPolicy.None });
        raw.publish(`mr_log.${name}`, "forged");
        raw.publish(`$JS.API.CONSUMER.MSG.NEXT.${name}.pull`, "", { reply: dest });
        // The one who answers would be the coordinator, or another host, with rights of its own.
        raw.publish(subjects.coordinatorReport, "forged", { reply: dest });
        await raw.flush();
      };
      await told("a", subjects.coordinatorCommand);
      await told("b", subjects.coordinatorApi);
      await told("c", subjects.events);
      await told("d", "$KV.millrace-default.term");
      // All of it has been carried out, in the worker's account: what was published there last is heard there.
      const last = new Promise((resolve) => raw.subscribe("mr.default.own.splits.last", { callback: resolve }));
      await jetstream.streams.add({
        name: "last",
        subjects: ["mr_log.last"],
        republish: { src: "mr_log.last", dest: "mr.default.own.splits.last" },
      });
      raw.publish("mr_log.last", "forged");
      await within("what JetStream republishes", last);
      await coordinator.flush();
      assert.deepEqual(heard, []);
      assert.equal(text((await bucket.get("term"))!.value), "1");
    } finally {
      await Promise.all([raw.close(), coordinator.close()]);
    }
  });

  it("a worker neither reads what others are answered, nor writes it unasked", async () => {
    await refusedToSubscribe(
      "worker",
      "_INBOX.>",
      "_INBOX_coordinator.>",
      "_INBOX_submitter.>",
      subjects.coordinatorCommand,
    );
    await refusedToPublish("worker", "_INBOX_submitter.x", "_INBOX_coordinator.x");
  });

  it("a coordinator makes no log: one that it made would stay when its job has ended", () =>
    refusedToPublish("coordinator", `${LOGS_API}.STREAM.CREATE.MR_LOG_orders`));

  it("a submitter asks the coordinator, and does nothing else", async () => {
    await refusedToPublish(
      "submitter",
      ...[subjects.coordinatorReport, subjects.coordinatorApi, subjects.events, "mr.default.cluster.worker.w.command"],
      ...["mr.default.some-job.host.h.command", "mr_log.x", "$KV.millrace-default.term", "$JS.API.STREAM.NAMES"],
    );
    await refusedToSubscribe("submitter", "mr.>", "_INBOX.>", "_INBOX_worker.>", "$KV.>");
  });

  it("another namespace is closed to all three", async () => {
    for (const role of ROLES) {
      await refusedToPublish(role, "mr.other.cluster.coordinator.report", "mr.other.cluster.coordinator.command");
      await refusedToSubscribe(role, "mr.other.>");
    }
  });
});
