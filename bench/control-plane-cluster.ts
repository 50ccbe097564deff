/** A process of its own that plays all workers of the bench `control-plane`; what it is told comes as messages of its parent. */
import { EventEmitter, once } from "node:events";
import { id, type Namespace, type WorkerId } from "../src/base/ids.js";
import { realPorts } from "../src/base/real/ports.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { type Child, type Exit, Worker } from "../src/worker/worker.js";
import { type Played, PlayedHost, PlayedInstance } from "./control-plane-host.js";

export interface Triggers {
  /** Hosts that were told to begin a checkpoint, one after the other, and that were told of its commit. */
  readonly count: number;
  readonly completed: number;
  /** When the newest of the first came, by the clock on the wall. */
  readonly lastMs: number;
}

const [servers = "", namespace = "", count = ""] = process.argv.slice(2);
const ports = realPorts();
const bus = await connectNats({ servers, name: "bench" }, ports);
const triggers = { count: 0, completed: 0, lastMs: 0 };
const pieces: (() => void)[] = [];

function work(): void {
  pieces[0]!();
  pieces.shift();
  if (pieces.length > 0) setImmediate(work);
}

const played: Played = {
  bus,
  ports,
  namespace: namespace as Namespace,
  triggered() {
    triggers.count += 1;
    triggers.lastMs = Date.now();
  },
  completed() {
    triggers.completed += 1;
  },
  later(piece) {
    if (pieces.push(piece) === 1) setImmediate(work);
  },
};

/** One that ends when it is told to. */
function childOf(close: () => void): Child {
  const ended = new EventEmitter();
  const exited = once(ended, "exit").then((): Exit => ({ code: "", message: "" }));
  const stop = () => {
    close();
    ended.emit("exit");
  };
  return { exited, stop, usage: () => ({ rssBytes: 100_000_000, cpuMs: 1_000 }) };
}

for (let i = 0; i < Number(count); i++) {
  const worker = new Worker({
    bus,
    ports,
    namespace: namespace as Namespace,
    worker: id<WorkerId>("worker", `worker-${i}`),
    cpus: 64,
    memoryBytes: 2 ** 38,
    used: () => ({ memoryBytes: 2 ** 36, cpuMs: performance.now(), rssBytes: 2 ** 26 }),
    launcher: {
      async startHost(job, name) {
        const host = new PlayedHost(played, job, name);
        await host.open();
        return childOf(() => host.close());
      },
      async startInstance(job, service, name) {
        const instance = new PlayedInstance(played, job, service, name);
        instance.open();
        return childOf(() => instance.close());
      },
    },
  });
  await worker.open();
}
process.on("message", () => process.send?.(triggers satisfies Triggers));
process.once("disconnect", () => process.exit());
process.send?.("up");
