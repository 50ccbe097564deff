/**
 * The dashboard in a real Chromium, over a real cluster: what somebody sees and does who looks after a job.
 *
 * With `MILLRACE_SCREENSHOTS=write` the pictures of the documentation (docs/images) are made anew on the way.
 */
import assert from "node:assert/strict";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { packageRoot } from "../../src/cli/packages.js";
import { startChromium } from "../servers/chromium.js";
import { Cluster, until } from "./cluster.js";

const AT = /HTTP API and dashboard at (\S+)/;
/** Of a browser and a cluster that share two cores with all others. */
const SEEN_MS = 90_000;
/** More than are read while the test looks. */
const FILES = 60;
const WORDS = 1_000;

describe("e2e: the dashboard in a browser", function () {
  this.timeout(240_000);
  let cluster: Cluster | undefined;
  let browser: Browser | undefined;
  let page: Page;
  let marks: string;
  let job: string;
  let url: string;
  const complaints: string[] = [];

  before(async function () {
    browser = await startChromium(this);
    cluster = await Cluster.start("w1", "w2");
    await putWords(cluster);
    marks = join(cluster.folder, "marks");
    await mkdir(marks);
    [, url = ""] = AT.exec(cluster.processes[0]!.said) ?? [];
    page = await browser.newPage({ viewport: { width: 1360, height: 900 }, colorScheme: "light" });
    page.setDefaultTimeout(SEEN_MS);
    await page.addInitScript(`{
      globalThis.said = new Set();
      const look = () => said.add(document.querySelector("[role=status]")?.textContent);
      new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
    }`);
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" || message.text().includes("Content Security Policy"))
        complaints.push(message.text());
    });
  });
  after(async () => {
    await browser?.close();
    await cluster?.stop();
  });
  afterEach("nothing fails in the page, and its policy forbids nothing that it does", async function () {
    if (this.currentTest?.state === "failed") console.error(await page.locator("body").innerText());
    assert.deepEqual(complaints, []);
  });

  const go = (...place: string[]) => page.goto(`${url}/#/${place.join("/")}`);
  const seen = (text: string | RegExp) => page.getByText(text).first().waitFor();
  const press = (name: string) => page.getByRole("button", { name, exact: true }).first().click();
  /** It is shown for seconds, and may be gone before somebody looks. */
  const said = (words: string) =>
    page.waitForFunction((wanted) => (globalThis as unknown as { said: Set<string> }).said.has(wanted), words);
  const tab = (name: string) =>
    page
      .getByRole("navigation", { name: `Job ${job}` })
      .getByRole("link", { name })
      .click();
  const state = (of: string) => page.locator("header.job .state", { hasText: of }).waitFor();
  const card = (title: string) => page.getByRole("region", { name: title, exact: true });
  const written = () => page.locator("dl.figures div", { hasText: "Written" }).locator("dd").textContent();

  /** Until `look` says so. */
  const becomes = (what: string, look: () => Promise<boolean>) =>
    until(what, async () => ((await look()) ? true : undefined), { withinMs: SEEN_MS });

  async function picture(name: string): Promise<void> {
    if (process.env.MILLRACE_SCREENSHOTS !== "write") return;
    const png = await page.screenshot({ animations: "disabled" });
    // In 256 colours, which is all that it has: a third of the bytes.
    await sharp(png)
      .png({ palette: true })
      .toFile(join(packageRoot, "docs", "images", `dashboard-${name}.png`));
  }

  it("submits a topology, lists its job, and leads to it", async () => {
    await go("jobs");
    await seen("No job runs.");
    await press("Submit a topology");
    const form = page.getByRole("dialog", { name: "Submit a topology" });
    await form.getByLabel("File").setInputFiles(join(packageRoot, "test", "fixtures", "captions.ts"));
    const input = `${cluster!.env.MILLRACE_STORE}/words/*.txt`;
    await form.getByLabel("Parameters").fill(`input=${input}\noutput=captions\nmarks=${marks}`);
    await form.getByRole("button", { name: "Submit" }).click();
    await page.getByRole("heading", { level: 1, name: /^captions-/ }).waitFor();
    await go("jobs");
    const link = page.getByRole("table", { name: "Jobs" }).getByRole("link", { name: /^captions-/ });
    await link.waitFor();
    job = (await link.textContent())!;
    await link.click();
    await page.getByRole("heading", { level: 1, name: job }).waitFor();
    await state("running");
  });

  it("draws its topology, with numbers that move", async () => {
    await page.getByRole("button", { name: /^key, mapRows, 2 parallel, / }).waitFor();
    await page.getByRole("button", { name: /^service embedder, 2 of 2 instances ready/ }).waitFor();
    const first = await written();
    await becomes(`more rows than ${first} are written`, async () => (await written()) !== first);
    await page.getByRole("figure", { name: /^Rows a second: read \d/ }).waitFor();
    await becomes("a rate is shown that is not 0", async () => {
      const name = await page.getByRole("button", { name: /^captions, sink/ }).getAttribute("aria-label");
      return !/in 0\/s/.test(name ?? "in 0/s");
    });
  });

  it("scales a service up and down, and shows its instances come and go", async () => {
    await tab("Services");
    const rows = card("captioner")
      .getByRole("table", { name: "Instances of captioner", exact: true })
      .locator("tbody tr");
    const ready = () => rows.filter({ hasText: "ready" }).count();
    await becomes("two instances are ready", async () => (await ready()) === 2);
    await card("captioner").getByRole("button", { name: "One more" }).click();
    await said("captioner is to have 3 instances.");
    await becomes("a third instance is ready", async () => (await ready()) === 3);
    await picture("services");
    await card("captioner").getByRole("button", { name: "One less" }).click();
    await card("captioner").getByText("2 wanted").waitFor();
    await becomes("the third has ended", async () => (await rows.count()) === 2);
    await card("captioner").getByText("1 ended").waitFor();
  });

  it("shows checkpoints, and takes a savepoint", async () => {
    await tab("Checkpoints");
    await page.getByRole("img", { name: /^Checkpoints of \d+ regions? from/ }).waitFor();
    await page.getByRole("table", { name: "Newest checkpoints" }).getByText("committed").first().waitFor();
    await press("Savepoint");
    await said("A savepoint is being taken.");
    await page.getByRole("table", { name: "Savepoints" }).getByText(`${job}/`).waitFor();
    await picture("checkpoints");
  });

  it("tells of a killed host, and of its recovery", async () => {
    await tab("Events");
    const [mark = ""] = await readdir(marks);
    process.kill(Number(mark.split(".")[1]), "SIGKILL");
    await page.getByRole("table", { name: "Events" }).getByText("region.restarted").first().waitFor();
    await tab("Graph");
    await becomes("all regions run again", async () => {
      const words = await page.locator(".graph .region text").allTextContents();
      return (
        words.length > 0 && words.some((one) => /restarts?/.test(one)) && words.every((one) => !/[a-z]ing\b/.test(one))
      );
    });
    const first = await written();
    await becomes(`more rows than ${first} are written`, async () => (await written()) !== first);
    await page.getByRole("link", { name: "Dead letters 1" }).waitFor();
    await page.getByRole("figure", { name: /^Rows a second: / }).waitFor();
    await picture("graph");
    await page.emulateMedia({ colorScheme: "dark" });
    await picture("dark");
    await page.emulateMedia({ colorScheme: "light" });
  });

  it("pauses the job, and lets it go on", async () => {
    await press("Pause");
    await said("The job pauses behind its next checkpoints.");
    await state("paused");
    await press("Resume");
    await said("The job goes on.");
    await state("running");
  });

  it("drains a worker after a question, which can be answered with no", async () => {
    await go("workers");
    await card("w2").getByRole("button", { name: "Drain" }).click();
    const dialog = page.getByRole("dialog", { name: "Drain w2?" });
    await dialog.getByRole("button", { name: "Leave it" }).click();
    await dialog.waitFor({ state: "hidden" });
    const drain = card("w2").getByRole("button", { name: "Drain" });
    await drain.press("Enter");
    await dialog.waitFor();
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    await drain.press("Enter");
    await dialog.waitFor();
    // Pressed again as soon as it is closed: before the browser says so.
    await page.evaluate(`{
      const drain = [...document.querySelectorAll("button")].findLast(({ textContent }) => textContent === "Drain");
      const again = new MutationObserver(() => {
        again.disconnect();
        drain.click();
      });
      again.observe(document.querySelector("dialog"), { attributeFilter: ["open"] });
    }`);
    await dialog.getByRole("button", { name: "Leave it" }).press("Enter");
    await dialog.getByRole("button", { name: "Drain it" }).press("Enter");
    await said("w2 drains.");
    await card("w2").getByRole("button", { name: "Drains" }).waitFor();
  });

  it("stops the job, and its output holds no word twice", async () => {
    await go("jobs", job);
    await press("Stop");
    await page.getByRole("dialog").getByRole("button", { name: /^Stop/ }).click();
    await state("cancelled");
    const words = await cluster!.words("captions");
    assert.ok(words.length > 0);
    assert.equal(new Set(words).size, words.length);
  });
});

/** Where a submitted topology can read them: in the store. */
async function putWords({ store }: Cluster): Promise<void> {
  const put = (name: string, words: readonly string[]) => store.put(`words/${name}.txt`, Buffer.from(words.join("\n")));
  await put("0-bad", ["good", "bad-1", "better"]);
  for (let file = 0; file < FILES; file++) {
    const letter = "abcdefghij"[file % 10]!;
    await put(
      `${file}`,
      Array.from({ length: WORDS }, (_, i) => `${letter}${file}-${i}`),
    );
  }
}
