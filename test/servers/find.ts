/**
 * Decides whether a test may have a real server, and what happens when there is none.
 *
 * On a user's machine `npm test` uses what is there and installs nothing: a test that lacks its server is not run and is
 * listed at the end. With `CI=true` or `MILLRACE_TEST_SERVERS=install` a missing server is got (scripts/servers.mjs);
 * with `CI=true` one that cannot be had is a failure.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

type ServersScript = typeof import("../../scripts/servers.mjs");
export type ServerName = import("../../scripts/servers.mjs").ServerName;
export type FoundServer = import("../../scripts/servers.mjs").FoundServer;
export type UsableServer = Exclude<FoundServer, { kind: "none" }>;

/** No such server here. Inside a mocha hook or test it becomes "not run" (test/servers/hooks.ts), except in CI. */
export class ServerUnavailableError extends Error {
  override readonly name = "ServerUnavailableError";
  constructor(
    readonly server: ServerName,
    readonly reason: string,
    /** What the user runs or does to get the server. */
    readonly command: string,
  ) {
    super(`no ${server} server: ${reason}. To get it: ${command}`);
  }
}

export function inCi(env: NodeJS.ProcessEnv = process.env): boolean {
  return env.CI === "true";
}

export function mayInstall(env: NodeJS.ProcessEnv = process.env): boolean {
  return inCi(env) || env.MILLRACE_TEST_SERVERS === "install";
}

const answers = new Map<ServerName, Promise<FoundServer>>();

/** Looks once per process. */
export function findServer(server: ServerName): Promise<FoundServer> {
  const known = answers.get(server);
  if (known !== undefined) return known;
  const answer = serversScript().then((script) => script.findServer(server, { install: mayInstall() }));
  answers.set(server, answer);
  return answer;
}

export async function usableServer(server: ServerName): Promise<UsableServer> {
  const found = await findServer(server);
  if (found.kind === "none") throw new ServerUnavailableError(server, found.reason, found.command);
  return found;
}

/** The script stays outside the compiled tree, because it must run before `npm ci`. */
export async function serversScript(): Promise<ServersScript> {
  return (await import(pathToFileURL(join(packageRoot(), "scripts", "servers.mjs")).href)) as ServersScript;
}

export function packageRoot(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const manifest = join(folder, "package.json");
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).name === "millrace") return folder;
    if (dirname(folder) === folder) throw new Error("no package.json named millrace above the compiled tests");
  }
}
