/** The files of a new project. They run as they are, without a model to download, and show each part of a topology once. */

export interface ProjectOptions {
  /** Of package and topology: lower-case letters, digits and dashes. */
  readonly name: string;
  /** What package.json says of millrace: a range of versions, or `file:` and a folder. */
  readonly millrace: string;
  /** Ranges of versions of what its developers need. */
  readonly typescript: string;
  readonly nodeTypes: string;
  /** Packages whose install scripts are not to run, as in this package (docs/decisions/0002). */
  readonly allowScripts: Readonly<Record<string, boolean>>;
}

/** Text by path. */
export function projectFiles(options: ProjectOptions): Readonly<Record<string, string>> {
  return {
    "package.json": `${JSON.stringify(manifest(options), null, 2)}\n`,
    "topology.ts": topologyText(options.name),
    "tsconfig.json": `${JSON.stringify({ compilerOptions: COMPILER_OPTIONS, include: ["**/*.ts"] }, null, 2)}\n`,
    "README.md": readme(options.name),
    ".npmrc":
      "# onnxruntime-node's install script downloads CUDA libraries. npm 10 does not know allowScripts of package.json.\nignore-scripts=true\n",
    ".gitignore": "node_modules/\nout/\nmillrace-output/\nmillrace-content/\n",
    "reviews/first.txt": "The paper is good and the binding is great.\nIt came late, and a page was bad.\n",
    "reviews/second.txt": "A great book.\nI do not know yet.\n",
  };
}

function manifest({ name, millrace, typescript, nodeTypes, allowScripts }: ProjectOptions): object {
  return {
    name,
    version: "0.1.0",
    private: true,
    type: "module",
    scripts: {
      start: "millrace run topology.ts --overwrite",
      dev: "millrace dev topology.ts --overwrite",
      plan: "millrace plan topology.ts",
      check: "tsc --noEmit",
    },
    dependencies: { millrace },
    devDependencies: { "@types/node": nodeTypes, typescript },
    allowScripts,
  };
}

const COMPILER_OPTIONS = {
  target: "es2023",
  lib: ["es2023"],
  module: "nodenext",
  moduleResolution: "nodenext",
  strict: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  skipLibCheck: true,
  types: ["node"],
};

function topologyText(name: string): string {
  return `/** Reviews in text files -> lines -> a service that judges each -> JSON Lines, without those it has no opinion of. */
import { files, handler, jsonl, service, t, topology } from "millrace";

const input = { line: t.utf8 };
const output = { score: t.int32 };

/** Judges lines in processes of its own. For a model, use \`onnx({ model: "model.onnx", ... })\` or \`openai({ ... })\` instead. */
const judge = service("judge", {
  input,
  output,
  instances: 2,
  handler: handler({
    input,
    output,
    load: () => new Map([["good", 1], ["great", 2], ["late", -1], ["bad", -2]]),
    infer: (words, rows) =>
      rows.map(({ line }) => {
        const found = line.toLowerCase().split(/[^a-z]+/);
        return { score: found.reduce((sum, word) => sum + (words.get(word) ?? 0), 0) };
      }),
  }),
});

export default topology(
  "${name}",
  (job) => {
    job
      .read(files(job.param("input", "reviews/*.txt")), { id: "reviews" })
      .flatMap({ id: "lines", to: { name: t.utf8, line: t.utf8 } }, async ({ name, ref }, { content }) => {
        const text = new TextDecoder().decode(await content.bytes(ref));
        return text.split("\\n").filter((line) => line !== "").map((line) => ({ name, line }));
      })
      .infer(judge, { id: "judged" })
      .filter(({ score }) => score !== 0, { id: "decided" })
      .to(jsonl(job.param("output", "out/judged")), { id: "judged-lines" });
  },
  { unit: "files" },
);
`;
}

function readme(name: string): string {
  return `# ${name}

A topology for [Millrace](node_modules/millrace/docs/topology.md): it reads the files in \`reviews\`, has a service judge each line, and writes what
came of it to \`out/judged\`.

    npm install
    npx millrace run topology.ts     # once, in this process
    npm run dev                      # again and again, while you change topology.ts
    npm run plan                     # actors, channels, regions and services
    npm run check                    # types

\`run\` refuses an output that holds files. \`npm start\` and \`npm run dev\` replace what an earlier run wrote.

\`npx millrace doctor\` says what this machine has, and what a cluster would need. On a cluster, the same file is
\`npx millrace submit topology.ts\`.
`;
}
