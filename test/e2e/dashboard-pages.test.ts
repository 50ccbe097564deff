/** The pages of the dashboard in a real Chromium, over an API that is made up: each state, each width, by keyboard, and fast. */
import assert from "node:assert/strict";
import type { Browser, CDPSession, Page } from "playwright-core";
import { startChromium } from "../servers/chromium.js";
import { JOBS, MadeUp, type Stub, serveMadeUp } from "./dashboard-stub.js";

const TABS = ["graph", "operators", "services", "checkpoints", "actors", "dead-letters", "events"];
const PLACES = ["jobs", "workers", "events", ...JOBS.map(({ name }) => `jobs/${name}`)];
const REFRESHES = Number(process.env.MILLRACE_REFRESHES ?? 20);
/** 50 ms is what is aimed at, on a machine that does nothing else: here others have a share of the caches, and of every core. */
const REFRESH_MS_MAX = 150;
const HEAP_GROWTH_BYTES_MAX = 4_000_000;

describe("e2e: pages of the dashboard", function () {
  this.timeout(120_000);
  let browser: Browser | undefined;
  let stub: Stub | undefined;
  let page: Page;
  let complaints: string[];
  /** What the browser says of each request that a test lets fail; once more while the page is closed. */
  let expected: string;

  before(async function () {
    browser = await startChromium(this);
    stub = await serveMadeUp(new MadeUp());
  });
  after(async () => {
    await browser?.close();
    await stub?.close();
  });
  beforeEach(async () => {
    complaints = [];
    expected = "";
    page = await opened({ viewport: { width: 1360, height: 900 } });
  });
  afterEach(async () => {
    await page.close();
    assert.deepEqual(
      complaints.filter((one) => expected === "" || !one.includes(expected)),
      [],
    );
  });

  async function opened(options: Parameters<Browser["newPage"]>[0]): Promise<Page> {
    const one = await browser!.newPage(options);
    one.setDefaultTimeout(30_000);
    one.on("pageerror", (error) => complaints.push(String(error)));
    one.on("console", (message) => {
      if (message.type() === "error") complaints.push(`${message.text()} ${message.location().url}`);
    });
    return one;
  }

  const go = async (place: string) => {
    await page.goto("about:blank"); // else what is waited for could be the page before
    await page.goto(`${stub!.url}/#/${place}`);
    await page.locator("main .card, main .empty, main .trouble").first().waitFor();
    await page.getByText("Loading…").waitFor({ state: "detached" });
  };

  for (const colorScheme of ["light", "dark"] as const) {
    it(`a narrow window never scrolls sideways, whatever is shown (400 px, ${colorScheme})`, async () => {
      await page.setViewportSize({ width: 400, height: 800 });
      await page.emulateMedia({ colorScheme });
      const tabs = colorScheme === "light" ? TABS.map((tab) => `jobs/${JOBS[2]!.name}/${tab}`) : [];
      for (const place of [...PLACES, ...tabs]) {
        await go(place);
        const over: number = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
        assert.ok(over <= 0, `${place} is ${over} px wider than the window`);
      }
    });
  }

  it("says what is missing where there is nothing to show", async () => {
    await go("jobs/new/services");
    await page.getByText("The job calls no services.").waitFor();
    await go("jobs/new/checkpoints");
    await page.getByText("There is none yet; one is taken every 10 s.").waitFor();
    await go("nowhere");
    await page.getByText("There is nothing here.").waitFor();
  });

  it("a job that has ended shows how it ended, and nothing that could be done to it", async () => {
    await go("jobs/failed");
    await page.getByText("MILL_SERVICE_UNAVAILABLE").first().waitFor();
    assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0);
    await page.locator("dt", { hasText: "Mean" }).waitFor();
  });

  it("charts say their newest values, and those of the time that is pointed at", async () => {
    await go("jobs/captions");
    const chart = page.getByRole("figure", { name: /^Rows a second: read \d+\/s, written \d+\/s$/ });
    const values = chart.locator(".values");
    await values.filter({ hasText: /read \d+\/s.*written \d+\/s/ }).waitFor();
    const newest = await values.textContent();
    await chart.locator(".u-over").hover({ position: { x: 60, y: 40 } });
    await chart.locator(".at").filter({ hasText: /\d/ }).waitFor();
    assert.notEqual(await values.textContent(), newest);
    await page.getByRole("heading", { level: 1 }).hover();
    await chart.locator(".at").filter({ hasNotText: /\d/ }).waitFor({ state: "attached" });
    assert.equal(await values.textContent(), newest);
  });

  it("every button, link and field has a name that can be spoken", async () => {
    for (const place of ["jobs", "workers", ...TABS.map((tab) => `jobs/captions/${tab}`)]) {
      await go(place);
      const told = await page.locator("body").ariaSnapshot();
      const nameless = told
        .split("\n")
        .filter((line) => /^\s*- (button|link|textbox|checkbox|img|table|region|figure)(:|\s*$| \[)/.test(line));
      assert.deepEqual(nameless, [], `${place}\n${told}`);
    }
  });

  it("all that can be done is reached by keyboard, with a focus that can be seen", async () => {
    await go("jobs/captions");
    await page.getByRole("button", { name: /^operator-1, infer/ }).focus();
    assert.match(String(await page.evaluate("document.activeElement.getAttribute('aria-label')")), /^operator-1/);
    await go("jobs/captions/services");
    const reached = new Set<string>();
    for (let presses = 0; presses < 60; presses++) {
      await page.keyboard.press("Tab");
      const [name, outline] = (await page.evaluate(`(() => {
        const one = document.activeElement;
        const style = getComputedStyle(one);
        const visible = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
        return [one.getAttribute("aria-label") ?? one.textContent.trim(), visible];
      })()`)) as [string, boolean];
      if (name.length < 60) reached.add(name);
      if (name.length < 60) assert.ok(outline, `"${name}" shows that it has the focus`);
    }
    for (const name of ["To the content", "Jobs", "Workers", "Events", "API", "Pause", "Savepoint", "Stop", "Cancel"])
      assert.ok(reached.has(name), `${name} among ${[...reached].join(", ")}`);
    for (const name of [...["Graph", "Actors", "One less", "One more", "Quarantine", "Drain"]])
      assert.ok(reached.has(name), `${name} among ${[...reached].join(", ")}`);
  });

  it("operators of the graph are chosen by keyboard, and a question is left with Escape", async () => {
    await go("jobs/captions");
    await page.getByRole("button", { name: /^operator-1, infer/ }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("table", { name: "Operators" }).waitFor();
    await page.getByRole("button", { name: "Cancel" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: "Cancel captions?" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    assert.equal(await page.evaluate("document.activeElement.textContent"), "Cancel");
  });

  it("asks for an access token where one is needed, says when it is not known, and forgets it", async () => {
    expected = "401";
    const closed = await serveMadeUp(new MadeUp(JOBS, "mrt_right"));
    try {
      await page.goto(closed.url);
      await page.getByLabel("Access token").fill("mrt_wrong");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByText("This token is not known").waitFor();
      await page.getByLabel("Access token").fill("mrt_right");
      await page.keyboard.press("Enter");
      await page.getByRole("link", { name: "captions", exact: true }).waitFor();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByLabel("Access token").waitFor();
    } finally {
      await page.goto("about:blank"); // it goes on asking
      await closed.close();
    }
  });

  it("keeps what it has where the coordinator does not answer, says so once, and goes on by itself", async () => {
    expected = "net::ERR_FAILED";
    await go("jobs/captions");
    await page.route("**/v1/**", (route) => route.abort());
    await page.getByText("The coordinator does not answer; jobs go on.").waitFor();
    assert.equal(await page.getByRole("alert").count(), 1);
    await page.getByRole("heading", { level: 1, name: "captions" }).waitFor();
    await page.unroute("**/v1/**");
    await page.getByText("The coordinator does not answer").waitFor({ state: "detached" });
  });

  describe("a job of 1,000 actors, 300 regions, 50 operators and 200 instances", () => {
    for (const tab of ["graph", "operators", "services", "checkpoints", "actors"]) {
      it(`a refresh takes little time, and keeps no memory (${tab})`, async () => {
        await page.clock.install();
        await go(`jobs/large/${tab}`);
        const session = await page.context().newCDPSession(page);
        // Of the page's own thread: what others take of the machine does not count.
        await session.send("Performance.enable", { timeDomain: "threadTicks" });
        const times: number[] = [];
        await refresh(5); // what is compiled, and asked for once
        const heap = await heapOf(session);
        for (let i = 0; i < REFRESHES; i++) {
          const before = await metric(session, "TaskDuration");
          await refresh(1);
          times.push(((await metric(session, "TaskDuration")) - before) * 1_000);
        }
        const grown = (await heapOf(session)) - heap;
        times.sort((a, b) => a - b);
        const p95 = times[Math.floor(times.length * 0.95)]!;
        if (process.env.MILLRACE_REFRESHES !== undefined)
          console.log(
            JSON.stringify({
              tab,
              refreshes: REFRESHES,
              p50_ms: times[REFRESHES >> 1],
              p95_ms: p95,
              grown_bytes: grown,
            }),
          );
        assert.ok(p95 <= REFRESH_MS_MAX, `p95 of ${REFRESHES} refreshes: ${p95.toFixed(0)} ms`);
        assert.ok(grown <= HEAP_GROWTH_BYTES_MAX, `the heap has grown by ${grown} bytes over ${REFRESHES} refreshes`);
      });
    }

    async function refresh(times: number): Promise<void> {
      for (let i = 0; i < times; i++) {
        const answered = page.waitForResponse((response) => response.url().includes("/v1/jobs/large?"));
        await page.clock.runFor(1_000);
        await (await answered).finished();
        await page.evaluate("document.body.offsetHeight"); // laid out, and so rendered
      }
    }
  });
});

async function metric(session: CDPSession, wanted: string): Promise<number> {
  const { metrics } = await session.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === wanted)!.value;
}

async function heapOf(session: CDPSession): Promise<number> {
  await session.send("HeapProfiler.collectGarbage");
  return metric(session, "JSHeapUsedSize");
}
