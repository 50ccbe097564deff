/**
 * A topology file and what it imports as one ESM file, named by its SHA-256. Packages with native code, and the ones
 * that must be the same copy as the runtime's, stay outside: whoever loads the bundle has them installed.
 */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { MillraceError } from "../base/errors.js";
import { findPackage, packageNameOf } from "./packages.js";

export interface Bundle {
  readonly code: Uint8Array;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Packages that are not in it. */
  readonly external: readonly string[];
}

/** First line of every bundle: who loads it must link these before importing it. */
const EXTERNAL_LINE = "// millrace external: ";

/** Types and classes of these meet the runtime's own, so there may be one copy only: the runtime's. */
export const SHARED: ReadonlySet<string> = new Set(["millrace", "apache-arrow"]);

/** @throws {MillraceError} `MILL_TOPOLOGY_LOAD` no such file; `MILL_BUNDLE_BUILD` it does not build, naming file and line */
export async function bundleTopology(file: string): Promise<Bundle> {
  const entry = resolve(file);
  const found = statSync(entry, { throwIfNoEntry: false });
  if (!found?.isFile()) {
    const what = found === undefined ? `there is no file ${entry}` : `${entry} is a folder`;
    throw new MillraceError("MILL_TOPOLOGY_LOAD", `${what}. Give the path of a topology file.`, { file: entry });
  }
  const external = new Set<string>();
  return built(file, bundleOptions(entry, external), external);
}

/**
 * As `bundleTopology`, of source that somebody has sent: it may import Node's own modules and packages, and no files.
 * @param packages folder from which packages are looked for, upward
 */
export async function bundleSource(source: string, name: string, packages: string): Promise<Bundle> {
  const external = new Set<string>();
  const { plugins, ...options } = bundleOptions(join(packages, SENT_FILE), external);
  const sent = {
    ...options,
    entryPoints: [SENT_FILE],
    tsconfigRaw: "{}",
    plugins: [sentSource(source, packages), ...plugins],
  };
  return built(name, sent, external);
}

async function built(file: string, options: BuildOptions, external: ReadonlySet<string>): Promise<Bundle> {
  const result = await build({ ...options, write: false }).catch((cause: BuildFailure) => {
    throw buildError(file, cause);
  });
  const names = [...external].sort();
  const code = Buffer.from(`${EXTERNAL_LINE}${JSON.stringify(names)}\n${result.outputFiles[0]!.text}`);
  return { code, sha256: createHash("sha256").update(code).digest("hex"), external: names };
}

/** @param external takes the names of packages that are left outside */
export function bundleOptions(entry: string, external: Set<string>) {
  return {
    entryPoints: [entry],
    absWorkingDir: dirname(entry),
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    charset: "utf8",
    legalComments: "none",
    logLevel: "silent",
    plugins: [keepOutside(external)],
    banner: {
      // CommonJS packages inside an ES module still call `require` for Node's own modules.
      js: 'import { createRequire as millraceRequire } from "node:module"; const require = millraceRequire(import.meta.url);',
    },
  } as const satisfies BuildOptions;
}

interface BuildFailure {
  readonly errors?: readonly { readonly text: string; readonly location: { file: string; line: number } | null }[];
}

function buildError(file: string, cause: BuildFailure): MillraceError {
  const first = cause.errors?.[0];
  const at = first?.location ? `${first.location.file}:${first.location.line}: ` : "";
  const message = `${file} cannot be bundled: ${at}${first?.text ?? cause}`;
  return new MillraceError("MILL_BUNDLE_BUILD", message, { file }, { cause });
}

/** What a package is called: its link must not lead out of the bundle's folder, whoever has made the bundle. */
const PACKAGE_NAME = /^(@[\w~-][\w.~-]*\/)?[\w~-][\w.~-]*$/;

/** @throws {MillraceError} `MILL_BUNDLE_HASH` when it is not the bundle it should be; `MILL_TOPOLOGY_LOAD`: no bundle of ours */
export function checkBundle(code: Uint8Array, sha256: string, where: string): readonly string[] {
  const found = createHash("sha256").update(code).digest("hex");
  const line = Buffer.from(code.subarray(0, code.indexOf(0x0a))).toString("utf8");
  if (found !== sha256 || !line.startsWith(EXTERNAL_LINE)) {
    throw new MillraceError(
      "MILL_BUNDLE_HASH",
      `the bundle at ${where} has SHA-256 ${found}, but ${sha256} was submitted. It was changed or damaged; submit the job again.`,
      { expected: sha256, found },
    );
  }
  const names = namesIn(line.slice(EXTERNAL_LINE.length));
  if (names !== undefined) return names;
  const message = `the bundle at ${where} does not begin with a list of packages. Let \`millrace submit\` make it.`;
  throw new MillraceError("MILL_TOPOLOGY_LOAD", message);
}

function namesIn(json: string): readonly string[] | undefined {
  try {
    const names: unknown = JSON.parse(json);
    const fit = Array.isArray(names) && names.every((one) => typeof one === "string" && PACKAGE_NAME.test(one));
    return fit ? (names as string[]) : undefined;
  } catch {
    return undefined;
  }
}

const SENT_FILE = "topology.ts";
/** A name as the registry gives them, and perhaps a path in the package. */
const PACKAGE = /^(node:)?(@[\w~-][\w.~-]*\/)?[\w~-][\w.~-]*(\/[\w.@~+-]+)*$/;

/** The source alone is asked about: packages are what somebody has installed, and import their own files. */
function sentSource(source: string, packages: string): Plugin {
  return {
    name: "millrace-sent",
    setup(setup) {
      setup.onResolve({ filter: /.*/ }, ({ path, kind, namespace }) => {
        if (kind === "entry-point") return { path, namespace: "sent" };
        if (namespace !== "sent" || (PACKAGE.test(path) && !path.split("/").includes(".."))) return undefined;
        return { errors: [{ text: `a topology that is sent as source imports packages only, and not ${path}` }] };
      });
      setup.onLoad({ filter: /.*/, namespace: "sent" }, () => ({
        contents: source,
        loader: "ts",
        resolveDir: packages,
      }));
    },
  };
}

function keepOutside(external: Set<string>): Plugin {
  return {
    name: "millrace-external",
    setup(setup) {
      setup.onResolve({ filter: /^[^./]/ }, ({ path, resolveDir, kind }) => {
        if (kind === "entry-point" || path.startsWith("node:")) return undefined;
        const name = packageNameOf(path);
        const folder = SHARED.has(name) ? "" : findPackage(name, [resolveDir]);
        if (folder === undefined || (folder !== "" && !isNative(folder))) return undefined;
        external.add(name);
        return { path, external: true };
      });
    },
  };
}

/** Whether the package holds compiled code, by what its package.json says of how it is installed. */
function isNative(folder: string): boolean {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, unknown>;
  if (["binary", "gypfile", "napi", "os", "cpu"].some((key) => key in manifest)) return true;
  const scripts = (manifest.scripts ?? {}) as Record<string, string>;
  if ("install" in scripts || "postinstall" in scripts) return true;
  const optional = Object.keys((manifest.optionalDependencies ?? {}) as Record<string, string>);
  return optional.some((name) => /(linux|darwin|win32)-/.test(name)) || name(folder, manifest).includes("wasm");
}

function name(folder: string, manifest: Record<string, unknown>): string {
  return typeof manifest.name === "string" ? manifest.name : folder;
}
