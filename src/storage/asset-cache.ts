/**
 * Files of known content on this machine's disk: models and other assets, downloaded once.
 *
 * Several processes may share the folder: a file is checked before it gets its name, and gets it by one rename. It is
 * checked again whenever it is asked for, and brought anew when it is not what it was.
 */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { MillraceError } from "../base/errors.js";

export class AssetCache {
  #running = new Map<string, Promise<string>>();

  constructor(private readonly folder: string) {}

  /**
   * Local path of the content with this SHA-256; `fetch` brings it when it is not there yet.
   * @throws {MillraceError} `MILL_STORE_CORRUPT`: what was fetched is something else; nothing was kept
   */
  async file(sha256: string, fetch: () => AsyncIterable<Uint8Array>): Promise<string> {
    let running = this.#running.get(sha256);
    if (running === undefined) {
      running = this.#find(sha256, fetch).finally(() => this.#running.delete(sha256));
      this.#running.set(sha256, running);
    }
    return running;
  }

  async #find(sha256: string, fetch: () => AsyncIterable<Uint8Array>): Promise<string> {
    const path = join(this.folder, sha256);
    if (await holds(path, sha256)) return path;
    await mkdir(this.folder, { recursive: true });
    const staged = `${path}.${randomUUID()}`;
    const hash = createHash("sha256");
    try {
      await pipeline(
        fetch(),
        async function* (pieces: AsyncIterable<Uint8Array>) {
          for await (const piece of pieces) {
            hash.update(piece);
            yield piece;
          }
        },
        createWriteStream(staged, { flags: "wx" }),
      );
      const found = hash.digest("hex");
      if (found !== sha256) {
        throw new MillraceError(
          "MILL_STORE_CORRUPT",
          `an asset with SHA-256 ${sha256} arrived as ${found}. The copy in the object store is damaged; submit the job again after removing assets/${sha256}.`,
          { expected: sha256, found },
        );
      }
      await rename(staged, path);
      return path;
    } catch (error) {
      await rm(staged, { force: true });
      throw error;
    }
  }
}

/** @returns lower-case hex */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path)) hash.update(piece as Uint8Array);
  return hash.digest("hex");
}

/** A file that is there may still be damaged: it is not synced, so a power loss can leave its name without its bytes. */
async function holds(path: string, sha256: string): Promise<boolean> {
  try {
    return (await sha256OfFile(path)) === sha256;
  } catch {
    return false; // not there, or not to be read; the rename of a new one tells
  }
}
