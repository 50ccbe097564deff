/** Mistakes on the command line: each refused before anything begins, with exit status 2, naming what was written. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ErrorCode } from "../../src/base/errors.js";
import { assertRefused, refused } from "./bad-input-support.js";
import { millrace } from "./millrace-process.js";

const TOPOLOGY = "test/fixtures/content-length.ts";
const STORE = ["--store", "s3://bucket/prefix"];

interface Mistake {
  readonly what: string;
  readonly args: readonly string[];
  /** `MILL_CONFIG` if left out. */
  readonly code?: ErrorCode;
  readonly says: readonly RegExp[];
}

const mistakes: readonly Mistake[] = [
  { what: "no command", args: [], says: [/no command was given\. See millrace --help/] },
  { what: "an unknown command", args: ["frobnicate"], says: [/unknown command 'frobnicate'\. See millrace --help/] },
  {
    what: "a misspelled command",
    args: ["submti", TOPOLOGY],
    says: [/unknown command 'submti' \(Did you mean submit\?\)\. See millrace --help/],
  },
  {
    what: "a misspelled flag",
    args: ["run", TOPOLOGY, "--paralelism", "2"],
    says: [/unknown option '--paralelism' \(Did you mean --parallelism\?\)\. See millrace run --help/],
  },
  { what: "no topology", args: ["run"], says: [/missing required argument 'topology'\. See millrace run --help/] },
  {
    what: "two topologies",
    args: ["plan", TOPOLOGY, TOPOLOGY],
    says: [/too many arguments for 'plan'.*See millrace plan --help/],
  },
  {
    what: "a flag without its value",
    args: ["worker", "--name"],
    says: [/option '--name <worker>' argument missing\. See millrace worker --help/],
  },
  {
    what: "a log level that there is not",
    args: ["--log-level", "loud", "run", TOPOLOGY],
    says: [/'loud' is invalid\. Allowed choices are debug, info, warn, error, silent/],
  },
  {
    what: "a parameter that is no pair",
    args: ["run", TOPOLOGY, "-p", "output"],
    says: [/--param output is no parameter\. Write --param name=value/],
  },
  {
    what: "a parameter that the topology does not have",
    args: ["run", TOPOLOGY, "-p", "ouput=x"],
    says: [/content-length\.ts has no parameter "ouput"\. It has: bad, input, output/],
  },
  {
    what: "a count that is no number",
    args: ["run", TOPOLOGY, "--parallelism", "two"],
    says: [/--parallelism two is no count\. Write a whole number from 1 to \d+/],
  },
  {
    what: "a count of 0",
    args: ["worker", ...STORE, "--cpus", "0"],
    says: [/--cpus 0 is no count\. Write a whole number from 1 to \d+/],
  },
  {
    what: "a size without a unit",
    args: ["worker", ...STORE, "--memory", "32"],
    says: [/millrace worker: --memory is "32"; give a number of bytes or a text such as "4 GiB"/],
  },
  {
    what: "a part of a gpu to offer",
    args: ["worker", ...STORE, "--gpus", "0.5"],
    says: [/--gpus 0\.5 is no count\. Write a whole number from 0 to \d+/],
  },
  {
    what: "a count far too large",
    args: ["plan", TOPOLOGY, "--parallelism", "1000000"],
    says: [/--parallelism 1000000 is no count\. Write a whole number from 1 to \d+/],
  },
  {
    what: "a parameter that should be a number and is none",
    args: ["run", "examples/document-ocr/topology.ts", "-p", "detectors=many"],
    says: [/service "detector".*give a whole number from 1/],
  },
  {
    what: "a topology file that is not there",
    args: ["run", "none.ts"],
    code: "MILL_TOPOLOGY_LOAD",
    says: [/there is no file \S+none\.ts\. Give the path of a topology file/],
  },
  {
    what: "a folder for a topology file",
    args: ["plan", "test/fixtures"],
    code: "MILL_TOPOLOGY_LOAD",
    says: [/test\/fixtures is a folder\. Give the path of a topology file/],
  },
  {
    what: "a cluster without an object store",
    args: ["coordinator"],
    says: [/no object store is named\. Give --store s3:\/\/bucket\/prefix, or set MILLRACE_STORE/],
  },
  {
    what: "a submission without an object store",
    args: ["submit", TOPOLOGY],
    says: [/no object store is named\. .*MILLRACE_STORE\. Or give --url: then a coordinator's HTTP API/],
  },
  {
    what: "a store that is none",
    args: ["coordinator", "--store", "bucket/prefix"],
    says: [/bucket\/prefix"? is no object store\. Use s3:\/\/bucket\/prefix/],
  },
  {
    what: "a namespace that cannot be one",
    args: ["submit", TOPOLOGY, ...STORE, "--namespace", "our cluster"],
    says: [/namespace "our cluster" is not a valid name\. Use .*letters/],
  },
  {
    what: "a worker's name that cannot be one",
    args: ["worker", ...STORE, "--name", "left rack"],
    says: [/worker "left rack" is not a valid name\. Use .*letters/],
  },
];

describe("e2e: mistakes on the command line", () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-mistakes-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const { what, args, code = "MILL_CONFIG", says } of mistakes) {
    it(`refuses ${what} with ${code}, exit status 2`, async () => {
      // An empty variable is none: what the machine's owner has set must not mend the mistake.
      assertRefused(await refused(args, { env: { MILLRACE_STORE: "" } }), 2, code, ...says);
    });
  }

  for (const [what, text, code, says] of [
    ["does not parse", "export default topology(", "MILL_BUNDLE_BUILD", /mine\.ts:1: /],
    [
      "exports no topology",
      "export const job = 1;",
      "MILL_TOPOLOGY_LOAD",
      /no topology as its default export\. End it/,
    ],
    ["throws", 'throw new Error("not today");', "MILL_TOPOLOGY_LOAD", /mine\.ts threw while it was loaded: not today/],
  ] as const) {
    it(`refuses a topology file that ${what} with ${code}, exit status 2`, async () => {
      const file = join(folder, "mine.ts");
      await writeFile(file, text);
      const refusal = await refused(["run", file], { cwd: folder });
      assertRefused(refusal, 2, code, /mine\.ts/, says);
      assert.deepEqual(await readdir(folder), ["mine.ts"], "nothing was written");
    });
  }

  it("says what it can do, with exit status 0, when asked", async () => {
    for (const args of [["--help"], ["help", "run"], ["--version"]]) {
      const ended = await millrace(args);
      assert.equal(ended.status, 0, args.join(" "));
      assert.equal(ended.stderr, "");
      assert.notEqual(ended.stdout, "");
    }
  });
});
