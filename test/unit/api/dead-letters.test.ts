import assert from "node:assert/strict";
import type { JobOutputs } from "../../../src/api/job-outputs.js";
import { MillraceError } from "../../../src/base/errors.js";
import type { JobId } from "../../../src/base/ids.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import { encodeRow } from "../../../src/wire/arrow-row.js";
import { job } from "../coordinator/coordinator-cluster.js";
import { ApiCluster } from "./api-cluster.js";

const PNG = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 1, 2, 3);
const columns = { name: t.utf8, page: t.image, note: t.binary };
const row = { name: "a", page: inline(PNG, "image/png"), note: Buffer.from("<script>") };
const whole = Buffer.from(encodeRow(batchFromRows(columns, [row as never]) as never)).toString("base64");
const ref = (uri: string, mediaType = "image/png") => ({ uri, offset: "0", sizeBytes: "3", sha256: "", mediaType });
const url = `/v1/jobs/${job}/dead-letters`;

describe("api/dead-letters: records that operators refused", () => {
  let api: ApiCluster;
  let published: MemoryStore;
  let asked: string[];

  const outputs: JobOutputs = {
    at: (place) => (place === "dead-letters" ? published : undefined),
    async *read({ uri }) {
      asked.push(uri);
      if (uri.startsWith("http")) throw new MillraceError("MILL_REQUEST_FORBIDDEN", "not from the web");
      yield PNG;
    },
  };
  const publish = (...letters: object[]) =>
    published.put(
      "dead-letters-read-0-1.jsonl",
      Buffer.from(letters.map((letter) => `${JSON.stringify({ ...base, ...letter })}\n`).join("")),
    );
  const base = { operator: "parse", code: "MILL_RECORD_INVALID", message: "too dark", record: "{}", atMs: 5, row: "" };
  const first = async (): Promise<string> => (await api.get(url)).json().items[0].id;

  beforeEach(async () => {
    asked = [];
    published = new MemoryStore({ nowMs: () => 1 });
    api = await ApiCluster.running({ outputs });
  });
  afterEach(() => api.close());

  it("are listed newest first, by operator, code and what was decided", async () => {
    await publish({ message: "one" }, { operator: "read", code: "MILL_OTHER", message: "two" });
    const messages = async (query = "") =>
      (await api.get(`${url}${query}`)).json().items.map(({ message }: { message: string }) => message);
    assert.deepEqual(await messages(), ["two", "one"]);
    assert.deepEqual(await messages("?operator=parse"), ["one"]);
    assert.deepEqual(await messages("?code=MILL_OTHER"), ["two"]);
    assert.deepEqual(await messages("?state=discarded"), []);
    const page = (await api.get(`${url}?limit=1`)).json();
    assert.deepEqual(await messages(`?limit=1&after=${page.next}`), ["one"]);
    assert.equal((await api.get(`${url}?after=x`)).json().code, "MILL_REQUEST_INVALID");
    assert.equal((await api.get("/v1/jobs/none/dead-letters")).json().code, "MILL_JOB_UNKNOWN");
  });

  it("one is shown with its record and the content that it names", async () => {
    await publish({
      record: JSON.stringify({ name: "a", page: ref("s3://b/a.png"), pages: [ref("s3://b/b.png", "")] }),
    });
    const shown = (await api.get(`${url}/${await first()}`)).json();
    assert.equal(shown.record.name, "a");
    assert.deepEqual(shown.contents, [
      { path: "page", uri: "s3://b/a.png", mediaType: "image/png", sizeBytes: 3 },
      { path: "pages.0", uri: "s3://b/b.png", mediaType: "", sizeBytes: 3 },
    ]);
    assert.deepEqual([shown.replayable, shown.state], [false, "open"]);
    assert.match(shown.hindrance, /operator|whole record/);
  });

  it("content comes as what a browser shows and runs nothing of", async () => {
    await publish({ record: JSON.stringify({ page: ref("s3://b/a", ""), drawing: ref("s3://b/a", "image/svg+xml") }) });
    const at = `${url}/${await first()}/content`;
    const picture = await api.get(`${at}/page`);
    assert.deepEqual([picture.statusCode, picture.headers["content-type"]], [200, "image/png"]);
    assert.deepEqual(new Uint8Array(picture.rawPayload), PNG);
    assert.equal(picture.headers["x-content-type-options"], "nosniff");
    assert.match(String(picture.headers["content-security-policy"]), /sandbox/);
    assert.equal(picture.headers["content-disposition"], "inline");
    const drawing = await api.get(`${at}/drawing`);
    assert.equal(drawing.headers["content-type"], "application/octet-stream");
    assert.equal(drawing.headers["content-disposition"], "attachment");
  });

  it("content that the record does not name is not read, nor is that of the web", async () => {
    await publish({ record: JSON.stringify({ page: ref("https://elsewhere/a.png") }) });
    const at = `${url}/${await first()}/content`;
    for (const path of ["other", "page.uri", "..%2Fpage", "constructor"])
      assert.equal((await api.get(`${at}/${path}`)).json().code, "MILL_REQUEST_NOT_FOUND", path);
    assert.deepEqual(asked, []);
    assert.equal((await api.get(`${at}/page`)).json().code, "MILL_REQUEST_FORBIDDEN");
  });

  it("bytes in the record itself are read from the whole row; text is text and no page", async () => {
    const record = { name: "a", page: { ...ref("", "image/png"), bytes: "7 bytes" }, note: "PHNjcmlwdD4=" };
    await publish({ record: JSON.stringify(record), row: whole });
    const at = `${url}/${await first()}`;
    const { contents } = (await api.get(at)).json();
    assert.deepEqual(
      contents.map(({ path, sizeBytes }: { path: string; sizeBytes: number }) => [path, sizeBytes]),
      [
        ["page", 7],
        ["note", 8],
      ],
    );
    assert.deepEqual(new Uint8Array((await api.get(`${at}/content/page`)).rawPayload), PNG);
    assert.equal((await api.get(`${at}/content/note`)).headers["content-type"], "text/plain; charset=utf-8");
    assert.deepEqual(asked, []);
  });

  it("a discarded one is hidden, and who did it is known; discarding it again changes nothing", async () => {
    await publish({ message: "one" }, { message: "two" });
    const id = await first();
    assert.equal((await api.post(`${url}/${id}/discard`)).json().state, "discarded");
    assert.equal((await api.post(`${url}/${id}/discard`)).statusCode, 200);
    assert.equal((await api.get(url)).json().items.length, 1);
    const [hidden] = (await api.get(`${url}?state=discarded`)).json().items;
    assert.deepEqual([hidden.id, hidden.by], [id, "anonymous"]);
    assert.equal((await api.post(`${url}/${id}/replay`)).json().code, "MILL_REQUEST_CONFLICT");
  });

  it("all that fit a filter are discarded at once", async () => {
    await publish({}, { operator: "read" }, {});
    const answer = await api.post(`${url}/discard`, { filter: { operator: "parse" } });
    assert.deepEqual(answer.json(), { discarded: 2, more: false });
    assert.equal((await api.get(url)).json().items.length, 1);
    assert.equal((await api.post(`${url}/discard`, { filter: { wrong: 1 } })).json().code, "MILL_REQUEST_INVALID");
  });

  it("one that cannot be replayed is refused with the reason; of many, it is counted", async () => {
    await publish({ operator: "gone" });
    assert.equal((await api.post(`${url}/${await first()}/replay`)).json().code, "MILL_REPLAY_IMPOSSIBLE");
    const many = await api.post(`${url}/replay`, {});
    assert.deepEqual([many.statusCode, many.json()], [202, { replays: [], left: 1, more: false }]);
  });

  it("where they cannot be read from here, that is said", async () => {
    const other = await api.follower();
    const answer = await other.app.inject({ method: "GET", url });
    assert.equal(answer.json().code, "MILL_REQUEST_CONFLICT");
    assert.equal((await api.cluster.store.head(jobKeys(job as JobId).spec)) === undefined, false);
  });
});
