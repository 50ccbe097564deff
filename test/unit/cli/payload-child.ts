/**
 * Reads 100 payloads, four at a time, from the port that it is told, and says how often all of its memory was looked at meanwhile.
 */
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { constants, type NodeGCPerformanceDetail, PerformanceObserver } from "node:perf_hooks";

let collections = 0;
const observer = new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    const { kind } = (entry as unknown as { readonly detail: NodeGCPerformanceDetail }).detail;
    if (kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections += 1;
  }
});
/** As much as a host holds of its own. */
const own = Array.from({ length: 50_000 }, (_, i) => ({ name: `object ${i}`, at: [i] }));
const [port] = (await once(process, "message")) as [number];
observer.observe({ entryTypes: ["gc"] });
let left = 100;
await Promise.all(
  Array.from({ length: 4 }, async () => {
    while (left-- > 0) await payload();
  }),
);
process.send!(own.length > 0 ? collections : Number.NaN);
process.disconnect();

async function payload(): Promise<Uint8Array> {
  const [answer] = (await once(get({ host: "127.0.0.1", port }), "response")) as [IncomingMessage];
  const bytes = Buffer.allocUnsafeSlow(Number(answer.headers["content-length"]));
  let at = 0;
  for await (const piece of answer) at += (piece as Buffer).copy(bytes, at);
  return bytes;
}
