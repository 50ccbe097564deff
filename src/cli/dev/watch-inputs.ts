/**
 * Says when a file that goes into a topology's bundle has changed: the topology, and what it imports, as the bundler finds them each
 * time. Not the inputs of the job, nor the models of its services.
 *
 * The files' times are looked at now and then. The bundler could watch by itself, but its process would stay, and go on watching,
 * when this one is killed.
 */
import { statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { build } from "esbuild";
import type { Clock } from "../../base/ports.js";
import { bundleOptions } from "../bundle.js";

export interface InputsChange {
  /** Files of the bundle, now, relative to the topology's folder. */
  readonly files: readonly string[];
  /** Those that changed; empty at first, and when a file that was missing is there now. */
  readonly changed: readonly string[];
}

const LOOK_INTERVAL_MS = 200;
/** While the bundle cannot be made: whatever it lacks may be there now, under a name that only the bundler knows. */
const BROKEN_INTERVAL_MS = 1_000;
/** Editors write a file in several steps. */
const SETTLE_MS = 50;

/** What there is first, then a change at a time, until `signal` aborts. */
export async function* watchInputs(file: string, clock: Clock, signal: AbortSignal): AsyncGenerator<InputsChange> {
  const entry = resolve(file);
  const folder = dirname(entry);
  let times = new Map<string, string>();
  let broken: string | undefined;
  for (let first = true; !signal.aborted; first = false) {
    const changed = [...times].filter(([path, time]) => timeOf(folder, path) !== time).map(([path]) => path);
    if (first || changed.length > 0 || broken !== undefined) {
      if (changed.length > 0) await clock.sleep(SETTLE_MS);
      const was = broken;
      const found = await inputsOf(entry);
      broken = "error" in found ? found.error : undefined;
      // A bundle that cannot be made does not say what it read: what was read before still counts.
      const files = "error" in found ? [...new Set([...times.keys(), entry])] : found.files;
      times = new Map(files.map((path) => [path, timeOf(folder, path)]));
      if (first || changed.length > 0 || broken !== was) yield { files, changed };
    }
    await clock.sleep(broken === undefined ? LOOK_INTERVAL_MS : BROKEN_INTERVAL_MS, signal).catch(() => {});
  }
}

type Found = { readonly files: readonly string[] } | { readonly error: string };

async function inputsOf(entry: string): Promise<Found> {
  try {
    const { metafile } = await build({ ...bundleOptions(entry, new Set()), write: false, metafile: true });
    return { files: Object.keys(metafile.inputs) };
  } catch (error) {
    return { error: String(error) };
  }
}

function timeOf(folder: string, path: string): string {
  const found = statSync(resolve(folder, path), { throwIfNoEntry: false });
  return found === undefined ? "" : `${found.mtimeMs} ${found.size}`;
}
