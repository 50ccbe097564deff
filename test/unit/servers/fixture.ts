/** Not a test of Millrace: `reporter.test.ts` runs this file in a mocha of its own and looks at the outcome. */
import assert from "node:assert/strict";
import { type NatsServer, skipBecause, startNats } from "../../servers/index.js";

const wanted = (process.env.FIXTURE ?? "").split(" ");

if (wanted.includes("server")) {
  describe("needs a server", () => {
    let nats: NatsServer;
    before(async () => {
      nats = await startNats();
    });
    after(async () => {
      await nats.stop();
    });
    it("one", () => assert.ok(nats.port > 0));
    describe("further in", () => {
      it("two", () => assert.ok(nats.port > 0));
    });
  });
  it("starts one itself", async () => {
    await (await startNats()).stop();
  });
}

if (wanted.includes("passes")) it("passes", () => {});
if (wanted.includes("fails")) it("fails", () => assert.fail("as it should"));
if (wanted.includes("after-fails")) {
  describe("its after fails", () => {
    after(() => assert.fail("in after"));
    it("passes inside", () => {});
  });
}
if (wanted.includes("hangs")) {
  it("leaves a timer behind", () => {
    setInterval(() => {}, 1_000);
  });
}
if (wanted.includes("marked")) it.skip("marked", () => {});
if (wanted.includes("because")) {
  it("lacks something", function () {
    skipBecause(this, "no such interpreter; install it");
  });
}
