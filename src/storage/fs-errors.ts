/** What a failed call to the file system means for the caller of the store. */
import { MillraceError } from "../base/errors.js";
import { invalidKey } from "./object-calls.js";

const FULL = new Set(["ENOSPC", "EDQUOT"]);

/** What is wrong with a path, and what to do about it, by the system's code. */
const REFUSALS: Readonly<Record<string, (path: string) => string>> = {
  EACCES: mayNot,
  EPERM: mayNot,
  EROFS: (path) => `${path} is on a read-only file system (EROFS). Mount it writable.`,
  ENOTDIR: noFolder,
  EEXIST: noFolder,
  EISDIR: (path) => `${path} is a folder where a file should be (EISDIR). Move it away.`,
  ELOOP: (path) => `the links at ${path} lead in a circle (ELOOP). Correct them.`,
  ENOTSUP: noLinks,
  EOPNOTSUPP: noLinks,
  // Of a folder only: a file that is not there is no refusal.
  ENOENT: (path) => `no folder can be made at ${path} (ENOENT): the file system there takes none.`,
};

function mayNot(path: string): string {
  return `this user may not read or write ${path}. Change its owner or mode, or run as a user who may.`;
}

function noFolder(path: string): string {
  return `${path} is no folder, so nothing can lie below it. Move it away.`;
}

function noLinks(path: string): string {
  return `the file system of ${path} has no hard links, by which a file is made at once. Use another one.`;
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** To a reader, a folder and what would be below a file are no objects. */
export function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "EISDIR"].includes(codeOf(error) ?? "");
}

export function noFile(url: string, key: string, path: string, cause?: unknown): MillraceError {
  // A store that is the whole file system serves what users call files.
  const what = url === "file:///" ? path : `${key} in ${url}`;
  return new MillraceError(
    "MILL_STORE_NOT_FOUND",
    `there is no file ${what}. Check the name, and that it was not removed.`,
    { url, key },
    { cause },
  );
}

export function explainRead(url: string, key: string, path: string, cause: unknown): unknown {
  return isMissing(cause) ? noFile(url, key, path, cause) : explain(url, key, path, cause);
}

export function explain(url: string, key: string, path: string, cause: unknown): unknown {
  const code = codeOf(cause);
  if (MillraceError.is(cause) || code === undefined) return cause;
  // A rename or link that fails names the staged file as its path; what is in the way is its `dest`.
  const { path: from, dest, syscall } = cause as NodeJS.ErrnoException & { readonly dest?: string };
  const where = dest ?? from ?? path;
  if (code === "ENOENT" && syscall !== "mkdir") return noFile(url, key, path, cause);
  if (code === "ENAMETOOLONG") return invalidKey(key, cause);
  if (FULL.has(code)) {
    return new MillraceError(
      "MILL_STORE_FULL",
      `there is no room left to write ${where} (${code}). Free some and run again; nothing half-written was published.`,
      { url, key, path: where },
      { cause },
    );
  }
  const refusal = REFUSALS[code]?.(where);
  if (refusal !== undefined) {
    return new MillraceError("MILL_STORE_REFUSED", refusal, { url, key, path: where, errno: code }, { cause });
  }
  return new MillraceError(
    "MILL_STORE_FAILED",
    `${where} failed: ${(cause as Error).message}. Look at the disk, then run again.`,
    { url, key, path: where },
    { cause },
  );
}
