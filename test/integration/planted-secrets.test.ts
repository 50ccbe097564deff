/**
 * Every secret that the system takes, with a value that is known again, in a cluster where much goes wrong; then everything that anybody can
 * see is searched for it: what processes say at their most talkative, command lines, answers of the API, pages, events, metrics, what telemetry
 * sends, messages on the bus, and objects in the store.
 *
 * Where a value must lie (docs/security.md, "Secrets"): an address that a row holds, in the rows themselves.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { connect, type NatsConnection, nkeys } from "@nats-io/transport-node";
import { newToken } from "../../src/api/tokens.js";
import { Cluster, flagsOf, until } from "../e2e/cluster.js";
import { MillraceProcess } from "../e2e/millrace-process.js";
import { type NatsServer, startNats } from "../servers/index.js";

const planted = (what: string) => `planted-${what}-${randomBytes(8).toString("hex")}`;
const DEBUG = ["--log-level", "debug"];

/** What was seen, by where. */
class Seen {
  readonly #texts = new Map<string, string>();

  add(where: string, bytes: string | Uint8Array): void {
    const text = typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("latin1");
    this.#texts.set(where, `${this.#texts.get(where) ?? ""}\n${text}`);
  }

  /** @returns `<secret> in <where>` for each that is there */
  find(secrets: Readonly<Record<string, string>>): string[] {
    return [...this.#texts].flatMap(([where, text]) =>
      Object.entries(secrets)
        .filter(([, value]) => formsOf(value).some((form) => text.includes(form)))
        .map(([name]) => `${name} in ${where}`),
    );
  }

  text(where: RegExp): string {
    return [...this.#texts].flatMap(([name, text]) => (where.test(name) ? [text] : [])).join("\n");
  }
}

const formsOf = (value: string) => [
  value,
  encodeURIComponent(value),
  Buffer.from(value).toString("base64").slice(0, -3),
];

describe("security: planted secrets", function () {
  this.timeout(240_000);
  const seed = nkeys.createUser();
  const secrets = {
    coordinatorPassword: planted("coordinator-password"),
    submitterPassword: planted("submitter-password"),
    wrongPassword: planted("wrong-password"),
    wrongNatsToken: planted("nats-token"),
    workerSeed: Buffer.from(seed.getSeed()).toString("latin1"),
    wrongSeed: Buffer.from(nkeys.createUser().getSeed()).toString("latin1"),
    serviceKey: planted("service-key"),
    telemetryKey: planted("telemetry-key"),
    wrongS3Key: planted("s3-key"),
    wrongS3Session: planted("s3-session"),
    s3Key: "",
    adminToken: "",
    wrongToken: newToken("nobody", "admin").token,
  };
  /** In addresses that rows hold. */
  const inRows = { login: planted("login"), signature: planted("signature"), moved: planted("moved") };
  const seen = new Seen();
  let cluster: Cluster;
  let folder: string;
  let web: Server;
  let tap: NatsConnection;
  let url = "";
  const port = () => (web.address() as AddressInfo).port;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-planted-"));
    web = createServer((request, response) => answer(request, response));
    await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
    const admin = newToken("ops", "admin");
    secrets.adminToken = admin.token;
    await writeFile(join(folder, "tokens.json"), JSON.stringify({ tokens: [admin.entry] }));
    await writeFile(join(folder, "worker.nk"), secrets.workerSeed);
    const telemetry = {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port()}/otlp`,
      OTEL_EXPORTER_OTLP_HEADERS: `api-key=${secrets.telemetryKey}`,
      OTEL_TRACES_SAMPLER: "always_on",
      OTEL_METRIC_EXPORT_INTERVAL: "300",
      OTEL_BSP_SCHEDULE_DELAY: "100",
    };
    const roles = {
      coordinator: {
        MILLRACE_NATS_USER: "coordinator",
        MILLRACE_NATS_PASSWORD: secrets.coordinatorPassword,
        MILLRACE_TOKENS: join(folder, "tokens.json"),
        MILLRACE_AUDIT: join(folder, "audit.jsonl"),
      },
      worker: { MILLRACE_NATS_NKEY: join(folder, "worker.nk"), PLANTED_SERVICE_KEY: secrets.serviceKey },
      submitter: {},
    };
    cluster = await Cluster.startAs({ nats, env: (role) => ({ ...telemetry, ...roles[role] }) });
    secrets.s3Key = cluster.minio.secretAccessKey;
    await cluster.processes[0]!.stop();
    const coordinator = await cluster.up("coordinator", ...DEBUG);
    await cluster.up("worker", "--name", "w1", ...DEBUG);
    await coordinator.says("leads", 60_000);
    url = await until("the API's address", async () => /dashboard at (http:\/\/\S+)/.exec(coordinator.said)?.[1]);
    tap = await connect({ servers: cluster.nats.url, user: "tap", pass: "tap" });
    void (async () => {
      for await (const { subject, data } of tap.subscribe(">")) seen.add(`bus ${subject}`, data);
    })();
  });
  after(async () => {
    await tap?.close();
    await cluster?.stop();
    web?.closeAllConnections();
    web?.close();
    await rm(folder, { recursive: true, force: true });
  });

  function nats(): Promise<NatsServer> {
    const users = [
      `{ user: coordinator, password: "${secrets.coordinatorPassword}" }`,
      `{ user: submitter, password: "${secrets.submitterPassword}" }`,
      "{ user: tap, password: tap }",
      `{ nkey: ${seed.getPublicKey()} }`,
    ];
    return startNats({ config: () => `authorization { users: [ ${users.join(", ")} ] }` });
  }

  /** A web server, a model server that repeats the key, and a receiver of telemetry. */
  function answer(request: import("node:http").IncomingMessage, response: import("node:http").ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      const path = request.url ?? "";
      if (path.startsWith("/otlp")) {
        seen.add("telemetry", request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body);
        return response.writeHead(200).end();
      }
      if (path.startsWith("/found")) return response.end("found");
      if (path.startsWith("/moved"))
        return response.writeHead(302, { location: `/gone?X-Amz-Signature=${inRows.moved}` }).end();
      if (path.startsWith("/refused")) return response.writeHead(403).end(`<Error>${request.url}</Error>`);
      if (path.startsWith("/v1")) {
        if (!body.toString().includes("key")) return response.end(JSON.stringify(CHAT));
        return response.writeHead(401).end(JSON.stringify({ error: `no ${request.headers.authorization}` }));
      }
      response.writeHead(404).end();
    });
  }

  const as = (env: Readonly<Record<string, string>>, ...args: string[]) => {
    const begun = new MillraceProcess(args, { env: { ...cluster.env, ...env } });
    cluster.processes.push(begun);
    return begun.ended;
  };
  const submitter = () => {
    const MILLRACE_NATS = cluster.nats.url.replace("//", `//submitter:${secrets.submitterPassword}@`);
    return { MILLRACE_NATS, PLANTED_SERVICE_KEY: secrets.serviceKey };
  };
  const ask = async (path: string, token = secrets.adminToken, init: RequestInit = {}) => {
    const answer = await fetch(`${url}${path}`, { ...init, headers: { authorization: `Bearer ${token}` } });
    const text = await answer.text();
    seen.add(`answer ${path.split("?")[0]}`, text);
    return { status: answer.status, text };
  };
  const nothingOf = (found: Readonly<Record<string, string>>) => assert.deepEqual(seen.find(found), []);

  it("a job in which most things fail: its end, its dead letters and its failure say what went wrong", async () => {
    const address = (path: string, at = port()) =>
      `http://reader:${inRows.login}@127.0.0.1:${at}/${path}?X-Amz-Signature=${inRows.signature}`;
    const lines = [
      ...["found", "moved", "refused", "missing"].map((path) => `fetch ${address(path)}`),
      ...[`fetch ${address("dead", 1)}`, `repeat ${address("found")}`, "key", "own", "served", "plain"],
    ];
    await writeFile(join(folder, "a.txt"), lines.join("\n"));
    const params = flagsOf({ input: join(folder, "a.txt"), output: "planted", url: `http://127.0.0.1:${port()}/v1` });
    const topology = "test/fixtures/planted.ts";
    const { status, stdout, stderr } = await as(submitter(), "submit", topology, ...params, ...DEBUG);
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    const letters = await cluster.rows<{ code: string; message: string }>("planted-dead-letters");
    const messages = letters.map(({ code, message }) => `${code} ${message}`).join("\n");
    for (const said of [
      /MILL_STORE_REFUSED.*\/refused: the server refuses with status 403/,
      /MILL_STORE_NOT_FOUND.*\/moved/,
      /MILL_STORE_NOT_FOUND.*\/missing/,
      /MILL_STORE_UNREACHABLE.*\/dead/,
      /MILL_OPERATOR_FAILED.*http:\/\/\*\*\*@127\.0\.0\.1:\d+\/found\?X-Amz-Signature=\*\*\* is not for us, nor is \*\*\*/,
      /MILL_ENDPOINT_REFUSED.*no Bearer \*\*\*/,
      /MILL_RECORD_INVALID no row for \*\*\*/,
      /MILL_SERVICE_FAILED.*refused: \*\*\*/,
    ])
      assert.match(messages, said);
    seen.add("messages of dead letters", messages);
    const failed = await as(submitter(), "submit", topology, ...params, "--overwrite", "-p", "load=fails");
    assert.notEqual(failed.status, 0);
    assert.match(failed.stderr, /nobody is let in with \*\*\*/);
  });

  it("who brings a wrong secret is told what is wrong with it, and the secret is not repeated", async () => {
    const bus = { MILLRACE_NATS_USER: "coordinator", MILLRACE_NATS_PASSWORD: secrets.wrongPassword };
    await writeFile(join(folder, "wrong.nk"), secrets.wrongSeed);
    await writeFile(join(folder, "wrong.creds"), `-----BEGIN USER NKEY SEED-----\n${secrets.wrongSeed}\n`);
    const submission = ["submit", "test/fixtures/planted.ts", ...flagsOf({ output: "other" })];
    for (const [env, code, args] of [
      [bus, "MILL_BUS_REFUSED", ["coordinator"]],
      [{ MILLRACE_NATS_TOKEN: secrets.wrongNatsToken }, "MILL_BUS_REFUSED", ["worker", "--name", "w2"]],
      [{ MILLRACE_NATS_NKEY: join(folder, "wrong.nk") }, "MILL_BUS_REFUSED", ["coordinator"]],
      [{ MILLRACE_NATS_CREDS: join(folder, "wrong.creds") }, "MILL_", ["coordinator"]],
      [
        { MILLRACE_NATS: cluster.nats.url.replace("//", `//submitter:${secrets.wrongPassword}@`) },
        "MILL_BUS_REFUSED",
        submission,
      ],
      [{ ...submitter(), AWS_SECRET_ACCESS_KEY: secrets.wrongS3Key }, "MILL_STORE_REFUSED", submission],
      [{ ...submitter(), AWS_SESSION_TOKEN: secrets.wrongS3Session }, "MILL_STORE_REFUSED", ["worker", "--name", "w3"]],
      [{ MILLRACE_URL: url, MILLRACE_TOKEN: secrets.wrongToken }, "MILL_REQUEST_UNAUTHENTICATED", ["jobs"]],
      [{ MILLRACE_URL: url, MILLRACE_TOKEN: secrets.wrongToken }, "MILL_REQUEST_UNAUTHENTICATED", submission],
    ] as const) {
      const { status, stdout, stderr } = await as(env, ...args, ...DEBUG);
      assert.notEqual(status, 0, `${Object.keys(env)} ${args.join(" ")}\n${stdout}\n${stderr}`);
      assert.match(stderr, new RegExp(code), args.join(" "));
    }
    assert.equal((await ask("/v1/jobs", secrets.wrongToken)).status, 401);
    assert.equal((await ask("/v1/jobs/none/cancel", secrets.wrongToken, { method: "POST" })).status, 401);
    for (const check of [bus, submitter()]) await as(check, "doctor");
    const right = { MILLRACE_URL: url, MILLRACE_TOKEN: secrets.adminToken };
    assert.match((await as(right, "jobs", ...DEBUG)).stdout, /planted-/, "and a right one is let in");
  });

  it("nobody sees one of them: not in answers, pages, metrics, logs, command lines, events, telemetry, messages or objects", async () => {
    const { paths } = JSON.parse((await ask("/openapi.json")).text) as { paths: Record<string, { get?: object }> };
    const items = async (path: string) =>
      (JSON.parse((await ask(path)).text) as { items: Record<string, string>[] }).items;
    const jobs = (await items("/v1/jobs")).map(({ job = "" }) => job);
    assert.equal(jobs.length, 2);
    let answered = 0;
    for (const job of jobs) {
      const letters = await items(`/v1/jobs/${job}/dead-letters`);
      const names = { job, service: "own", worker: "w1", operator: "own", letter: "", operation: "none" };
      for (const { id: letter = "none" } of letters.length === 0 ? [{}] : (letters as { id?: string }[])) {
        for (const [path, { get }] of Object.entries(paths)) {
          if (get === undefined || path.endsWith("/stream")) continue;
          const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => ({ ...names, letter })[name] ?? "none");
          if ((await ask(filled)).status === 200) answered++;
        }
      }
    }
    assert.ok(answered > 40, `${answered} answers`);
    for (const path of ["/", "/docs", "/metrics"]) assert.equal((await ask(path)).status, 200, path);
    assert.match(seen.text(/answer .*events/), /job\./);
    assert.match(seen.text(/answer \/metrics/), /millrace_/);
    for (const { args, said, complained } of cluster.processes) {
      seen.add(`what ${args.join(" ")} says`, said);
      seen.add(`the log of ${args.join(" ")}`, complained);
    }
    assert.match(seen.text(/log of worker/), /called with \*\*\*/, "what a handler prints is there, without its key");
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        seen.add(`the command line of ${pid}`, readFileSync(`/proc/${pid}/cmdline`));
      } catch {
        // It has ended.
      }
    }
    seen.add("the audit log", readFileSync(join(folder, "audit.jsonl")));
    for await (const { key } of cluster.store.list("")) seen.add(`object ${key}`, await cluster.store.get(key));
    await until("telemetry", async () => (seen.text(/telemetry/).includes("w1") ? true : undefined));
    assert.match(seen.text(/bus/), /planted/);
    nothingOf(secrets);
  });

  it("what an address in a row holds lies where the row lies: in the job's input, and in dead letters, which can be replayed", () => {
    const places = seen.find(inRows).map((found) => found.replace(/planted-\d+-\w+/g, "<job>"));
    const expected = [
      "object jobs/<job>/inputs/texts/a.txt",
      "object planted-dead-letters/dead-letters-texts-0-2.jsonl",
    ];
    const both = (place: string) => [`login in ${place}`, `signature in ${place}`];
    assert.deepEqual([...new Set(places)].sort(), expected.flatMap(both).sort());
  });
});

const CHAT = { choices: [{ message: { content: "yes" }, finish_reason: "stop" }], usage: {} };
