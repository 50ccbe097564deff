import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { packageRoot } from "../servers/find.js";

/**
 * Which room of `src` may import from which, types included. A room may always import from itself. To allow a new edge,
 * add it here, and keep the arrows pointing down: a room may only name rooms above its own line.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  types: ["base"],
  topology: ["base", "types"],
  plan: ["base", "types", "topology"],
  checkpoint: ["base", "plan"],
  wire: ["base", "types"],
  bus: ["base", "wire"],
  storage: ["base", "types", "wire"],
  telemetry: ["base"],
  services: ["base", "types", "topology", "plan", "wire", "bus", "storage", "telemetry"],
  connectors: ["base", "types", "topology", "wire", "bus", "storage"], // bus: the log of a durable exchange
  // Not the coordinator, not the worker: those speak with actors in messages.
  actors: [
    ...["base", "types", "topology", "plan", "checkpoint", "wire", "bus", "storage", "telemetry"],
    "services", // the `infer` operator holds a service's client
    "connectors", // the two ends of a durable exchange
  ],
  // Services: handlers of the models that functions call. Storage: content at web addresses.
  functions: ["base", "types", "topology", "storage", "services"],
  // Not actors. Services: only the types of instance states, which it decides about.
  coordinator: ["base", "types", "topology", "plan", "checkpoint", "wire", "bus", "storage", "telemetry", "services"],
  // The coordinator by its methods; actors never. Services: their client, for services as endpoints.
  api: ["base", "types", "topology", "wire", "bus", "storage", "telemetry", "services", "coordinator"],
  // Not actors: it starts processes; which code they run is what the cli hands it.
  worker: ["base", "types", "plan", "wire", "bus", "storage", "telemetry", "services"],
  cli: [
    ...["base", "types", "topology", "plan", "checkpoint", "wire", "bus", "storage", "telemetry", "services"],
    ...["actors", "functions", "connectors", "coordinator", "worker", "api"],
  ],
};

/** Packages that some rooms alone may import; a trailing `/` stands for a scope. */
const ONLY_ROOMS: Readonly<Record<string, readonly string[]>> = {
  avsc: ["wire"],
  "@nats-io/": ["bus"],
  "@aws-sdk/": ["storage"],
  "onnxruntime-node": ["services"],
  "@opentelemetry/": ["telemetry"],
  undici: ["services", "storage"], // model servers; content at web addresses
  sharp: ["functions"],
  fastify: ["api"],
  "@fastify/": ["api"],
  typebox: ["api"],
  ajv: ["api"],
};

/** Files directly in `src`: the export lists. They pick names from anywhere and are imported by no room. */
const EXPORT_LISTS = "(export lists)";

const LINES_MAX = 600;
const NO_PURPOSE = new Set(["utils", "util", "common", "misc", "helpers", "shared", "lib"]);

const root = packageRoot();

interface SourceFile {
  /** From the package root, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function sources(...folders: string[]): SourceFile[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(ts|mjs|js)$/.test(name))
      .map((name) => {
        const path = [folder, ...name.split(sep)].join("/");
        const text = readFileSync(join(root, path), "utf8");
        return { path, text, imports: importsOf(text) };
      }),
  );
}

/** What a file imports or re-exports, from its text without comments. */
function importsOf(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const found = [
    ...code.matchAll(/^\s*(?:import|export)\b[^;"'`]*?\bfrom\s*["']([^"']+)["']/gm),
    ...code.matchAll(/^\s*import\s+["']([^"']+)["']/gm),
    ...code.matchAll(/\bimport\s*\(\s*["']([^"']+)["']\s*\)/g),
  ];
  return found.map((match) => match[1] ?? "");
}

function roomOf(path: string): string {
  const parts = path.split("/");
  return parts.length > 2 ? (parts[1] ?? "") : EXPORT_LISTS;
}

/** The source file that a relative import means. */
function resolveImport(from: SourceFile, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return relative(root, join(root, dirname(from.path), specifier))
    .split(sep)
    .join("/")
    .replace(/\.js$/, ".ts");
}

describe("architecture: who may know whom", () => {
  const files = sources("src");

  it("finds the imports of a file, whatever form they have", () => {
    const text = `import a from "./a.js";
import type { B } from "./b.js"; // import x from "./no.js"
import {
  c,
  d as e,
} from "./c.js";
import "./d.js";
export * from "./e.js";
export { f } from './f.js';
// import g from "./no.js";
/* import h from "./no.js"; */
const i = await import("./i.js");
type J = import("./j.js").J;
const text = "from ./no.js";
`;
    const names = ["a", "b", "c", "d", "e", "f", "i", "j"].map((name) => `./${name}.js`);
    assert.deepEqual(importsOf(text).sort(), names);
  });

  it("every room is in the table, and every edge of the table points down", () => {
    const rooms = Object.keys(MAY_IMPORT);
    for (const file of files) {
      const room = roomOf(file.path);
      assert.ok(room === EXPORT_LISTS || rooms.includes(room), `${file.path}: the room "${room}" is not in MAY_IMPORT`);
    }
    for (const [room, others] of Object.entries(MAY_IMPORT)) {
      for (const other of others) {
        assert.ok(rooms.indexOf(other) < rooms.indexOf(room) && rooms.includes(other), `${room} -> ${other} points up`);
      }
    }
  });

  it("a room imports only from the rooms that the table allows", () => {
    const wrong: string[] = [];
    for (const file of files) {
      const room = roomOf(file.path);
      if (room === EXPORT_LISTS) continue;
      for (const specifier of file.imports) {
        const target = resolveImport(file, specifier);
        if (target === undefined) continue;
        const other = target.startsWith("src/") ? roomOf(target) : target;
        if (other !== room && !MAY_IMPORT[room]?.includes(other)) wrong.push(`${file.path} imports ${target}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("a client library is imported in its own rooms only", () => {
    const wrong: string[] = [];
    for (const file of files) {
      for (const specifier of file.imports) {
        for (const [name, rooms] of Object.entries(ONLY_ROOMS)) {
          const meant = specifier === name || specifier.startsWith(name.endsWith("/") ? name : `${name}/`);
          if (meant && !rooms.includes(roomOf(file.path)))
            wrong.push(`${file.path} imports ${specifier}; only src/${rooms.join(", src/")} may`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("no file imports itself through others", () => {
    const byPath = new Map(files.map((file) => [file.path, file]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: SourceFile, trail: readonly string[]): void => {
      const at = trail.indexOf(file.path);
      if (at >= 0) {
        cycles.push([...trail.slice(at), file.path].join(" -> "));
        return;
      }
      if (done.has(file.path)) return;
      for (const specifier of file.imports) {
        const next = byPath.get(resolveImport(file, specifier) ?? "");
        if (next !== undefined) visit(next, [...trail, file.path]);
      }
      done.add(file.path);
    };
    for (const file of files) visit(file, []);
    assert.deepEqual(cycles, []);
  });
});

describe("architecture: how files are kept", () => {
  const files = sources("src", "test", "bench", "examples", "scripts");

  it(`no file is longer than ${LINES_MAX} lines`, () => {
    const long = files.filter((file) => file.text.split("\n").length > LINES_MAX).map((file) => file.path);
    assert.deepEqual(long, []);
  });

  it("no folder has a name without a purpose", () => {
    const folders = files.flatMap((file) => file.path.split("/").slice(0, -1));
    assert.deepEqual(
      [...new Set(folders)].filter((name) => NO_PURPOSE.has(name)),
      [],
    );
  });

  it("file names are kebab-case", () => {
    const wrong = files.map((file) => file.path).filter((path) => !/^[a-z0-9./-]+$/.test(path));
    assert.deepEqual(wrong, []);
  });

  it("no test is left as the only one to run", () => {
    // Written apart, so that this file does not find itself.
    const only = new RegExp(`\\b(describe|it|context)\\.${"only"}\\(`);
    const wrong = files.filter((file) => only.test(file.text)).map((file) => file.path);
    assert.deepEqual(wrong, []);
  });
});
