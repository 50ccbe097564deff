/**
 * Content as an open file, which is how `ffmpeg` wants it: it seeks, and many containers cannot be read through a pipe.
 *
 * A local file is opened where it is. Anything else is written to a temporary file that has no name any more when the first byte
 * comes: it is gone when it is closed, however the process ends.
 */
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MillraceError } from "../base/errors.js";
import type { ContentAccess } from "../topology/endpoints.js";
import type { Content, ObjectRef } from "../types/content-types.js";
import { tooLarge } from "./ffmpeg.js";

export interface MediaContext {
  readonly content: Pick<ContentAccess, "stream">;
  readonly signal: AbortSignal;
}

/** @param use is done with the file when it has ended; the file is closed then */
export async function withMediaFile<T>(
  value: ObjectRef | Content,
  bytesMax: number,
  context: MediaContext,
  use: (file: number) => Promise<T>,
): Promise<T> {
  if (value.sizeBytes > bytesMax) throw tooLarge(`it has ${value.sizeBytes} bytes; at most ${bytesMax} are read`);
  const file = isLocalFile(value) ? await openLocal(value, bytesMax) : await writeTemporary(value, bytesMax, context);
  try {
    return await use(file.fd);
  } finally {
    await file.close();
  }
}

/** A whole file of this machine whose bytes nobody wants checked: there is nothing to be gained by copying it. */
function isLocalFile(value: ObjectRef | Content): boolean {
  const bytes = "bytes" in value ? value.bytes : null;
  return bytes === null && value.uri.startsWith("file:") && value.offset === 0n && value.sha256 === "";
}

async function openLocal({ uri, sizeBytes }: ObjectRef, bytesMax: number): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(fileURLToPath(uri));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new MillraceError("MILL_STORE_NOT_FOUND", `${uri} does not exist. Check the path.`, { uri }, { cause });
  }
  try {
    const { size } = await file.stat();
    if (sizeBytes >= 0n && BigInt(size) !== sizeBytes) {
      throw new MillraceError(
        "MILL_SOURCE_CHANGED",
        `${uri} has changed since it was listed: expected ${sizeBytes} bytes, found ${size}. Run the job again when its input is at rest.`,
        { uri, expected: sizeBytes, found: size },
      );
    }
    if (size > bytesMax) throw tooLarge(`it has ${size} bytes; at most ${bytesMax} are read`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function writeTemporary(
  value: ObjectRef | Content,
  bytesMax: number,
  { content, signal }: MediaContext,
): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-media-"));
  let file: FileHandle;
  try {
    file = await open(join(folder, "content"), "wx+", 0o600);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  try {
    let written = 0;
    for await (const piece of content.stream(value, signal)) {
      written += piece.length;
      if (written > bytesMax) throw tooLarge(`it has more than ${bytesMax} bytes`);
      await file.appendFile(piece);
    }
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
