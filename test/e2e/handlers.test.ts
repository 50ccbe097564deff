/** Handlers in whole jobs: a chat endpoint that misbehaves, and a program in Python on a cluster. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realPorts } from "../../src/base/real/ports.js";
import { openStore } from "../../src/storage/open-store.js";
import { type MinioServer, type NatsServer, startMinio, startNats } from "../servers/index.js";
import { PYTHON_INSTALL_MS_MAX, pythonFor } from "../servers/python.js";
import { BadServer, events, json } from "../unit/services/handlers/bad-server.js";
import { type Ended, MillraceProcess, millrace } from "./millrace-process.js";

const REQUIREMENTS = "examples/python-handler/requirements.txt";
const KEY = "sk-e2e-0123456789";

function ok(ended: Ended): Ended {
  assert.equal(ended.status, 0, `exit status ${ended.status}\n${ended.stdout}\n${ended.stderr}`);
  return ended;
}

const linesOf = (text: string) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function rowsIn(folder: string): Promise<Record<string, unknown>[]> {
  const names = await readdir(folder);
  return (await Promise.all(names.map(async (name) => linesOf(await readFile(join(folder, name), "utf8"))))).flat();
}

describe("e2e: openai, with an endpoint that misbehaves", function () {
  this.timeout(60_000);
  let server: BadServer;
  let folder: string;

  before(async () => {
    server = await BadServer.start();
    folder = await mkdtemp(join(tmpdir(), "millrace-chat-"));
  });
  after(async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it("obeys Retry-After, tries again what broke off, refuses one row alone, and tells nobody the key", async () => {
    const prompts = ["busy", "broken", "half", "too long", "fine-1", "fine-2"];
    await writeFile(join(folder, "prompts.txt"), prompts.join("\n"));
    const tries = new Map<string, number>();
    server.answer = (seen) => {
      const prompt = (seen.json() as { messages: { content: string }[] }).messages[0]!.content;
      const nth = (tries.get(prompt) ?? 0) + 1;
      tries.set(prompt, nth);
      const token = (content: string, finish_reason: string | null) => ({
        choices: [{ delta: { content }, finish_reason }],
      });
      if (prompt === "too long")
        return json({ error: { message: `context length exceeded; ${KEY}` } }, { status: 400 });
      if (nth === 1 && prompt === "busy") return { status: 429, headers: { "retry-after": "1" } };
      if (nth === 1 && prompt === "broken") return { status: 500, body: `we have ${KEY}` };
      if (nth === 1 && prompt === "half")
        return events([token("ha", null)], { done: false, after: "close the connection" });
      return events([token(`to ${prompt}`, "stop")]);
    };
    const output = join(folder, "out");
    const params = [`url=${server.url}/v1`, `input=${folder}/*.txt`, `output=${output}`].flatMap((one) => ["-p", one]);
    const env = { CHAT_KEY: KEY, MILLRACE_CACHE: join(folder, "cache") };
    const ended = ok(await millrace(["run", "test/fixtures/chat.ts", ...params], { env }));

    const answered = (await rowsIn(output)).map(({ prompt, text }) => `${prompt}: ${text}`).sort();
    const expected = prompts.filter((prompt) => prompt !== "too long").map((prompt) => `${prompt}: to ${prompt}`);
    assert.deepEqual(answered, expected.sort());
    const dead = await rowsIn(`${output}-dead`);
    assert.equal(dead.length, 1);
    assert.equal(dead[0]?.code, "MILL_ENDPOINT_REFUSED");
    assert.match(String(dead[0]?.message), /answered 400: context length exceeded/);
    assert.deepEqual(Object.fromEntries(tries), {
      busy: 2,
      broken: 2,
      half: 2,
      "too long": 1,
      "fine-1": 1,
      "fine-2": 1,
    });

    const ids = new Map<string, Set<string>>();
    for (const seen of server.seen) {
      const { content } = (seen.json() as { messages: { content: string }[] }).messages[0]!;
      ids.set(content, (ids.get(content) ?? new Set()).add(String(seen.headers["idempotency-key"])));
      assert.equal(seen.headers.authorization, `Bearer ${KEY}`);
    }
    assert.equal(
      new Set([...ids.values()].flatMap((own) => [...own])).size,
      prompts.length,
      "one key a row, the same each time",
    );
    assert.ok(!`${ended.stdout}${ended.stderr}${JSON.stringify(dead)}`.includes(KEY), "the key was told");
  });
});

const COUNTS = ["mill.txt 12 turns", "once.txt 7 accident"];

/** Stops the whole process, the first of all that come here: its heartbeats end, its process does not. */
const hangOnce = (marker: string) => `
def hang_once():
    try:
        mark = os.open("${marker}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    os.write(mark, str(os.getpid()).encode())
    os.kill(os.getpid(), signal.SIGSTOP)


`;

describe("e2e: examples/python-handler on a cluster", function () {
  this.timeout(PYTHON_INSTALL_MS_MAX);
  let nats: NatsServer | undefined;
  let minio: MinioServer | undefined;
  let folder = "";
  let python = "";
  let env: Record<string, string> = {};
  const cluster: MillraceProcess[] = [];

  before(async function () {
    [nats, minio] = await Promise.all([startNats(), startMinio()]);
    python = await pythonFor(this, REQUIREMENTS);
    folder = await mkdtemp(join(tmpdir(), "millrace-python-"));
    env = {
      MILLRACE_NATS: nats.url,
      MILLRACE_STORE: `s3://${minio.bucket}/python`,
      AWS_ENDPOINT_URL_S3: minio.endpoint,
      AWS_ACCESS_KEY_ID: minio.accessKeyId,
      AWS_SECRET_ACCESS_KEY: minio.secretAccessKey,
      MILLRACE_CACHE: join(folder, "cache"),
    };
    for (const args of [["coordinator"], ["worker", "--name", "w1"]]) {
      const process = new MillraceProcess(args, { env });
      cluster.push(process);
      await process.says("is up");
    }
  });
  after(async () => {
    await Promise.all(cluster.map((process) => process.stop()));
    await Promise.all([nats?.stop(), minio?.stop()]);
    if (folder !== "") await rm(folder, { recursive: true, force: true });
  });

  it("gives the rows that the program made", async () => {
    const args = ["submit", "examples/python-handler/topology.ts", "-p", `python=${python}`, "-p", "output=counts"];
    ok(await millrace(args, { env }));
    assert.deepEqual(await counts("counts"), COUNTS);
  });

  it("one that hangs with rows on board, while its process lives, is given up, and another serves them", async () => {
    const example = join(folder, "hangs");
    const marker = join(folder, "hung");
    await cp("examples/python-handler", example, { recursive: true });
    const source = await readFile(join(example, "handler.py"), "utf8");
    const work = "        words = row";
    const hangs = source
      .replace(work, `        hang_once()\n${work}`)
      .replace("class WordCount", `${hangOnce(marker)}class WordCount`);
    assert.ok(hangs.includes("hang_once()\n        words"), "the example has changed");
    await writeFile(join(example, "handler.py"), hangs);
    const params = [`python=${python}`, "output=hung", "input=examples/python-handler/texts/*.txt"];
    const args = ["submit", join(example, "topology.ts"), ...params.flatMap((one) => ["-p", one])];
    try {
      const { stdout } = ok(await millrace(args, { env }));
      assert.deepEqual(await counts("hung"), COUNTS);
      assert.match(stdout, /duplicate_calls [12]/, "what was on board ran again");
    } finally {
      // Its worker would, later than a test has to wait.
      const hung = await readFile(marker, "utf8").catch(() => "");
      if (hung !== "") process.kill(Number(hung), "SIGKILL");
    }
  });

  async function counts(output: string): Promise<string[]> {
    const store = openStore(env.MILLRACE_STORE!, { s3: { ...minio! } }, realPorts());
    try {
      const rows: Record<string, unknown>[] = [];
      for await (const { key } of store.list(`${output}/`)) {
        rows.push(...linesOf(Buffer.from(await store.get(key)).toString("utf8")));
      }
      return rows.map(({ name, words, longest }) => `${name} ${words} ${longest}`).sort();
    } finally {
      await store.close();
    }
  }
});
