/** What the HTTP API is handed. */
import type { Namespace } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import type { Coordinator } from "../coordinator/coordinator.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { Access } from "./access.js";
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
  /** In Prometheus' text format. */
  metrics?(): Promise<string>;
  /** Folder with the built page; not there: the page is not served. */
  readonly pages?: string;
}
