import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeFrame } from "../../../src/wire/frames.js";
import { GOLDEN, type GoldenFrame } from "./golden-frames.js";
import { annotate, framesFolder, packageRoot, readHex, schemas } from "./hex-file.js";

/** `MILLRACE_GOLDEN=write` writes the files instead of comparing them. Old bytes must stay readable: think twice. */
if (process.env.MILLRACE_GOLDEN === "write") {
  mkdirSync(framesFolder, { recursive: true });
  for (const [name, golden] of Object.entries(GOLDEN)) {
    writeFileSync(join(framesFolder, `${name}.hex`), annotate(golden.title, golden.bytes, golden.header));
    writeFileSync(join(framesFolder, `${name}.json`), expectedJson(golden));
  }
}

/** What a reader in another language must find: longs as digits, bytes as hex. */
function expectedJson({ header, rows, schemaFrom, bytes }: GoldenFrame): string {
  const kind = decodeFrame(bytes).kind;
  const text = JSON.stringify({ kind, header, rows, schemaFrom }, replacer, 2);
  return `${text.replace(/"@long:(-?\d+)"/g, "$1")}\n`;
}

function replacer(this: unknown, key: string, value: unknown): unknown {
  const raw = (this as Record<string, unknown>)[key]; // a Buffer's own toJSON has run on `value`
  if (typeof value === "bigint") return `@long:${value}`;
  return raw instanceof Uint8Array ? Buffer.from(raw).toString("hex") : value;
}

const names = Object.keys(GOLDEN);

describe("wire/golden: frames of every kind", () => {
  it("there is a golden frame of every kind of the data path", () => {
    const kinds = new Set(names.map((name) => decodeFrame(readHex(join(framesFolder, `${name}.hex`))).kind));
    const needed = readdirSync(join(packageRoot, "schemas")).filter((file) => file.endsWith(".avsc"));
    assert.deepEqual(
      needed.map((file) => file.slice(0, -".avsc".length)).filter((kind) => !kinds.has(kind)),
      [],
    );
    assert.ok(schemas.kinds.length > needed.length, "control schemas are loaded too");
  });

  for (const name of names) {
    const golden = GOLDEN[name]!;
    const path = join(framesFolder, `${name}.hex`);

    it(`${name}: today's encoder makes the bytes of the file, comments included`, () => {
      assert.equal(annotate(golden.title, golden.bytes, golden.header), readFileSync(path, "utf8"));
    });

    it(`${name}: the file's bytes decode to the header that went in`, () => {
      const { header } = decodeFrame(readHex(path));
      assert.deepEqual(bytesAsHex(header), bytesAsHex(golden.header));
    });

    it(`${name}: the expected values beside it are up to date`, () => {
      assert.equal(readFileSync(join(framesFolder, `${name}.json`), "utf8"), expectedJson(golden));
    });
  }

  it("no file is left that no golden frame makes", () => {
    const files = readdirSync(framesFolder).sort();
    assert.deepEqual(files, names.flatMap((name) => [`${name}.hex`, `${name}.json`]).sort());
  });
});

describe("docs/wire-format.md: the frame in hex", () => {
  it("is the golden frame `data`, byte for byte", () => {
    const page = readFileSync(join(packageRoot, "docs", "wire-format.md"), "utf8");
    const block = page.match(/```text\n(# data: [\s\S]*?)```/)?.[1];
    assert.equal(block, readFileSync(join(framesFolder, "data.hex"), "utf8"));
  });

  it("has a section for every kind of the data path", () => {
    const page = readFileSync(join(packageRoot, "docs", "wire-format.md"), "utf8");
    const kinds = new Set(names.map((name) => decodeFrame(GOLDEN[name]!.bytes).kind));
    for (const kind of kinds) assert.match(page, new RegExp(`^### ${kind}$`, "m"));
  });
});

/** `Buffer` and `Uint8Array` of the same bytes are not deeply equal. */
function bytesAsHex(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(bytesAsHex);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, bytesAsHex(part)]));
}
