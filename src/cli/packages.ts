/** Where installed packages are: upward from given folders, then beside this package. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of this package, found upward from this file: it is the same from source, build and installation. */
export const packageRoot = (() => {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const manifest = join(folder, "package.json");
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).name === "millrace") return folder;
    if (dirname(folder) === folder) throw new Error("the millrace package has no package.json above its code");
  }
})();

/** Of this package. */
export function readVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string }).version;
}

/** `@scope/name/file` -> `@scope/name` */
export function packageNameOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

/** Real path of an installed package's folder. */
export function findPackage(name: string, from: readonly string[]): string | undefined {
  if (name === "millrace") return packageRoot;
  for (const start of [...from, packageRoot]) {
    for (let folder = start; ; folder = dirname(folder)) {
      const candidate = join(folder, "node_modules", name);
      if (existsSync(join(candidate, "package.json"))) return realpathSync(candidate);
      if (dirname(folder) === folder) break;
    }
  }
  return undefined;
}
