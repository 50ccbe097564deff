/**
 * `npm run sim:mutants [-- words]`: plants each fault of `mutants.ts` whose name contains the words into a private copy of `dist` and
 * demands that the simulator finds it within `SEEDS_MAX` seeds. As many at a time as there are cores. Ends with
 * `{"mutants","caught"}`; exit status 1: one was not caught.
 */
import { spawn } from "node:child_process";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../servers/find.js";
import { MUTANTS, type Mutant, SEEDS_MAX } from "./mutants.js";

const root = packageRoot();
// In the package, so that packages and schemas are found from there as from `dist`.
const copies = join(root, "dist-mutants");
const only = process.argv[2] ?? "";
const chosen = MUTANTS.filter(({ name }) => name.includes(only));
const startedMs = performance.now();
let caught = 0;
try {
  await rm(copies, { recursive: true, force: true });
  const left = chosen.entries();
  await Promise.all(
    Array.from({ length: availableParallelism() }, (_, lane) => work(join(copies, String(lane)), left)),
  );
} finally {
  await rm(copies, { recursive: true, force: true });
}
console.log(`${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
console.log(JSON.stringify({ mutants: chosen.length, caught }));
process.exitCode = caught === chosen.length ? 0 : 1;

/** Takes one after another, with a copy of its own. */
async function work(copy: string, left: Iterator<[number, Mutant]>): Promise<void> {
  await mkdir(copy, { recursive: true });
  for (const folder of ["src", "test/sim", "test/servers"]) {
    await cp(join(root, "dist", folder), join(copy, folder), { recursive: true });
  }
  for (let next = left.next(); next.done !== true; next = left.next()) {
    const [i, mutant] = next.value;
    const found = await hunt(copy, mutant);
    if (found !== undefined) caught += 1;
    const result = found === undefined ? "NOT CAUGHT" : `caught by ${found}`;
    console.log(`${i + 1}/${chosen.length} ${result}: ${mutant.name}`);
  }
}

/** @returns which seed and checker found it */
async function hunt(copy: string, mutant: Mutant): Promise<string | undefined> {
  const originals = new Map<string, string>();
  for (const { file } of mutant.edits) originals.set(file, await readFile(join(copy, file), "utf8"));
  const write = async (files: ReadonlyMap<string, string>) => {
    for (const [file, text] of files) await writeFile(join(copy, file), text);
  };
  const planted = plant(mutant, originals);
  // The seed that found it last time first: the source may have changed, so it is no more than a hint.
  const ranges = [
    { from: mutant.hint, to: mutant.hint },
    { from: 1, to: SEEDS_MAX },
  ];
  try {
    for (const { from: first, to } of ranges) {
      for (let from = first; from <= to; ) {
        await write(planted);
        const found = await firstFailure(copy, mutant, from, to - from + 1);
        if (found === undefined) break;
        await write(originals);
        // A seed that fails without the planted fault, too, proves nothing.
        if ((await firstFailure(copy, mutant, found.seed, 1)) === undefined) {
          return `seed ${found.seed}, ${found.checker}`;
        }
        console.log(`seed ${found.seed} fails without a planted fault as well: mend that`);
        from = found.seed + 1;
      }
    }
    return undefined;
  } finally {
    await write(originals);
  }
}

function plant(mutant: Mutant, originals: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const planted = new Map(originals);
  for (const { file, find, replace } of mutant.edits) {
    const text = planted.get(file)!;
    const places = text.split(find).length - 1;
    if (places !== 1) {
      throw new Error(`${mutant.name}: ${file} has the text to replace ${places} times, not once: ${find}`);
    }
    planted.set(
      file,
      text.replace(find, () => replace),
    );
  }
  return planted;
}

async function firstFailure(
  copy: string,
  mutant: Mutant,
  from: number,
  seeds: number,
): Promise<{ seed: number; checker: string } | undefined> {
  const program = join(copy, "test/sim/main.js");
  const flags = ["--seeds", String(seeds), "--from", String(from), "--jobs", "1"];
  const { status, stdout, stderr } = await run([program, ...flags, "--profile", mutant.profile, "--stop-at-first"]);
  if (status === 0) return undefined;
  const seed = /^FAILED seed (\d+)/m.exec(stdout)?.[1];
  const checker = /^ {2}checker {3}(.*)$/m.exec(stdout)?.[1];
  if (seed === undefined || checker === undefined) throw new Error(`${mutant.name}: the simulator failed: ${stderr}`);
  return { seed: Number(seed), checker };
}

function run(words: readonly string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, words, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout, stderr }));
  });
}
