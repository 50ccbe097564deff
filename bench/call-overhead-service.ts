/** What both processes of `call-overhead.ts` know: an echo of bytes, declared as a user would who sets nothing. */
import type { InstanceId, JobId, Namespace } from "../src/base/ids.js";
import { type Service, service } from "../src/topology/service.js";
import { t } from "../src/types/columns.js";

export const namespace = "bench" as Namespace;
export const job = "call-overhead" as JobId;
export const instance = "echo-0" as InstanceId;
export const rawSubject = "mr.bench.raw.echo";

export const columns = { bytes: t.binary };

export const echo = service("echo", {
  input: columns,
  output: columns,
  handler: { kind: "echo", assets: {}, load: async () => ({ infer: async (batch) => batch }) },
}) as unknown as Service;
