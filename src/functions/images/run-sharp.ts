/**
 * The way to sharp, the library that decodes, resizes and encodes.
 *
 * Its threads are those of the process, four unless UV_THREADPOOL_SIZE says otherwise. Rows are worked on side by side, so one thread an
 * image is best, and a cache of operations is of no use.
 *
 * Invariant:
 *   S1  Whoever asks is answered in bounded time, also where the library cannot be stopped: then its thread goes on by itself.
 */
import type sharp from "sharp";
import type { Sharp } from "sharp";
import { MillraceError } from "../../base/errors.js";
import type { OperatorContext } from "../../topology/operator-context.js";
import { type ImageLimits, invalidImage, type RawImage, tooLarge } from "./image-content.js";

export type SharpLibrary = typeof sharp;

let loaded: Promise<SharpLibrary> | undefined;

/** Loaded where it is first needed: a job without images does not pay for it. */
async function load(): Promise<SharpLibrary> {
  const library = (await import("sharp")).default;
  library.cache(false);
  library.concurrency(1);
  return library;
}

export type Limits = Required<ImageLimits>;
export type RunContext = Pick<OperatorContext, "content" | "signal" | "ports">;

/**
 * @param run makes a pipeline and waits for its result
 * @throws {MillraceError} `MILL_IMAGE_INVALID`, `MILL_IMAGE_TOO_LARGE`; the signal's reason
 */
export async function runSharp<T>(
  { pixelsMax, timeoutMs }: Limits,
  { signal, ports }: RunContext,
  run: (library: SharpLibrary) => Promise<T>,
): Promise<T> {
  loaded ??= load();
  const library = await loaded;
  signal.throwIfAborted();
  let stop = () => {};
  const stopped = new Promise<never>((_, reject) => {
    const timer = ports.clock.after(timeoutMs, () => reject(tooLarge(`it takes longer than ${timeoutMs} ms`)));
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    stop = () => {
      timer.cancel();
      signal.removeEventListener("abort", abort);
    };
  });
  try {
    return await Promise.race([run(library), stopped]);
  } catch (cause) {
    signal.throwIfAborted();
    throw imageError(cause, pixelsMax, timeoutMs);
  } finally {
    stop();
  }
}

/** The pipeline's result as pixels. sharp itself gives up in time where it can. */
export async function toRaw(image: Sharp, timeoutMs: number): Promise<RawImage> {
  const { data, info } = await image
    .timeout({ seconds: Math.ceil(timeoutMs / 1000) })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
}

function imageError(cause: unknown, pixelsMax: number, timeoutMs: number): MillraceError {
  if (MillraceError.is(cause)) return cause;
  const said = cause instanceof Error ? cause.message.trim().split("\n")[0]!.slice(0, 200) : String(cause);
  if (/pixel limit|too large|dimensions exceed/i.test(said))
    return tooLarge(`it has more than ${pixelsMax} pixels (${said})`);
  if (/^timeout/.test(said)) return tooLarge(`it takes longer than ${timeoutMs} ms`);
  return invalidImage(
    `it cannot be read as an image: ${said}. It is damaged or was cut off: copy or export it again.`,
    cause,
  );
}
