import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../../servers/find.js";
import { guidePages } from "../docs/guide-pages.js";
import { type Example, examples, functionPages, page } from "./guide.js";

/** What the page says of examples without an import. */
function asModule({ code }: Example): string {
  if (code.startsWith("import ")) return code;
  return `import { files, jsonl, parquet, t, topology } from "millrace";
export default topology("example", (job) => {
const pages = job.read(files("pages/*.png"));
${code}
});
`;
}

/** Compiles the modules below the package root, where "millrace" is this package. @returns what the compiler says */
async function compile(modules: Readonly<Record<string, string>>): Promise<string> {
  const cache = join(packageRoot(), ".cache");
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, "guide-"));
  try {
    const config = {
      extends: "../../tsconfig.json",
      // A fragment need not use all that it could.
      compilerOptions: { noEmit: true, declaration: false, noUnusedLocals: false, rootDir: "../.." },
      include: ["*.ts"],
    };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
    for (const [name, text] of Object.entries(modules)) await writeFile(join(folder, name), text);
    const compiler = join(packageRoot(), "node_modules", "typescript", "bin", "tsc");
    return await new Promise((resolve) => {
      execFile(process.execPath, [compiler, "-p", folder, "--pretty", "false"], (_error, stdout, stderr) =>
        resolve(stdout + stderr),
      );
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe("docs: the examples of topology.md, types.md, functions and the guide", function () {
  this.timeout(60_000);
  const blocks = examples("ts");

  it("are there, whole files and parts", () => {
    const whole = blocks.filter(({ code }) => code.startsWith("import "));
    assert.ok(whole.length >= 5 && blocks.length - whole.length >= 5, `${whole.length} of ${blocks.length} are whole`);
  });

  it("compile", async () => {
    const types = examples("ts", "types.md");
    assert.ok(types.length >= 2);
    const modules = [
      ...blocks.map((block) => [`line-${block.line}.ts`, asModule(block)]),
      ...types.map((block) => [`types-line-${block.line}.ts`, asModule(block)]),
      ...functionPages().flatMap((page) =>
        examples("ts", `functions/${page}`).map(({ line, code }) => [`${page}-line-${line}.ts`, code]),
      ),
      ...guidePages().flatMap((page) =>
        examples("ts", page).map(({ line, code }) => [`${page.replace("/", "-")}-line-${line}.ts`, code]),
      ),
    ];
    assert.equal(await compile(Object.fromEntries(modules)), "");
  });

  it("of a function are on its own page, whole files that use it; and the list has every page", () => {
    const list = page("functions/README.md");
    for (const name of functionPages().filter((file) => file !== "README.md")) {
      const used = examples("ts", `functions/${name}`);
      assert.ok(used.length > 0 && used.every(({ code }) => code.startsWith("import ")), name);
      const call = `${name.replace(/\.md$/, "")}(`;
      assert.ok(
        used.some(({ code }) => code.includes(call)),
        `${name}: ${call}`,
      );
      assert.ok(list.includes(`](${name})`), `docs/functions/README.md has no link to ${name}`);
    }
  });

  it("would not compile with a wrong column, and the compiler says what a service lacks", async () => {
    const said = await compile({
      "select.ts": asModule({ line: 0, code: 'pages.select("title");\n' }),
      "infer.ts": `import { type Service, type Stream, t } from "millrace";
const [has, needs] = [{ name: t.utf8, size: t.int64 }, { name: t.utf8, size: t.int32 }];
export const asked = (stream: Stream<typeof has>, sizes: Service<typeof needs>) => stream.infer(sizes);
`,
    });
    assert.match(said, /select\.ts\(4,14\): error TS2345: .*"title"/);
    assert.match(said, /infer\.ts\(3,97\): error TS2345: .*this stream lacks a column, or has it with another type/s);
  });
});
