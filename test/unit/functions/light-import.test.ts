import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../servers/find.js";

/** Native code, WebAssembly, and what takes long to load. */
const HEAVY = ["sharp", "onnxruntime-node", "undici", "parquet-wasm", "@huggingface/tokenizers", "@aws-sdk/client-s3"];

describe("functions: importing millrace/functions is cheap", () => {
  it("no function, nor a handler that one calls, loads a heavy library before it needs it", () => {
    const found: string[] = [];
    for (const folder of ["src/functions", "src/services/handlers"]) {
      for (const name of readdirSync(join(packageRoot(), folder), { recursive: true, encoding: "utf8" })) {
        if (!name.endsWith(".ts")) continue;
        const text = readFileSync(join(packageRoot(), folder, name), "utf8");
        for (const [, , library] of text.matchAll(/^import (?!type )([^;]*?from )?"([^"]+)"/gm)) {
          if (HEAVY.includes(library!)) found.push(`${folder}/${name} imports ${library}`);
        }
      }
    }
    assert.deepEqual(found, []);
  });
});
