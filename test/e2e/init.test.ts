/**
 * `millrace init`: what it makes runs with the package as it is published. The package is packed, unpacked into the project, and has the
 * packages of this checkout beside it: `npm install` would fetch those, and tests use no network.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { packageRoot } from "../../src/cli/packages.js";
import { rowsBelow } from "./bad-input-support.js";
import { finished } from "./cluster.js";
import { type Ended, millrace } from "./millrace-process.js";

const run = promisify(execFile);

describe("e2e: millrace init", function () {
  this.timeout(120_000);
  let folder: string;
  let project: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-init-"));
    project = join(folder, "my-project");
    finished(await millrace(["init", project]));
    await install();
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** What `npm install` does, without a registry. */
  async function install(): Promise<void> {
    const modules = join(project, "node_modules");
    const own = join(modules, "millrace");
    await mkdir(own, { recursive: true });
    const packed = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], {
      cwd: packageRoot,
      maxBuffer: 64 * 1_048_576,
    });
    const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }];
    await run("tar", ["xzf", join(folder, filename), "--strip-components=1", "-C", own]);
    for (const name of await readdir(join(packageRoot, "node_modules"))) {
      if (name !== "millrace") await symlink(join(packageRoot, "node_modules", name), join(modules, name));
    }
  }

  /** The command that the project has, not this checkout's. */
  async function own(...args: string[]): Promise<Ended> {
    const command = join(project, "node_modules", "millrace", "dist", "src", "cli", "main.js");
    const env = { ...process.env, MILLRACE_CACHE: join(folder, "cache") };
    return new Promise((resolve) => {
      execFile(process.execPath, [command, ...args], { cwd: project, env }, (error, stdout, stderr) => {
        resolve({ status: error === null ? 0 : Number(error.code), signal: null, stdout, stderr });
      });
    });
  }

  it("makes a project that runs with the published package, with a service", async () => {
    assert.match(finished(await own("run", "topology.ts")), /job my-project-\S+ finished: 2 files/);
    const rows = await rowsBelow<{ line: string; score: number }>(join(project, "out", "judged"));
    const scores = Object.fromEntries(rows.map(({ line, score }) => [line, score]));
    assert.deepEqual(scores, {
      "The paper is good and the binding is great.": 3,
      "It came late, and a page was bad.": -3,
      "A great book.": 2,
    });
  });

  it("whose types are checked by its own settings", async () => {
    await run(process.execPath, [join(packageRoot, "node_modules", "typescript", "bin", "tsc"), "-p", project]);
  });

  it("whose README names commands that there are", async () => {
    const { scripts } = JSON.parse(await readFile(join(project, "package.json"), "utf8"));
    const readme = await readFile(join(project, "README.md"), "utf8");
    for (const [, script] of readme.matchAll(/npm run ([a-z]+)/g)) assert.ok(script! in scripts, script);
    for (const [, name] of `${readme}${JSON.stringify(scripts)}`.matchAll(/(?:npx |")millrace ([a-z]+)/g))
      assert.equal((await own(name!, "--help")).status, 0, name);
  });

  it("names the version that made it, when it comes out of a package", async () => {
    finished(await own("init", "second"));
    const { version } = JSON.parse(await readFile(join(packageRoot, "package.json"), "utf8"));
    const { dependencies } = JSON.parse(await readFile(join(project, "second", "package.json"), "utf8"));
    assert.deepEqual(dependencies, { millrace: `^${version}` });
  });
});
