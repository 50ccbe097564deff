/**
 * Finds which content of the job batches refer to: what snapshots and sinks have to say of it.
 *
 * Batches of columns that can hold none cost one look at their schema, once.
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { holdsContent, ownedContentOf } from "../types/content-refs.js";

/** SHA-256, lower-case hex, of what a batch refers to. */
export type OwnedIn = (batch: RecordBatch) => readonly string[];

const NOTHING: readonly string[] = [];

export const refersToNothing: OwnedIn = () => NOTHING;

/** @param prefix that addresses of owned content begin with, up to the hash; undefined: the job has none */
export function ownedIn(prefix: string | undefined): OwnedIn {
  if (prefix === undefined) return refersToNothing;
  const known = new WeakMap<Schema, boolean>();
  return (batch) => {
    let holds = known.get(batch.schema);
    if (holds === undefined) {
      holds = batch.schema.fields.some(holdsContent);
      known.set(batch.schema, holds);
    }
    return holds ? ownedContentOf(batch, prefix) : NOTHING;
  };
}

/** Of a text that holds addresses as they are, such as the JSON of a dead letter. */
export function ownedInText(text: string, prefix: string | undefined): readonly string[] {
  if (prefix === undefined) return NOTHING;
  const parts = text.split(prefix).slice(1);
  return parts.flatMap((part) => /^[0-9a-f]{64}(?![0-9a-f])/.exec(part) ?? []);
}
