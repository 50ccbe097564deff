/**
 * What something costs that a running job can do without: windows of one job, in which it is on or off, in blocks of four (on, off, off, on, or
 * the other way round). Two processes, and two jobs in one process, differ by a tenth throughout; neighbouring windows do because of collections of
 * garbage and of whoever shares the machine. What changes slowly does so for both sides of a block.
 */

/** Of the process that holds the actors. */
export interface Measured {
  readonly rows: number;
  readonly ms: number;
  readonly cpuMicros: number;
}

/** Both have the same number of windows. */
export interface Block {
  readonly on: Measured;
  readonly off: Measured;
}

/** Of all blocks, at each end. */
const TRIMMED = 0.1;

/** Rows that the topology `numbers` has read in this process: of all its windows. */
let rows = 0;

/** Before the topology is loaded. */
export function countRowsRead(): void {
  Object.assign(globalThis, {
    [Symbol.for("millrace.bench.onRead")]: (read: number) => {
      rows += read;
    },
  });
}

/** What this process does until `over`. */
export async function measured(over: Promise<unknown>): Promise<Measured> {
  const [before, fromMs, cpu] = [rows, performance.now(), process.cpuUsage()];
  await over;
  const { user, system } = process.cpuUsage(cpu);
  return { rows: rows - before, ms: performance.now() - fromMs, cpuMicros: user + system };
}

/** @param number of the block: they begin with on and off in turn */
export async function block(number: number, window: (isOn: boolean) => Promise<Measured>): Promise<Block> {
  const first = number % 2 === 0;
  const windows: Measured[] = [];
  for (const isOn of [first, !first, !first, first]) windows.push(await window(isOn));
  const [outer, inner] = [sum(windows[0]!, windows[3]!), sum(windows[1]!, windows[2]!)];
  return first ? { on: outer, off: inner } : { on: inner, off: outer };
}

/** Rows per second with it, over those without. */
export const throughput = ({ on, off }: Block): number => rate(on) / rate(off);
/** Processor time of a row without it, over that with it. */
export const processor = ({ on, off }: Block): number => off.cpuMicros / off.rows / (on.cpuMicros / on.rows);
/** Rows per second. */
export const rate = ({ rows, ms }: Measured): number => (1_000 * rows) / ms;

/** All of them as one. */
export function totalOf(blocks: readonly Block[]): Block {
  return { on: sum(...blocks.map(({ on }) => on)), off: sum(...blocks.map(({ off }) => off)) };
}

function sum(...all: readonly Measured[]): Measured {
  return all.reduce((a, b) => ({ rows: a.rows + b.rows, ms: a.ms + b.ms, cpuMicros: a.cpuMicros + b.cpuMicros }));
}

/** Geometric, without the outermost fifth; the error is that of a trimmed mean (Yuen 1974). */
export function meanOf(ratios: readonly number[]): { readonly ratio: number; readonly error: number } {
  const logs = ratios.map(Math.log).sort((a, b) => a - b);
  const cut = Math.floor(TRIMMED * logs.length);
  const kept = logs.slice(cut, logs.length - cut);
  const mean = kept.reduce((total, one) => total + one, 0) / kept.length;
  const bounded = logs.map((one) => Math.min(Math.max(one, kept[0]!), kept.at(-1)!));
  const middle = bounded.reduce((total, one) => total + one, 0) / logs.length;
  const variance = bounded.reduce((total, one) => total + (one - middle) ** 2, 0) / (logs.length - 1);
  const error = Math.sqrt(variance / logs.length) / (1 - 2 * TRIMMED);
  return { ratio: Math.exp(mean), error };
}
