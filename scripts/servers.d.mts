/** Types of servers.mjs, for the tests and benchmarks that import it. */
export type ServerName = "nats" | "minio";

export type FoundServer =
  | { readonly kind: "binary"; readonly server: ServerName; readonly path: string; readonly version: string; readonly why: string }
  | { readonly kind: "docker"; readonly server: ServerName; readonly image: string; readonly why: string }
  /** `command` is what the user can run or do to get the server. */
  | { readonly kind: "none"; readonly server: ServerName; readonly reason: string; readonly command: string };

export interface FindOptions {
  /** Whether a server that is not here may be downloaded or built; takes minutes. */
  readonly install: boolean;
  readonly env?: NodeJS.ProcessEnv;
  /** Receives progress lines; standard error by default. */
  readonly say?: (line: string) => void;
}

export function findServer(server: ServerName, options: FindOptions): Promise<FoundServer>;
export function describeServer(found: FoundServer): string;
export function cacheFolder(env?: NodeJS.ProcessEnv): string;
