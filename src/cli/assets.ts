/** Finds the files that services' handlers declare, where a topology is submitted. */
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { MillraceError } from "../base/errors.js";
import { sha256OfFile } from "../storage/asset-cache.js";
import type { Topology } from "../topology/nodes.js";
import type { Asset } from "../wire/control.js";
import { findPackage, packageNameOf } from "./packages.js";

export interface LocalAsset extends Asset {
  readonly path: string;
}

/**
 * @param folder of the topology file: relative paths start there
 * @throws {MillraceError} `MILL_MODEL_MISSING` naming service, asset and path
 */
export async function findAssets(topology: Topology, folder: string): Promise<LocalAsset[]> {
  const wanted = topology.services.flatMap((service) =>
    Object.entries(service.handler.assets).map(([name, source]) => ({ service: service.id, name, source })),
  );
  return Promise.all(
    wanted.map(async ({ service, name, source }) => {
      const path = pathOf(source, folder);
      const missing = (why: string, cause?: unknown) =>
        new MillraceError(
          "MILL_MODEL_MISSING",
          `service "${service}": its asset "${name}" (${source}) is not there: ${why}`,
          { service, asset: name, source },
          { cause },
        );
      if (path === undefined) {
        const wanted = packageNameOf(source.slice(4));
        throw missing(`the package ${wanted} is not installed. Install it: npm install ${wanted}`);
      }
      try {
        const found = await stat(path);
        if (!found.isFile()) throw missing(`${path} is a folder. Name the file.`);
        return { service, name, source, path, sha256: await sha256OfFile(path), sizeBytes: BigInt(found.size) };
      } catch (cause) {
        if (MillraceError.is(cause)) throw cause;
        const { code } = cause as NodeJS.ErrnoException;
        const next = source.startsWith("npm:")
          ? "The package is installed; check the path inside it, and its version."
          : "Check the path; it is relative to the topology file.";
        throw missing(
          code === "ENOENT" ? `no file ${path}. ${next}` : `${path} cannot be read (${code}). ${next}`,
          cause,
        );
      }
    }),
  );
}

function pathOf(source: string, folder: string): string | undefined {
  if (!source.startsWith("npm:")) return resolve(folder, source);
  const specifier = source.slice(4);
  const name = packageNameOf(specifier);
  const found = findPackage(name, [folder, process.cwd()]);
  return found === undefined ? undefined : join(found, specifier.slice(name.length + 1));
}
