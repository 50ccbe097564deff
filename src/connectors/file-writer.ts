/**
 * The transactional half that every file sink shares: encoded bytes are staged under a name with the attempt in it
 * and published under one without, so that publishing again is the same act.
 *
 *     staged     _staging/<attempt>-<operator>-<subtask>-<checkpoint>.<extension>
 *                _staging/<attempt>-<operator>-<subtask>-after-<checkpoint before>.<extension>, where it is staged while it is filled
 *     published  <operator>-<subtask>-<checkpoint>.<extension>
 *
 * A reader of the folder who ignores names that start with `_`, as Spark, DuckDB and Arrow do, never sees a partial file.
 *
 * Invariants (with W1 to W4 of `topology/endpoints.ts`):
 *   F1  A published file is whole, and was named by a committed manifest.
 *   F2  A checkpoint without rows stages and publishes nothing.
 *   F3  A staged file is deleted only by a higher attempt of the same operator and subtask, after that has published all
 *       that its manifest names. A zombie may stage more after that; it is never published.
 *   F4  No name is staged twice in an attempt, nor one that the manifest names with which the attempt began: publishing that again
 *       would publish other rows.
 */
import { MillraceError } from "../base/errors.js";
import type { OutputFolder, Sink, SinkContext, SinkWriter } from "../topology/endpoints.js";
import type { Columns } from "../types/columns.js";
import { type FileEncoder, GrowingFile } from "./growing-file.js";

/** What a snapshot keeps of a file, as JSON. */
interface Prepared {
  readonly from: string;
  readonly to: string;
}

const STAGING = "_staging/";
const NOTHING = new Uint8Array();

/**
 * @param kind the format's name, and the extension of its files
 * @param url a folder, or `s3://bucket/prefix`; a relative one is under the job's output root
 */
export function fileSink(kind: string, url: string, encoder: (columns: Columns) => FileEncoder): Sink {
  return {
    kind,
    describe: `${kind} ${url}`,
    url,
    check() {},
    open: async (context) => fileWriter(kind, encoder, context),
  };
}

function fileWriter(extension: string, encoderOf: (columns: Columns) => FileEncoder, context: SinkContext): SinkWriter {
  const { operator, subtask, attempt, output } = context;
  /** Of the checkpoint that is being filled, from its first row on. */
  let file: GrowingFile | undefined;
  /** F4: rows that are written belong to a later checkpoint. */
  let after = 0n;
  const nameOf = (checkpoint: bigint) => `${operator}-${subtask}-${checkpoint}.${extension}`;
  const begun = () =>
    new GrowingFile(
      output,
      encoderOf(context.columns),
      `${STAGING}${attempt}-${operator}-${subtask}-after-${after}.${extension}`,
    );
  return {
    write(batch) {
      if (batch.numRows === 0) return;
      file ??= begun();
      file.add(batch);
    },
    room: () => file?.room(),
    prepare(checkpoint) {
      const cut = file;
      file = undefined;
      after = checkpoint;
      const to = nameOf(checkpoint);
      return cut === undefined ? Promise.resolve(NOTHING) : stage(cut, `${STAGING}${attempt}-${to}`, to);
    },
    publishes: nameOf,
    async commit(bytes) {
      if (bytes.byteLength > 0) await publish(output, decode(bytes));
    },
    async recover(pending) {
      for (const bytes of pending) {
        if (bytes.byteLength === 0) continue;
        const prepared = decode(bytes);
        await publish(output, prepared);
        after = checkpointOf(prepared.to);
      }
      // What is still staged after that is named by no manifest.
      for (const name of await output.list(STAGING)) {
        const by = attemptOf(name, context, extension);
        if (by !== undefined && by < attempt) await output.delete(name);
      }
    },
    async abort() {
      const dropped = file;
      file = undefined;
      await dropped?.drop();
    },
  };
}

async function stage(file: GrowingFile, whole: string, to: string): Promise<Uint8Array> {
  await Promise.resolve(); // the cut is made; encoding may wait until whoever cuts has cut everything
  const prepared: Prepared = { from: await file.staged(whole), to };
  return new TextEncoder().encode(JSON.stringify(prepared));
}

async function publish(output: OutputFolder, { from, to }: Prepared): Promise<void> {
  await output.move(from, to);
}

function decode(bytes: Uint8Array): Prepared {
  try {
    const { from, to } = JSON.parse(new TextDecoder().decode(bytes)) as Prepared;
    if (typeof from === "string" && typeof to === "string") return { from, to };
    throw new TypeError("it names no file");
  } catch (cause) {
    throw MillraceError.from(cause, "MILL_INTERNAL", "what a file sink's snapshot holds cannot be read");
  }
}

/** The attempt that staged `name`, if it was one of this operator and subtask. */
function attemptOf(name: string, { operator, subtask }: SinkContext, extension: string): number | undefined {
  const rest = `-${operator}-${subtask}-`;
  const match = /^(\d+)(-.*-\d+-)(?:after-)?\d+\.([a-z]+)$/.exec(name.slice(STAGING.length));
  return match !== null && match[2] === rest && match[3] === extension ? Number(match[1]) : undefined;
}

function checkpointOf(published: string): bigint {
  return BigInt(/-(\d+)\.[a-z]+$/.exec(published)?.[1] ?? 0);
}
