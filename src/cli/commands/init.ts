/** `millrace init`: a project that runs. Writes only files that are not there yet, or none. */
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { MillraceError } from "../../base/errors.js";
import { projectFiles } from "../init-files.js";
import { packageRoot } from "../packages.js";

export interface InitFlags {
  readonly name?: string;
  readonly package?: string;
}

export async function initCommand(given: string | undefined, flags: InitFlags): Promise<void> {
  const folder = resolve(given ?? ".");
  const manifest = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as Manifest;
  const files = projectFiles({
    name: projectName(folder, flags.name),
    millrace: flags.package ?? sourceOf(packageRoot, manifest.version),
    typescript: manifest.devDependencies.typescript,
    nodeTypes: manifest.devDependencies["@types/node"],
    allowScripts: manifest.allowScripts,
  });
  const taken = Object.keys(files).find((path) => existsSync(join(folder, path)));
  if (taken !== undefined) {
    const message = `${join(folder, taken)} is there already; nothing was written. Name a folder that is empty or not there: millrace init my-project`;
    throw new MillraceError("MILL_CONFIG", message, { folder, taken });
  }
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text, { flag: "wx" });
    }
  } catch (cause) {
    throw MillraceError.from(cause, "MILL_CONFIG", `no project can be written to ${folder}`);
  }
  const here = relative(process.cwd(), folder);
  const enter = here === "" ? "" : `cd ${/^[\w./-]+$/.test(here) ? here : `'${here}'`} && `;
  process.stdout.write(
    `a project is in ${folder}: ${Object.keys(files).join(", ")}\n\n    ${enter}npm install && npx millrace run topology.ts\n`,
  );
}

interface Manifest {
  readonly version: string;
  readonly allowScripts: Readonly<Record<string, boolean>>;
  readonly devDependencies: { readonly typescript: string; readonly "@types/node": string };
}

/** Of the folder, made into what a package may be called. */
function projectName(folder: string, given: string | undefined): string {
  const made = basename(folder)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  const name = given ?? (made === "" || made === "millrace" ? "my-topology" : made).slice(0, 100);
  if (/^[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?$/.test(name) && name !== "millrace") return name;
  const message = `--name ${name} is no name for a project. Use 1 to 100 lower-case letters, digits or "-", beginning and ending with a letter or digit.`;
  throw new MillraceError("MILL_CONFIG", message, { name });
}

/** Who starts this from a checkout means that one: no registry has it. */
function sourceOf(root: string, version: string): string {
  return root.split(sep).includes("node_modules") ? `^${version}` : `file:${root}`;
}
