/**
 * Texts to word counts, with a service whose handler is a Python program (handler.py).
 *
 *     millrace submit examples/python-handler/topology.ts
 *
 * Parameters: `input` (pattern of text files), `output` (folder or s3:// prefix), `python` (interpreter that has the packages
 * of requirements.txt, on every worker).
 */
import { command, files, jsonl, service, t, topology } from "millrace";

const input = { text: t.utf8 };
const output = { words: t.int32, longest: t.utf8 };

export default topology("python-handler", (job) => {
  const counter = service("word-count", {
    input,
    output,
    batch: { rowsMax: 64 },
    handler: command({
      run: [job.param("python", "python3"), "{handler}"],
      assets: { handler: "handler.py" },
    }),
  });
  job
    .read(files(job.param("input", "examples/python-handler/texts/*.txt")), { id: "texts" })
    .mapRows({ id: "read", to: { name: t.utf8, ...input } }, async ({ name, ref }, { content, signal }) => {
      return { name, text: new TextDecoder().decode(await content.bytes(ref, signal)) };
    })
    .infer(counter, { id: "count" })
    .to(jsonl(job.param("output", "millrace-output/python-handler")), { id: "counts" });
});
