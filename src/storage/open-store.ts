/** The one place that turns an address into a store. */
import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import { MillraceError } from "../base/errors.js";
import type { Ports } from "../base/ports.js";
import { FsStore } from "./fs-store.js";
import { MemoryStore } from "./memory-store.js";
import { checkKey } from "./object-calls.js";
import type { ObjectStore } from "./object-store.js";
import { type S3Options, S3Store } from "./s3-store.js";

export interface StoreConfig {
  readonly s3: S3Options;
}

/** @param url `memory:`, `file:///folder`, an absolute path, or `s3://bucket/prefix` @throws `MILL_CONFIG` */
export function openStore(url: string, config: StoreConfig, ports: Ports): ObjectStore {
  if (url === "memory:") return new MemoryStore();
  if (url.startsWith("file://")) return new FsStore(folderOf(url));
  if (isAbsolute(url)) return new FsStore(url);
  // Names of today's buckets, and those that old ones may have.
  const s3 = /^s3:\/\/([a-zA-Z0-9][\w.-]{2,254})(?:\/(.*))?$/s.exec(url);
  if (s3 === null) throw noStore(url);
  const prefix = (s3[2] ?? "").replace(/\/$/, "");
  try {
    if (prefix !== "") checkKey(prefix);
  } catch (error) {
    throw noStore(url, error);
  }
  return new S3Store(s3[1]!, prefix, config.s3, ports);
}

function folderOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw noStore(url, error);
  }
}

function noStore(given: string, cause?: unknown): MillraceError {
  const url = given.replace(/\/\/[^/]*@/, "//"); // nobody should write a password there
  const why = /^s3:\/\/[^/]{1,2}(\/|$)/.test(url) ? ": a bucket's name has at least 3 characters" : "";
  return new MillraceError(
    "MILL_CONFIG",
    `"${url}" is no object store${why}. Use s3://bucket/prefix, file:///folder or an absolute path.`,
    { url },
    { cause },
  );
}
