import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runBareLoop } from "../../../examples/document-ocr/bare-loop.js";
import { pagesFolder } from "../../../examples/document-ocr/places.js";

describe("document-ocr/bare-loop: pages over processes", function () {
  this.timeout(60_000);

  it("returns one result per file in the order of the files, equal for any number of processes", async () => {
    const files = ["receipt-02.jpg", "receipt-01.png", "receipt-06.jpg"].map((name) => join(pagesFolder(), name));
    const two = await runBareLoop({ files, processes: 2, threads: 1 });
    assert.deepEqual(
      two.results.map((result) => result.uri),
      files,
    );
    assert.equal(two.pages, 3);
    assert.ok(two.seconds > 0 && two.times.recognitionRun > 0);
    const one = await runBareLoop({ files: files.slice(0, 1), processes: 1, threads: 1 });
    assert.deepEqual(one.results[0], two.results[0]);
  });

  it("fails with the file's name when one cannot be read", async () => {
    const folder = await mkdtemp(join(tmpdir(), "millrace-bare-"));
    try {
      const file = join(folder, "letter.jpg");
      await writeFile(file, "Dear Sir");
      await assert.rejects(runBareLoop({ files: [file], processes: 1, threads: 1 }), /letter\.jpg is not an image/);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
