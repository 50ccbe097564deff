import assert from "node:assert/strict";
import { totalmem } from "node:os";
import { machineUsed, processUsage } from "../../../src/cli/process-usage.js";

describe("cli/process-usage: what /proc says", () => {
  it("of this process: its memory, and processor time that grows with work", () => {
    const before = processUsage(process.pid)!;
    const own = process.memoryUsage.rss();
    assert.ok(before.rssBytes > own / 2 && before.rssBytes < own * 2, `${before.rssBytes} of ${own}`);
    const { user, system } = process.cpuUsage();
    const told = (user + system) / 1_000;
    assert.ok(Math.abs(before.cpuMs - told) < 100 + told / 10, `${before.cpuMs} of ${told} ms`);
  });

  it("of one that there is none of: nothing", () => {
    assert.equal(processUsage(2 ** 30), undefined);
  });

  it("of this machine: memory in use, and processor time that does not go back", () => {
    const [before, after] = [machineUsed()!, machineUsed()!];
    assert.ok(before.memoryBytes > 0 && before.memoryBytes < totalmem());
    assert.ok(after.cpuMs >= before.cpuMs && before.cpuMs > 0);
    assert.ok(before.rssBytes > 0);
  });
});
