/**
 * NATS or S3 that is not there, is something else, or refuses: what `coordinator`, `worker` and `submit` say, that they
 * end, and that no secret is in what they say. Then what a working cluster says of bad input.
 */
import assert from "node:assert/strict";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer as createWebServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ErrorCode } from "../../src/base/errors.js";
import { realPorts } from "../../src/base/real/ports.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import { openStore } from "../../src/storage/open-store.js";
import { badPages, GOOD_PAGES, pagesWith } from "../fixtures/bad-pages.js";
import { type MinioServer, type NatsServer, startMinio, startNats } from "../servers/index.js";
import { assertRefused, type Refused, refused } from "./bad-input-support.js";
import { MillraceProcess, millrace } from "./millrace-process.js";

const PASSWORD = "nats-s3cret-right";
const WRONG = "s3cret-wr0ng";
const LENGTHS = "test/fixtures/content-length.ts";

/** Nothing listens there: a free port may be somebody's by the time that it is asked. */
const NOBODY = "127.0.0.1:9";

type Env = Readonly<Record<string, string>>;

describe("e2e: servers that do not let a cluster's processes in", function () {
  this.timeout(60_000);
  let nats: NatsServer;
  let locked: NatsServer;
  let minio: MinioServer;
  let store: ObjectStore;
  let env: Env;
  let folder: string;
  const listening: Server[] = [];
  const sockets = new Set<Socket>();

  /** A server of one's own on a free port. @returns `host:port` */
  async function listen(server: Server): Promise<string> {
    listening.push(server.on("connection", (socket: Socket) => sockets.add(socket.on("error", () => {}))));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  before(async () => {
    [nats, locked, minio] = await Promise.all([
      startNats(),
      startNats({ user: "mill", password: PASSWORD }),
      startMinio(),
    ]);
    folder = await mkdtemp(join(tmpdir(), "millrace-bad-servers-"));
    await mkdir(join(folder, "in"));
    await writeFile(join(folder, "in/a.txt"), "a");
    env = {
      MILLRACE_NATS: nats.url,
      MILLRACE_STORE: `s3://${minio.bucket}/cluster`,
      MILLRACE_CACHE: join(folder, "cache"),
      AWS_ENDPOINT_URL_S3: minio.endpoint,
      AWS_ACCESS_KEY_ID: minio.accessKeyId,
      AWS_SECRET_ACCESS_KEY: minio.secretAccessKey,
      // What this machine's user has elsewhere must not help.
      AWS_SHARED_CREDENTIALS_FILE: join(folder, "none"),
      AWS_CONFIG_FILE: join(folder, "none"),
      AWS_EC2_METADATA_DISABLED: "true",
    };
    store = openStore(env.MILLRACE_STORE!, { s3: { ...minio } }, realPorts());
  });

  after(async () => {
    for (const socket of sockets) socket.destroy();
    for (const server of listening) server.close();
    await store.close();
    await Promise.all([nats.stop(), locked.stop(), minio.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  const submitArgs = (): string[] => ["submit", LENGTHS, "-p", `input=${folder}/in/*.txt`, "-p", "output=out"];

  /** The most talkative log must not show a secret either. */
  async function refusedBy(args: readonly string[], change: Env): Promise<Refused> {
    const refusal = await refused(["--log-level", "debug", ...args], { env: { ...env, ...change } });
    for (const secret of [PASSWORD, WRONG, minio.secretAccessKey]) {
      assert.ok(!`${refusal.stdout}${refusal.stderr}`.includes(secret), `a secret is shown: ${refusal.stderr}`);
    }
    return refusal;
  }

  const cases: readonly {
    readonly what: string;
    readonly code: ErrorCode;
    readonly change: () => Env;
    readonly says: (change: Env) => readonly (RegExp | string)[];
  }[] = [
    {
      what: "a NATS that is not there",
      code: "MILL_BUS_UNREACHABLE",
      change: () => ({ MILLRACE_NATS: `nats://mill:${WRONG}@${NOBODY}` }),
      says: ({ MILLRACE_NATS }) => [
        `no NATS server answers at ${MILLRACE_NATS!.replace(/\/\/.*@/, "//")} (connection refused).`,
        /Start one \(.*nats-server -js.*\), or correct the address/,
      ],
    },
    {
      what: "a NATS that refuses the password",
      code: "MILL_BUS_REFUSED",
      change: () => ({
        MILLRACE_NATS: locked.url,
        MILLRACE_NATS_USER: "mill",
        MILLRACE_NATS_PASSWORD: WRONG,
      }),
      says: () => [
        `NATS at ${locked.url} refused the credentials`,
        /Set MILLRACE_NATS_USER and MILLRACE_NATS_PASSWORD/,
      ],
    },
    {
      what: "a NATS that wants credentials where none are given",
      code: "MILL_BUS_REFUSED",
      change: () => ({ MILLRACE_NATS: locked.url }),
      says: () => [`NATS at ${locked.url} wants credentials and got none`, /Set MILLRACE_NATS_USER/],
    },
    {
      what: "an S3 that is not there",
      code: "MILL_STORE_UNREACHABLE",
      change: () => ({ AWS_ENDPOINT_URL_S3: `http://${NOBODY}` }),
      says: ({ AWS_ENDPOINT_URL_S3 }) => [
        `${env.MILLRACE_STORE} at ${AWS_ENDPOINT_URL_S3} cannot be reached (ECONNREFUSED, tried 5 times).`,
        /Start it .*, or set AWS_ENDPOINT_URL_S3/,
      ],
    },
    {
      what: "an S3 that refuses the secret key",
      code: "MILL_STORE_REFUSED",
      change: () => ({ AWS_SECRET_ACCESS_KEY: WRONG }),
      says: () => [
        `${env.MILLRACE_STORE} at ${minio.endpoint}: these credentials are refused (SignatureDoesNotMatch).`,
        /Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/,
      ],
    },
    {
      what: "an S3 where no credentials are given",
      code: "MILL_STORE_REFUSED",
      change: () => ({ AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" }),
      says: () => [minio.endpoint, /no credentials were given\. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/],
    },
    {
      what: "a bucket that does not exist",
      code: "MILL_STORE_REFUSED",
      change: () => ({ MILLRACE_STORE: "s3://no-such-bucket/cluster" }),
      says: () => [minio.endpoint, /there is no bucket no-such-bucket\. Create it, or name another one/],
    },
  ];

  for (const { what, code, change, says } of cases) {
    it(`refuses ${what} with ${code}, exit status 3: coordinator, worker and submit`, async () => {
      const changed = change();
      const commands = [["coordinator"], ["worker"], submitArgs()];
      for (const refusal of await Promise.all(commands.map((args) => refusedBy(args, changed)))) {
        assertRefused(refusal, 3, code);
        for (const part of says(changed)) {
          if (typeof part === "string") assert.ok(refusal.message.includes(part), refusal.message);
          else assert.match(refusal.message, part);
        }
      }
    });
  }

  it("ends when what answers at the NATS address says nothing", async () => {
    const address = await listen(createServer());
    const refusal = await refusedBy(["worker"], { MILLRACE_NATS: `nats://${address}` });
    assertRefused(refusal, 3, "MILL_BUS_UNREACHABLE", /no NATS server answers at nats:\S+ \(timeout\)/);
  });

  it("does not talk in the clear to a NATS that was named tls://", async () => {
    const change = { MILLRACE_NATS: locked.url.replace("nats:", "tls:"), MILLRACE_NATS_TOKEN: WRONG };
    const refusal = await refusedBy(["worker"], change);
    assertRefused(refusal, 3, "MILL_BUS_REFUSED", /NATS at tls:\/\/\S+ speaks no TLS\. Set it up on the server/);
  });

  it("refuses an address of another protocol with MILL_CONFIG, exit status 2", async () => {
    const refusal = await refusedBy(["worker"], { MILLRACE_NATS: `http://mill:${WRONG}@127.0.0.1:4222` });
    assertRefused(refusal, 2, "MILL_CONFIG", /"http:\/\/" does not begin a NATS address\. Write "nats:\/\/host:port"/);
  });

  it("refuses a password in an address that cannot be decoded with MILL_CONFIG, exit status 2", async () => {
    const refusal = await refusedBy(["worker"], { MILLRACE_NATS: `nats://mill:${WRONG}%@127.0.0.1:4222` });
    assertRefused(refusal, 2, "MILL_CONFIG", /Write %25 for %, or set MILLRACE_NATS_USER and MILLRACE_NATS_PASSWORD/);
  });

  for (const status of [200, 404]) {
    it(`knows a web server that answers ${status} to everything for no S3`, async () => {
      const web = createWebServer((request, response) => {
        request.resume();
        response.writeHead(status).end("<html>hello</html>");
      });
      const refusal = await refusedBy(["coordinator"], { AWS_ENDPOINT_URL_S3: `http://${await listen(web)}` });
      assertRefused(refusal, 3, "MILL_STORE_REFUSED", /what answers there is no S3 server\. Set AWS_ENDPOINT_URL_S3/);
    });
  }

  it("names operator and place where a job would write to an S3 that refuses it, before the job", async () => {
    const url = `s3://${minio.bucket}/results`;
    const args = ["run", LENGTHS, "-p", `input=${folder}/in/*.txt`, "-p", `output=${url}`];
    const refusal = await refusedBy(args, { AWS_SECRET_ACCESS_KEY: WRONG });
    assertRefused(refusal, 3, "MILL_STORE_REFUSED", /operator "lengths"/, /credentials are refused/);
    assert.ok(refusal.message.includes(url), refusal.message);
  });

  it("says that no coordinator answers, and how to start one: MILL_BUS_NO_RESPONDER, exit status 3", async () => {
    const refusal = await refusedBy([...submitArgs(), "--namespace", "nobody"], {});
    assertRefused(
      refusal,
      3,
      "MILL_BUS_NO_RESPONDER",
      /no coordinator answers in namespace nobody on nats:/,
      /Start one with `millrace coordinator`, or check --namespace/,
    );
  });

  describe("a cluster that works", () => {
    const cluster: MillraceProcess[] = [];
    const submit = (topology: string, ...params: readonly string[]): string[] => [
      "submit",
      topology,
      ...params.flatMap((param) => ["-p", param]),
    ];

    before(async () => {
      for (const command of ["coordinator", "worker"]) {
        const one = new MillraceProcess([command], { env });
        cluster.push(one);
        await one.says("is up");
      }
    });
    after(() => Promise.all(cluster.map((one) => one.stop())));

    it("reads the good pages, sets the bad ones aside, and says where: in the store", async () => {
      await pagesWith(join(folder, "scans"), await badPages());
      const params = [`input=${folder}/scans/*`, "output=ocr", "detectors=1", "recognisers=1"];
      const ended = await millrace(submit("examples/document-ocr/topology.ts", ...params), { env });
      assert.equal(ended.status, 0, ended.stderr);
      const rows = async (prefix: string) => {
        const found: Record<string, string>[] = [];
        for await (const { key } of store.list(prefix)) {
          const text = Buffer.from(await store.get(key)).toString("utf8");
          for (const line of text.split("\n")) if (line !== "") found.push(JSON.parse(line) as Record<string, string>);
        }
        return found;
      };
      assert.deepEqual((await rows("ocr/jsonl/")).map((row) => row.name).sort(), [...GOOD_PAGES]);
      const letters = await rows("ocr/dead-letters/");
      assert.deepEqual(
        letters
          .map(({ operator, code, record }) => [operator, code, (JSON.parse(record!) as { name: string }).name])
          .sort(),
        [
          ["decode", "MILL_IMAGE_INVALID", "cut-off.jpg"],
          ["decode", "MILL_IMAGE_INVALID", "empty.jpg"],
          ["decode", "MILL_IMAGE_INVALID", "notes.jpg"],
          ["decode", "MILL_IMAGE_TOO_LARGE", "gigapixel.png"],
        ],
      );
      const where = `  4 bad records, each with its reason: ${env.MILLRACE_STORE}/ocr/dead-letters\n`;
      assert.ok(ended.stdout.endsWith(where), ended.stdout);
    });

    it("refuses an output that is there already with MILL_SINK_EXISTS, exit status 2", async () => {
      await store.put("taken/lengths/lengths-0-1.jsonl", Buffer.from("{}\n"));
      const refusal = await refusedBy(submit(LENGTHS, `input=${folder}/in/*.txt`, "output=taken"), {});
      assertRefused(refusal, 2, "MILL_SINK_EXISTS", /taken\/lengths already holds 1 file/, /--overwrite/);
      assert.equal(Buffer.from(await store.get("taken/lengths/lengths-0-1.jsonl")).toString(), "{}\n");
    });

    it("refuses a pattern that matches nothing with MILL_SOURCE_EMPTY, exit status 2", async () => {
      const refusal = await refusedBy(submit(LENGTHS, `input=${folder}/none/*.txt`, "output=none"), {});
      assertRefused(refusal, 2, "MILL_SOURCE_EMPTY", /no file matches \S+\/none\/\*\.txt\. Check the path/);
    });

    it("refuses a corrupt model, which its worker finds, with MILL_MODEL_CORRUPT, exit status 2", async () => {
      await copyFile("package.json", join(folder, "model.onnx"));
      const params = [`input=${folder}/in/*.txt`, "output=model", `model=${folder}/model.onnx`];
      const refusal = await refusedBy(submit("test/fixtures/one-model.ts", ...params), {});
      assertRefused(refusal, 2, "MILL_MODEL_CORRUPT", /service "model"/, /model\.onnx .*cannot be loaded/);
    });
  });
});
