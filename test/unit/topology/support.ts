/** Sources, sinks and services that are only declared: nothing here is ever run. */
import type { Sink, Source } from "../../../src/topology/endpoints.js";
import type { Topology } from "../../../src/topology/nodes.js";
import type { Handler, Service } from "../../../src/topology/service.js";
import { service } from "../../../src/topology/service.js";
import type { TopologyBuilder } from "../../../src/topology/topology.js";
import { topology } from "../../../src/topology/topology.js";
import type { Columns } from "../../../src/types/columns.js";
import { t } from "../../../src/types/columns.js";

export function sourceOf<C extends Columns>(columns: C): Source<C> {
  return {
    kind: "declared",
    columns,
    describe: "declared source",
    async *splits() {},
    async *read() {},
  };
}

export const nowhere: Sink = {
  kind: "declared",
  describe: "declared sink",
  url: "nowhere",
  check() {},
  open: () => Promise.reject(new Error("declared only")),
};

export function serviceOf<I extends Columns, O extends Columns>(
  name: string,
  input: I,
  output: O,
  instances = 1,
): Service<I, O> {
  const handler: Handler<I, O> = {
    kind: "declared",
    assets: {},
    load: () => Promise.reject(new Error("declared only")),
  };
  return service(name, { input, output, handler, instances });
}

/** A page with its lines. */
export const pageColumns = {
  name: t.utf8,
  size: t.int32,
  lines: t.list(t.struct({ text: t.utf8 })),
  note: t.optional(t.utf8),
};
export const pages = sourceOf(pageColumns);

/** A topology whose streams a test defines; those it leaves open do not matter to it. */
export function built(define: (job: TopologyBuilder) => void): Topology {
  return topology("test", define).build({});
}
