import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FrameCodec } from "../../../src/wire/frame.js";
import { SchemaRegistry } from "../../../src/wire/schema-registry.js";
import { packageRoot, readHex } from "./hex-file.js";

const folder = join(packageRoot, "test", "golden", "schemas");
const old = readHex(join(packageRoot, "test", "golden", "foreign", "reading-1.hex"));

interface Reading {
  readonly sensor: string;
  readonly sequence: bigint;
  readonly unit: string;
}

describe("wire/schema-registry: frames of an earlier schema (F5)", () => {
  const codec = new FrameCodec(SchemaRegistry.load(folder));
  const reading = codec.frame<Reading>("reading");

  it("are read as the current kind, with the defaults of what they lack", () => {
    const { header, payload } = reading.decode(old);
    assert.deepEqual(header, { sensor: "s-1", sequence: 41n, unit: "celsius" });
    assert.deepEqual([...payload], [1, 2, 3]);
    assert.equal(codec.decode(old).kind, "reading");
  });

  it("are never written: what was read goes out with the current schema", () => {
    const { header, payload } = reading.decode(old);
    const bytes = reading.encode({ ...header, unit: "kelvin" }, payload);
    assert.notDeepEqual(bytes.subarray(2, 10), old.subarray(2, 10));
    assert.equal(reading.decode(bytes).header.unit, "kelvin");
  });

  it("are unknown where the earlier schema is not kept", () => {
    const forgetful = withChange((copy) => rmSync(join(copy, "history"), { recursive: true }));
    assert.throws(() => new FrameCodec(forgetful()).decode(old), { code: "MILL_FRAME_UNKNOWN_SCHEMA" });
  });

  it("that the current schema cannot read fail when the schemas are loaded (R2)", () => {
    const broken = withChange((copy) => {
      const path = join(copy, "reading.avsc");
      writeFileSync(path, readFileSync(path, "utf8").replace('"default": "celsius", ', ""));
    });
    assert.throws(broken, /missing|cannot read|unit/);
  });

  it("two schemas of one fingerprint fail when they are loaded (R1)", () => {
    const doubled = withChange((copy) => cpSync(join(copy, "reading.avsc"), join(copy, "other.avsc")));
    assert.throws(doubled, /"reading" and "other"/);
  });
});

function withChange(change: (copy: string) => void): () => SchemaRegistry {
  return () => {
    const copy = mkdtempSync(join(tmpdir(), "millrace-schemas-"));
    try {
      cpSync(folder, copy, { recursive: true });
      change(copy);
      return SchemaRegistry.load(copy);
    } finally {
      rmSync(copy, { recursive: true });
    }
  };
}
