import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { realPorts, silentLog } from "../../../src/base/real/ports.js";
import { type FilesOptions, fileColumns, files } from "../../../src/connectors/files.js";
import { ContentReader } from "../../../src/storage/content.js";
import type { ContentAccess, Source, SourceContext, Split } from "../../../src/topology/endpoints.js";
import { rowsOf } from "../../../src/types/batches.js";
import type { Columns, Row } from "../../../src/types/columns.js";
import { useFolders } from "../cli/folders.js";

function contextOf(content: ContentAccess = new ContentReader({ s3: {} }, realPorts())): SourceContext {
  return { content, log: silentLog, signal: new AbortController().signal };
}

async function splitsOf(source: Source, context = contextOf()): Promise<Split[]> {
  const splits: Split[] = [];
  for await (const split of source.splits(context)) splits.push(split);
  return splits;
}

async function rowsOfSplit(source: Source, split: Split, context = contextOf()): Promise<Row<typeof fileColumns>[]> {
  const rows: Row<typeof fileColumns>[] = [];
  for await (const read of source.read(split, context, { batches: 0, position: undefined })) {
    rows.push(...(rowsOf(fileColumns as Columns, "batch" in read ? read.batch : read) as typeof rows));
  }
  return rows;
}

async function readAll(pattern: string, options: FilesOptions = {}, context = contextOf()) {
  const source = files(pattern, options) as unknown as Source;
  const rows = await Promise.all((await splitsOf(source, context)).map((split) => rowsOfSplit(source, split, context)));
  return rows.flat();
}

describe("connectors/files: what a pattern matches", () => {
  const makeFolder = useFolders();
  const pictures = { "b.png": "bb", "a.jpg": "a", "c.txt": "ccc", "deep/d.png": "dddd", "deep/er/e.png": "" };

  const patterns: Readonly<Record<string, readonly string[]>> = {
    "*.png": ["b.png"],
    "*.{png,jpg}": ["a.jpg", "b.png"],
    "**/*.png": ["b.png", "d.png", "e.png"],
    "deep/*": ["d.png"],
    "c.txt": ["c.txt"],
  };
  for (const [pattern, names] of Object.entries(patterns)) {
    it(`${pattern}, in the order of the addresses`, async () => {
      const folder = await makeFolder(pictures);
      assert.deepEqual(
        (await readAll(`${folder}/${pattern}`)).map(({ name }) => name),
        names,
      );
    });
  }

  it("file:// addresses work like paths", async () => {
    const folder = await makeFolder(pictures);
    assert.deepEqual(
      (await readAll(`${pathToFileURL(folder).href}/*.png`)).map(({ name }) => name),
      ["b.png"],
    );
  });

  it("a row is a name and a reference with address, size and media type, and its content can be read", async () => {
    const folder = await makeFolder(pictures);
    const rows = await readAll(`${folder}/*`);
    assert.deepEqual(
      rows.map(({ name, ref }) => [name, ref.uri, ref.offset, ref.sizeBytes, ref.sha256, ref.mediaType]),
      [
        ["a.jpg", pathToFileURL(`${folder}/a.jpg`).href, 0n, 1n, "", "image/jpeg"],
        ["b.png", pathToFileURL(`${folder}/b.png`).href, 0n, 2n, "", "image/png"],
        ["c.txt", pathToFileURL(`${folder}/c.txt`).href, 0n, 3n, "", "text/plain"],
      ],
    );
    assert.equal(Buffer.from(await contextOf().content.bytes(rows[2]!.ref)).toString(), "ccc");
  });

  it("a name with spaces, percent signs, hashes and other letters is the file's own", async () => {
    const names = ["100%.txt", "a b.txt", "c#d.txt", "e?f.txt", "日本.txt", "%41.txt"];
    const folder = await makeFolder(Object.fromEntries(names.map((name) => [name, name])));
    const rows = await readAll(`${folder}/*.txt`);
    assert.deepEqual(rows.map(({ name }) => name).sort(), [...names].sort());
    for (const { name, ref } of rows) assert.equal(Buffer.from(await contextOf().content.bytes(ref)).toString(), name);
  });

  it("a percent sign in an S3 key is a letter like any other", async () => {
    const content: ContentAccess = {
      ...contextOf().content,
      list: async () => [{ uri: "s3://bucket/in/100%25.PDF", sizeBytes: 5, version: "" }],
    };
    const [row] = await readAll("s3://bucket/in/*", {}, contextOf(content));
    assert.equal(row?.name, "100%25.PDF");
    assert.equal(row?.ref.mediaType, "application/pdf");
  });

  it("an ending that is not known has no media type", async () => {
    const folder = await makeFolder({ "a.xyz": "", none: "" });
    assert.deepEqual(
      (await readAll(`${folder}/*`)).map(({ ref }) => ref.mediaType),
      ["", ""],
    );
  });

  it("nothing that matches is MILL_SOURCE_EMPTY with the pattern and what to check", async () => {
    const folder = await makeFolder(pictures);
    await assert.rejects(splitsOf(files(`${folder}/*.gif`) as unknown as Source), {
      code: "MILL_SOURCE_EMPTY",
      message: `no file matches ${folder}/*.gif. Check the path and the pattern; quote it where a shell would expand it.`,
      facts: { pattern: `${folder}/*.gif` },
    });
  });
});

describe("connectors/files: splits", () => {
  const makeFolder = useFolders();
  const seven = Object.fromEntries(Array.from({ length: 7 }, (_, i) => [`${i}.txt`, `${i}`]));

  it("hold the given number of files, the last the rest, and say how many", async () => {
    const folder = await makeFolder(seven);
    const source = files(`${folder}/*`, { filesPerSplit: 3 }) as unknown as Source;
    const splits = await splitsOf(source);
    assert.deepEqual(
      splits.map(({ rows }) => rows),
      [3, 3, 1],
    );
    const names = await Promise.all(
      splits.map(async (split) => (await rowsOfSplit(source, split)).map(({ name }) => name)),
    );
    assert.deepEqual(names, [["0.txt", "1.txt", "2.txt"], ["3.txt", "4.txt", "5.txt"], ["6.txt"]]);
  });

  it("have four files unless told otherwise", async () => {
    const folder = await makeFolder(seven);
    assert.deepEqual(
      (await splitsOf(files(`${folder}/*`) as unknown as Source)).map(({ rows }) => rows),
      [4, 3],
    );
  });

  it("have ids that are unique, and the same whenever the folder is listed again", async () => {
    const folder = await makeFolder(seven);
    const idsOf = async () =>
      (await splitsOf(files(`${folder}/*`, { filesPerSplit: 2 }) as unknown as Source)).map(({ id }) => id);
    const ids = await idsOf();
    assert.equal(new Set(ids).size, 4);
    assert.deepEqual(await idsOf(), ids);
  });

  it("a split is read by its payload alone: files that came later do not matter", async () => {
    const folder = await makeFolder(seven);
    const source = files(`${folder}/*`) as unknown as Source;
    const [first] = await splitsOf(source);
    const elsewhere = files("/nowhere/*") as unknown as Source;
    assert.deepEqual(await rowsOfSplit(elsewhere, first!), await rowsOfSplit(source, first!));
  });

  for (const filesPerSplit of [0, 1.5, -1]) {
    it(`${filesPerSplit} files of a split is MILL_CONFIG`, () => {
      assert.throws(() => files("*", { filesPerSplit }), {
        code: "MILL_CONFIG",
        message: `files *: filesPerSplit is ${filesPerSplit}; give a whole number from 1 on.`,
      });
    });
  }

  it("local patterns are uploaded by a submission, others are not", () => {
    assert.equal(files("a/*").localPattern, "a/*");
    assert.equal(files("file:///a/*").localPattern, "file:///a/*");
    assert.equal(files("s3://bucket/*").localPattern, undefined);
    assert.equal(files("a/*").relocated?.("s3://bucket/*").localPattern, undefined);
  });
});
