import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import type { TruthPage } from "../../../examples/document-ocr/accuracy.js";
import type { PageResult } from "../../../examples/document-ocr/page-result.js";
import { writeReport } from "../../../examples/document-ocr/report.js";

const page = (uri: string, ...texts: string[]): PageResult => ({
  uri,
  width: 200,
  height: 100,
  lines: texts.map((text, at) => ({ text, confidence: 0.8 + at / 10, quad: [10, at, 90, at, 90, at + 9, 10, at + 9] })),
  text: texts.join("\n"),
});

const picture = () =>
  sharp({ create: { width: 200, height: 100, channels: 3, background: "#fff" } })
    .png()
    .toBuffer();

describe("document-ocr/report: one HTML file", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-report-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const write = async (pages: readonly PageResult[], truth?: TruthPage[]): Promise<string> => {
    const summary = { seconds: 2, outputs: ["out/pages.jsonl"], failed: [{ uri: "in/bad.jpg", reason: "cut <off>" }] };
    return readFile(
      await writeReport(join(folder, "new"), pages, truth ? { ...summary, truth } : summary, picture),
      "utf8",
    );
  };

  it("has an outline and a line of text with the same number for each line", async () => {
    const html = await write([page("in/a.png", "first", "second")]);
    for (const at of [0, 1]) {
      assert.match(html, new RegExp(`<polygon data-line="${at}"`));
      assert.match(html, new RegExp(`<li data-line="${at}"`));
    }
    assert.match(html, /viewBox="0 0 200 100"/);
  });

  it("shows what a page says and never runs it", async () => {
    const html = await write([page("in/a.png", '<script>alert("x")</script> & more')]);
    assert.ok(html.includes("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; more"));
    assert.ok(!html.includes("<script>alert"));
    assert.ok(html.includes("cut &lt;off&gt;"));
  });

  it("needs nothing from outside", async () => {
    const html = await write([page("in/a.png", "first")]);
    assert.doesNotMatch(html, /(?:src|href)="(?!data:)/);
    assert.doesNotMatch(html, /url\(|@import|https?:/);
    assert.match(html, /default-src 'none'/);
  });

  it("gives rates and differing lines where the truth is known, and none where it is not", async () => {
    const truth: TruthPage[] = [{ file: "a.png", kind: "letter", condition: "noisy", lines: ["first", "second"] }];
    const html = await write([page("in/a.png", "first", "sacond"), page("in/b.png", "free")], truth);
    assert.match(html, /data-condition="noisy" data-wrong/);
    assert.match(html, /8\.33 % errors <small>1 of 12/);
    assert.match(html, /true: s<ins>e<\/ins>cond/);
    assert.equal(html.match(/true: /g)!.length, 1);
    assert.match(html, /data-condition=""/);
  });

  it("finds files by file address too", async () => {
    assert.match(await write([page("file:///in/a%20b.png", "first")]), /a b\.png/);
  });

  it("can be written for no pages at all", async () => {
    assert.match(await write([]), /<dt>pages<\/dt><dd>0/);
  });
});
