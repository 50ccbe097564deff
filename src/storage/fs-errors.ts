/** What a failed call to the file system means for the caller of the store. */
import { MillraceError } from "../base/errors.js";
import { invalidKey, notFound } from "./object-calls.js";

const FULL = new Set(["ENOSPC", "EDQUOT"]);
const REFUSED = new Set(
  ["EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "EEXIST", "ELOOP", "ENOTSUP", "EOPNOTSUPP"], // the last two: no hard links
);

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** To a reader, a folder and what would be below a file are no objects. */
export function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "EISDIR"].includes(codeOf(error) ?? "");
}

export function explainRead(url: string, key: string, path: string, cause: unknown): unknown {
  return isMissing(cause) ? notFound(url, key, cause) : explain(url, key, path, cause);
}

export function explain(url: string, key: string, path: string, cause: unknown): unknown {
  const code = codeOf(cause);
  if (MillraceError.is(cause) || code === undefined) return cause;
  const where = (cause as NodeJS.ErrnoException).path ?? path;
  if (code === "ENOENT") return notFound(url, key, cause);
  if (code === "ENAMETOOLONG") return invalidKey(key, cause);
  if (FULL.has(code)) {
    return new MillraceError(
      "MILL_STORE_FULL",
      `there is no room left to write ${where} (${code}). Free some and run again; nothing half-written was published.`,
      { url, key, path: where },
      { cause },
    );
  }
  if (REFUSED.has(code)) {
    return new MillraceError(
      "MILL_STORE_REFUSED",
      `${where} cannot be used (${code}) for ${key === "" ? url : key}. Check that the folders above it are folders, that it is none itself, and that this user may write there.`,
      { url, key, path: where },
      { cause },
    );
  }
  return new MillraceError(
    "MILL_STORE_FAILED",
    `${where} failed: ${(cause as Error).message}. Look at the disk, then run again.`,
    { url, key, path: where },
    { cause },
  );
}
