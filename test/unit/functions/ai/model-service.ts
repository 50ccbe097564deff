/** Loads the handler of a service as an instance would, and asks it for a batch. */
import { join } from "node:path";
import type { Service } from "../../../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../../../src/types/batches.js";
import type { Columns, Row } from "../../../../src/types/columns.js";
import { packageRoot } from "../../../servers/find.js";
import { callContext, loadContext } from "../../services/handlers/contexts.js";
import { contextOf } from "../functions-support.js";

export interface Asked<O extends Columns> {
  readonly rows: Row<O>[];
  /** By row. */
  readonly refused: Map<number, { readonly code: string; readonly message: string }>;
}

export interface Running<O extends Columns> {
  ask(rows: readonly Row<Columns>[]): Promise<Asked<O>>;
  stop(): Promise<void>;
}

export async function start<I extends Columns, O extends Columns>(service: Service<I, O>): Promise<Running<O>> {
  const { input, output, handler } = service;
  const { content } = contextOf();
  const asset = (name: string) => placeOf(handler.assets[name]!);
  const loaded = await handler.load(loadContext({ service: service.id, input, output, asset, content }));
  await loaded.warm?.();
  return {
    async ask(rows) {
      const refused: Asked<O>["refused"] = new Map();
      const call = callContext({ content, reject: (row, error) => void refused.set(row, error as never) });
      const answer = await loaded.infer(batchFromRows(input, rows as never), call);
      return { rows: rowsOf(output, answer), refused };
    },
    stop: async () => loaded.unload?.(),
  };
}

/** `npm:package/file`, or a path as it is. */
function placeOf(asset: string): string {
  return asset.startsWith("npm:") ? join(packageRoot(), "node_modules", asset.slice(4)) : asset;
}
