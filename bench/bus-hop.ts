/**
 * What one hop over NATS costs: a second process takes 64 KB frames, works on each, and publishes the result back.
 *
 *   ours  our bus; decode the `data` frame and its Arrow batch, read one column, encode batch and frame, publish
 *   raw   `@nats-io/transport-node` alone; publish the bytes that came
 *
 * Both have the same server, the same two processes, the same bytes and the same window of frames on the way, so that
 * neither side gains by an unbounded buffer. The source publishes frames made beforehand; the sink counts them.
 * MB/s count a frame once, though it crosses the server twice. Not measured: latency, several subjects, split frames,
 * building new columns.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { connect } from "@nats-io/transport-node";
import { realPorts } from "../src/base/real/ports.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { startNats } from "../test/servers/index.js";
import { hopSubjects, sampleFrames } from "./bus-hop-frames.js";

const FRAMES = 4_000;
const WARM_UP_FRAMES = 1_000;
const WINDOW_FRAMES = 64;

interface Side {
  publish(frame: Uint8Array): unknown;
  /** Calls `onFrame` for each frame that came back. */
  onReturn(onFrame: (bytes: number) => void): void;
  close(): Promise<void>;
}

export async function run(options: { runs: number; log: (line: string) => void }): Promise<Record<string, unknown>> {
  const server = await startNats({ jetstream: false });
  const worker = fork(new URL("./bus-hop-worker.js", import.meta.url), [server.url]);
  try {
    await once(worker, "message");
    const sides = { ours: await oursSide(server.url), raw: await rawSide(server.url) };
    for (const side of Object.values(sides)) await measure(side, WARM_UP_FRAMES);
    const runs: { ours_mb_per_s: number; raw_mb_per_s: number }[] = [];
    for (let i = 0; i < options.runs; i++) {
      const ours = await measure(sides.ours, FRAMES);
      const raw = await measure(sides.raw, FRAMES);
      runs.push({ ours_mb_per_s: Math.round(ours), raw_mb_per_s: Math.round(raw) });
      options.log(`bus-hop run ${i + 1}: ours ${ours.toFixed(0)} MB/s, raw ${raw.toFixed(0)} MB/s`);
    }
    await Promise.all([sides.ours.close(), sides.raw.close()]);
    const ours = median(runs.map((each) => each.ours_mb_per_s));
    const raw = median(runs.map((each) => each.raw_mb_per_s));
    return { name: "bus-hop", ours_mb_per_s: ours, raw_mb_per_s: raw, ratio: Number((ours / raw).toFixed(3)), runs };
  } finally {
    worker.kill();
    await server.stop();
  }
}

async function oursSide(url: string): Promise<Side> {
  const bus = await connectNats({ servers: url, name: "bus-hop" }, realPorts());
  let listener = (_: number) => {};
  await bus.subscribe(hopSubjects.oursOut, ({ payload }) => listener(payload.byteLength));
  return {
    publish: (frame) => bus.publish(hopSubjects.oursIn, frame),
    onReturn: (onFrame) => {
      listener = onFrame;
    },
    close: () => bus.close(),
  };
}

async function rawSide(url: string): Promise<Side> {
  const connection = await connect({ servers: url, name: "bus-hop" });
  let listener = (_: number) => {};
  connection.subscribe(hopSubjects.rawOut, { callback: (_, message) => listener(message.data.byteLength) });
  await connection.flush();
  return {
    publish: (frame) => connection.publish(hopSubjects.rawIn, frame),
    onReturn: (onFrame) => {
      listener = onFrame;
    },
    close: () => connection.close(),
  };
}

/** Sends `count` frames with at most `WINDOW_FRAMES` of them on the way. @returns MB/s */
function measure(side: Side, count: number): Promise<number> {
  const frames = sampleFrames(count);
  const from = performance.now();
  return new Promise((resolve) => {
    let [sent, returned, bytes] = [0, 0, 0];
    const fill = () => {
      for (; sent < count && sent - returned < WINDOW_FRAMES; sent++) side.publish(frames(sent));
    };
    side.onReturn((size) => {
      returned += 1;
      bytes += size;
      if (returned === count) resolve(bytes / 1e6 / ((performance.now() - from) / 1000));
      else fill();
    });
    fill();
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
