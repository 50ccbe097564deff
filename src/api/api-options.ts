/** What the HTTP API is handed. */
import type { Namespace } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import type { Coordinator } from "../coordinator/coordinator.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { Access } from "./access.js";
import type { AuditRecord } from "./audit.js";
import type { JobOutputs } from "./job-outputs.js";
import type { Submissions } from "./submissions.js";

export interface ApiOptions {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly bus: Bus;
  readonly store: ObjectStore;
  readonly ports: Ports;
  readonly namespace: Namespace;
  /** Of Millrace. */
  readonly version: string;
  readonly access: Access;
  /** This process's coordinator, while it leads. */
  leader(): Coordinator | undefined;
  /** Makes jobs of what is sent; not there: nothing can be submitted here (a job that runs embedded has the process to itself). */
  readonly submissions?: Submissions;
  /** Not there: dead letters cannot be read here. */
  readonly outputs?: JobOutputs;
  /** Where content that belongs to jobs is. Default: `store`. */
  readonly contents?: ObjectStore;
  /** In Prometheus' text format. */
  metrics?(): Promise<string>;
  /** Origins whose pages may ask, such as `https://ops.example.org`. Default: none but the server's own. */
  readonly cors?: readonly string[];
  /** Names besides localhost that a server on loopback is known as, in lower case: of a proxy before it. */
  readonly hosts?: readonly string[];
  /** Takes every change, besides the log. */
  audit?(record: AuditRecord): void;
  /** Folder with the built page; not there: the page is not served. */
  readonly pages?: string;
}
