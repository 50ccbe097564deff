/** Dead letters in the dashboard, in a real Chromium: what was refused is seen and heard, replayed and discarded. */
import assert from "node:assert/strict";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { MendedJob } from "../integration/mended-job.js";
import { startChromium } from "../servers/chromium.js";

/** A tenth of a second of silence. */
function wav(): Buffer {
  const samples = 800;
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + samples, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(8_000, 24);
  head.writeUInt32LE(8_000, 28);
  head.writeUInt16LE(1, 32);
  head.writeUInt16LE(8, 34);
  head.write("data", 36);
  head.writeUInt32LE(samples, 40);
  return Buffer.concat([head, Buffer.alloc(samples, 128)]);
}

describe("e2e: dead letters in the dashboard", function () {
  this.timeout(180_000);
  let browser: Browser | undefined;
  let job: MendedJob | undefined;
  let page: Page;
  const complaints: string[] = [];

  before(async function () {
    browser = await startChromium(this);
    const picture = await sharp({ create: { width: 40, height: 30, channels: 3, background: "teal" } })
      .png()
      .toBuffer();
    job = await MendedJob.ended({ "bad-picture.png": picture, "bad-sound.wav": wav(), "bad-text.txt": "some words" });
    page = await browser.newPage();
    page.setDefaultTimeout(60_000);
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" || message.text().includes("Content Security Policy"))
        complaints.push(message.text());
    });
    await page.goto(`${job.url}/#/jobs/${job.job}/dead-letters`);
  });
  after(async () => {
    await browser?.close();
    await job?.close();
  });
  afterEach("nothing fails in the page, and its policy forbids nothing that it does", () => {
    assert.deepEqual(complaints, []);
  });

  const rowOf = (name: string) => page.getByRole("row", { name: new RegExp(name) });
  const open = (name: string) => rowOf(name).getByRole("button", { name: /^Open/ }).click();
  const card = () => page.getByRole("region", { name: "Refused by judge" });
  const answer = (name: string) => page.getByRole("dialog").getByRole("button", { name, exact: true }).click();

  it("a picture is seen, a sound can be played, a text be read", async () => {
    await open("bad-picture");
    const picture = card().getByRole("img");
    await picture.waitFor();
    const width = () => picture.evaluate((image) => (image as unknown as { naturalWidth: number }).naturalWidth);
    await page.waitForFunction(() => {
      const { document } = globalThis as unknown as { document: { querySelector(of: string): { complete: boolean } } };
      return document.querySelector(".letters img").complete;
    });
    assert.equal(await width(), 40);
    await open("bad-sound");
    await card().locator("audio").waitFor();
    await open("bad-text");
    await card().getByRole("textbox").waitFor();
    assert.equal(await card().getByRole("textbox").inputValue(), "some words");
  });

  it("one is discarded when it was asked, and found among those", async () => {
    await open("bad-sound");
    await card().getByRole("button", { name: "Discard", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Leave it" }).click();
    assert.equal((await job!.letters()).length, 3, "nothing is done that was not confirmed");
    await card().getByRole("button", { name: "Discard", exact: true }).click();
    await answer("Discard");
    await rowOf("bad-sound").waitFor({ state: "detached" });
    await page.getByLabel("State").selectOption("discarded");
    await rowOf("bad-sound").waitFor();
    await page.getByLabel("State").selectOption("open");
    await rowOf("bad-text").waitFor();
  });

  it("one that is mended is replayed, and the page leads to its job", async () => {
    await job!.mend();
    await open("bad-text");
    await card().getByRole("button", { name: "Replay", exact: true }).click();
    await answer("Replay");
    await rowOf("bad-text").waitFor({ state: "detached" });
    await page.getByLabel("State").selectOption("replayed");
    const replay = await rowOf("bad-text").getByRole("link").textContent();
    assert.equal(await job!.endOf(replay!), "FINISHED");
    assert.deepEqual(await job!.written(), ["bad-text.txt"]);
  });

  it("by operator and code, those that fit are shown and acted on", async () => {
    await page.getByLabel("State").selectOption("open");
    await page.getByLabel("Operator").fill("nobody");
    await page.getByRole("button", { name: "Filter" }).click();
    await page.getByText("There is none.").waitFor();
    await page.getByLabel("Operator").fill("judge");
    await page.getByRole("button", { name: "Filter" }).click();
    await rowOf("bad-picture").waitFor();
    await page.getByRole("button", { name: "Discard all" }).click();
    await answer("Discard");
    await page.getByText("There is none.").waitFor();
    assert.deepEqual(await job!.letters(), []);
  });
});
