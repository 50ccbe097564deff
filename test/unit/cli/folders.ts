/** Temporary folders with given files, gone after each test. */
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export type MakeFolder = (files: Readonly<Record<string, string | Uint8Array>>) => Promise<string>;

/** Call it in a `describe`. */
export function useFolders(): MakeFolder {
  const made: string[] = [];
  afterEach(async () => {
    for (const folder of made.splice(0)) await rm(folder, { recursive: true, force: true });
  });
  return async (files) => {
    const folder = await realpath(await mkdtemp(join(tmpdir(), "millrace-")));
    made.push(folder);
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content);
    }
    return folder;
  };
}

/** What this process puts into the folder for temporary files goes to one of its own meanwhile: other tests run beside, and use the usual one. */
export async function withOwnTemporaries<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const usual = process.env.TMPDIR;
  const folder = await mkdtemp(join(tmpdir(), "millrace-own-"));
  process.env.TMPDIR = folder;
  try {
    return await use(folder);
  } finally {
    if (usual === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = usual;
    await rm(folder, { recursive: true, force: true });
  }
}

/** An installed package of one file. */
export function packageFiles(
  name: string,
  code: string,
  manifest: Readonly<Record<string, unknown>> = {},
): Record<string, string> {
  return {
    [`node_modules/${name}/package.json`]: JSON.stringify({ name, version: "1.0.0", main: "index.js", ...manifest }),
    [`node_modules/${name}/index.js`]: code,
  };
}

/** A topology file that reads `pattern`, an expression, after some lines of its own. */
export function topologyFile(lines: string, pattern = '"*.txt"'): string {
  return `import { files, jsonl, topology } from "millrace";
${lines}
export default topology("small", (job) => {
  job.read(files(${pattern})).to(jsonl("out"));
});
`;
}
