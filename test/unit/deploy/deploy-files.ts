/** The files of a deployment, read as their programs read them, and the names that the documentation knows. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { packageRoot } from "../../servers/find.js";

export function textOf(path: string): string {
  return readFileSync(join(packageRoot(), path), "utf8");
}

/** YAML with `<<` and anchors. */
export function yamlOf<T>(path: string): T {
  return parse(textOf(path), { merge: true }) as T;
}

export function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(join(packageRoot(), folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => `${folder}/${name}`);
}

export interface ComposeService {
  readonly image: string;
  readonly build?: string;
  readonly profiles?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: object;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly restart?: string;
}

export interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

export const compose = yamlOf<Compose>("compose.yaml");

/** What begins like a setting of ours, or of a library that reads its own, in a text. */
export function settingsIn(text: string): Set<string> {
  return new Set(text.match(/\b(?:MILLRACE|AWS|OTEL)_[A-Z0-9_]*[A-Z0-9]\b/g) ?? []);
}

/** Every variable that the documentation of operating names. */
export function documentedSettings(): Set<string> {
  return settingsIn(["docs/operations.md", "docs/deployment.md"].map(textOf).join("\n"));
}
