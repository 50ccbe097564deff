/** What processes and this machine use, as Linux says in /proc. Elsewhere nothing is known. */
import { readFileSync } from "node:fs";
import { freemem, totalmem } from "node:os";
import type { ChildUsage, Used } from "../worker/worker.js";

/** Of the kernel's clock as programs see it: 100 a second on every Linux. */
const TICK_MS = 10;

export function processUsage(pid: number): ChildUsage | undefined {
  const [status, stat] = [read(`/proc/${pid}/status`), read(`/proc/${pid}/stat`)];
  const rss = status?.match(/^VmRSS:\s+(\d+) kB$/m);
  // The name of the program is in brackets and may hold anything; user and system time are the 14th and 15th field.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (!rss || fields === undefined) return undefined; // it has ended
  return { rssBytes: Number(rss[1]) * 1024, cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS };
}

export function machineUsed(): Used | undefined {
  const all = read("/proc/stat")?.match(/^cpu +(\d+) (\d+) (\d+) \d+ \d+ (\d+) (\d+)/);
  if (!all) return undefined;
  const ticks = all.slice(1).reduce((sum, text) => sum + Number(text), 0);
  return { memoryBytes: totalmem() - freemem(), cpuMs: ticks * TICK_MS, rssBytes: process.memoryUsage.rss() };
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return undefined;
  }
}
