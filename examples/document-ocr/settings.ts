/**
 * Every number of the example in one place: the topology and the bare loop both read it, so that a benchmark of one
 * against the other compares the same work.
 */
import { textSettings } from "millrace/functions";

export const settings = {
  /** Longest side of a decoded page; larger scans are reduced. Crops are cut from this image. */
  pageSideMax: 2_000,
  /** Pixels of a file's image before it is refused. */
  pagePixelsMax: 64_000_000,

  ...textSettings,
} as const;
