/** A child program for `child-main.test.ts`: says when it has started, and stops as it was told to, or never. */
import { spawn } from "node:child_process";
import { writeSync } from "node:fs";
import { runChild } from "../../../src/cli/child-main.js";

export interface OrphanConfig {
  readonly stops: boolean;
  /** What it starts, if anything. */
  readonly command?: readonly [string, ...string[]];
}

runChild<OrphanConfig>(async ({ stops, command }) => {
  if (command !== undefined) spawn(command[0], command.slice(1), { stdio: "ignore" });
  const alive = setInterval(() => {}, 1_000);
  writeSync(1, "started\n");
  return () => {
    writeSync(1, "stopping\n");
    if (!stops) return new Promise(() => {});
    clearInterval(alive);
    return Promise.resolve();
  };
}, 100);
