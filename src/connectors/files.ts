/**
 * Source of files: one row per file that matches a pattern, holding a reference, not the content.
 */
import { MillraceError } from "../base/errors.js";
import type { Source, SourceContext, Split } from "../topology/endpoints.js";
import { batchFromRows } from "../types/batches.js";
import { type ObjectRef, type Row, t } from "../types/columns.js";

export const fileColumns = {
  /** The file's name without its folder. */
  name: t.utf8,
  ref: t.objectRef,
};
/** Columns of `files`: the name of a file, and a reference to it. */
export type FileColumns = typeof fileColumns;

/** Options of `files`. */
export interface FilesOptions {
  /** Files of one split: what one reader takes at a time, and the rows of one batch. Default 4. */
  readonly filesPerSplit?: number;
}

/**
 * @param pattern `folder/*.{png,jpg}` on this machine, `s3://bucket/prefix/**` or `file:///folder/*`; relative ones are
 *   relative to the folder where the command runs
 */
export function files(pattern: string, options: FilesOptions = {}): Source<FileColumns> {
  const filesPerSplit = options.filesPerSplit ?? 4;
  if (!Number.isInteger(filesPerSplit) || filesPerSplit < 1) {
    throw new MillraceError(
      "MILL_CONFIG",
      `files ${pattern}: filesPerSplit is ${filesPerSplit}; give a whole number from 1 on.`,
      { filesPerSplit },
    );
  }
  const remote = /^[a-z0-9]+:\/\//.test(pattern) && !pattern.startsWith("file://");
  return {
    kind: "files",
    columns: fileColumns,
    describe: `files ${pattern}`,
    ...(remote ? {} : { localPattern: pattern }),
    relocated: (elsewhere) => files(elsewhere, options),
    splits: (context) => listSplits(pattern, filesPerSplit, context),
    read: readSplit,
  };
}

async function* listSplits(pattern: string, filesPerSplit: number, context: SourceContext): AsyncIterable<Split> {
  const found = await context.content.list(pattern);
  if (found.length === 0) {
    throw new MillraceError(
      "MILL_SOURCE_EMPTY",
      `no file matches ${pattern}. Check the path and the pattern; quote it where a shell would expand it.`,
      { pattern },
    );
  }
  for (let i = 0; i < found.length; i += filesPerSplit) {
    const some = found.slice(i, i + filesPerSplit).map(({ uri, sizeBytes }) => ({ uri, sizeBytes }));
    yield { id: some[0]!.uri, payload: new TextEncoder().encode(JSON.stringify(some)), rows: some.length };
  }
}

async function* readSplit(split: Split): ReturnType<Source<FileColumns>["read"]> {
  const listed = JSON.parse(new TextDecoder().decode(split.payload)) as { uri: string; sizeBytes: number }[];
  const rows = listed.map(({ uri, sizeBytes }): Row<FileColumns> => {
    // Only file addresses are percent-encoded; in an S3 key "%" is a letter like any other.
    const last = uri.slice(uri.lastIndexOf("/") + 1);
    const name = uri.startsWith("file:") ? decodeURIComponent(last) : last;
    const ref: ObjectRef = { uri, offset: 0n, sizeBytes: BigInt(sizeBytes), sha256: "", mediaType: mediaTypeOf(name) };
    return { name, ref };
  });
  yield batchFromRows(fileColumns, rows);
}

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  jpg: "image/jpeg",
  jpeg: "image/jpeg",
  png: "image/png",
  webp: "image/webp",
  tiff: "image/tiff",
  pdf: "application/pdf",
  txt: "text/plain",
  json: "application/json",
};

function mediaTypeOf(name: string): string {
  return MEDIA_TYPES[name.slice(name.lastIndexOf(".") + 1).toLowerCase()] ?? "";
}
