/** How long what keeps failing is left alone before it is tried again: regions, hosts, instances. */
import { limits } from "../base/limits.js";

/** None before the second attempt: most failures are of one process. After that what failed may need time. */
export function pauseMs(failuresInARow: number): number {
  if (failuresInARow <= 1) return 0;
  return Math.min(limits.regionBackoffMs * 2 ** (failuresInARow - 2), limits.regionBackoffMsMax);
}
