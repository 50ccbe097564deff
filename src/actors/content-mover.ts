/**
 * Moves the bytes of content out of a batch that leaves its actor: what is above the limit is put, and becomes a reference.
 *
 * Invariants:
 *   V1  A batch without content above the limit passes as it is: nothing is copied, and nobody waits.
 *   V2  What is handed on refers only to content that the store has.
 *   V3  The same batch becomes the same rows, whoever moves it and however often: references have the hash in their address. Rows keep
 *       their lineage.
 *   V4  Of columns that have no content nothing is looked at: that is decided once for each way out.
 */
import { Data, RecordBatch, type Schema, Type } from "apache-arrow";
import { invariant } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { ContentAccess } from "../topology/endpoints.js";
import { traced } from "../types/batch-trace.js";
import { batchFromColumns } from "../types/batches.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { span } from "../types/concat.js";
import { contentColumns, isContentType } from "../types/content-types.js";
import { lineageOf, withLineage } from "../types/lineage.js";

/** The batch, or one with references in place of its large bytes, once the store has those. */
export type MoveOut = (batch: RecordBatch) => RecordBatch | Promise<RecordBatch>;

export const staysAsItIs: MoveOut = (batch) => batch;

type FieldLike = Schema["fields"][number];
type ContentColumn = keyof typeof contentColumns;

/** Where content is in a type: the value itself, parts of a struct, or elements of a list. */
type Shape =
  | { readonly kind: "content"; readonly at: Readonly<Record<ContentColumn, number>> }
  | { readonly kind: "struct"; readonly parts: ReadonlyMap<number, Shape> }
  | { readonly kind: "list"; readonly item: Shape };

/** Bytes of one value that are to be put, and the reference that they became. */
interface Large {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  readonly done: { uri: string; sha256: string };
}

export class ContentMover {
  /** A batch may leave on several ways. */
  #moved = new WeakMap<RecordBatch, Promise<RecordBatch>>();

  constructor(
    private readonly content: Pick<ContentAccess, "put">,
    private readonly limitBytes: number,
  ) {}

  /** For batches with these columns (V4). */
  outOf(columns: Columns): MoveOut {
    const shapes = new Map<number, Shape>();
    for (const [i, field] of arrowSchema(columns).fields.entries()) {
      const shape = shapeOf(field);
      if (shape !== undefined) shapes.set(i, shape);
    }
    if (shapes.size === 0) return staysAsItIs;
    return (batch) => {
      const known = this.#moved.get(batch);
      if (known !== undefined) return known;
      if (![...shapes].some(([i, shape]) => this.#hasLarge(batch.data.children[i]!, shape))) return batch;
      const moved = this.#move(batch, shapes);
      this.#moved.set(batch, moved);
      moved.catch(() => this.#moved.delete(batch)); // met by whoever asked; another may try again
      return moved;
    };
  }

  async #move(batch: RecordBatch, shapes: ReadonlyMap<number, Shape>): Promise<RecordBatch> {
    const large: Large[] = [];
    const make = [...shapes].map(([i, shape]) => [i, this.#take(batch.data.children[i]!, shape, large)] as const);
    await this.#put(large);
    const children = [...batch.data.children];
    for (const [i, made] of make) children[i] = made();
    const data = batch.data.clone(batch.data.type, batch.data.offset, batch.numRows, 0, undefined, children as never);
    return withLineage(traced(new RecordBatch(batch.schema, data), batch), lineageOf(batch));
  }

  async #put(large: readonly Large[]): Promise<void> {
    let next = 0;
    const lane = async () => {
      while (next < large.length) {
        const { bytes, mediaType, done } = large[next++]!;
        const { uri, sha256 } = await this.content.put(bytes, { mediaType });
        Object.assign(done, { uri, sha256 });
      }
    };
    await Promise.all(Array.from({ length: Math.min(limits.contentPutsInFlight, large.length) }, lane));
  }

  #hasLarge(data: Data, shape: Shape): boolean {
    if (shape.kind === "list") return this.#hasLarge(data.children[0]!.slice(...span(data)), shape.item);
    if (shape.kind === "struct") {
      return [...shape.parts].some(([i, part]) => this.#hasLarge(data.children[i]!, part));
    }
    const { valueOffsets } = data.children[shape.at.bytes]!;
    for (let row = 0; row < data.length; row++) if (this.#isLarge(valueOffsets, row)) return true;
    return false;
  }

  #isLarge(offsets: Data["valueOffsets"], row: number): boolean {
    return offsets[row + 1]! - offsets[row]! > this.limitBytes;
  }

  /**
   * Collects what is large.
   * @returns how to make the data anew once all of that has been put
   */
  #take(data: Data, shape: Shape, large: Large[]): () => Data {
    if (!this.#hasLarge(data, shape)) return () => data;
    if (shape.kind === "content") return this.#takeContent(data, shape.at, large);
    if (shape.kind === "struct") {
      const make = [...shape.parts].map(([i, part]) => [i, this.#take(data.children[i]!, part, large)] as const);
      return () => {
        const children = [...data.children];
        for (const [i, made] of make) children[i] = made();
        return withParts(data, data.valueOffsets, children);
      };
    }
    const [start, count] = span(data);
    const item = this.#take(data.children[0]!.slice(start, count), shape.item, large);
    const offsets = data.valueOffsets.slice(0, data.length + 1).map((offset: number) => offset - start);
    return () => withParts(data, offsets, [item()]);
  }

  #takeContent(data: Data, at: Readonly<Record<ContentColumn, number>>, large: Large[]): () => Data {
    const values = (name: ContentColumn) => data.children[at[name]]!;
    const [bytes, types] = [values("bytes"), values("mediaType")];
    const moved = new Map<number, Large>();
    for (let row = 0; row < data.length; row++) {
      if (!this.#isLarge(bytes.valueOffsets, row)) continue;
      const one = { bytes: bytesAt(bytes, row), mediaType: textAt(types, row), done: { uri: "", sha256: "" } };
      moved.set(row, one);
      large.push(one);
    }
    const rows = Array.from({ length: data.length }, (_, row) => row);
    return () => {
      // Values of rows that are null as a whole are never looked at; empty ones take no room.
      const made = batchFromColumns(contentColumns, {
        uri: rows.map((row) => moved.get(row)?.done.uri ?? textAt(values("uri"), row)),
        offset: rows.map((row) => (moved.has(row) ? 0n : (values("offset").values[row] as bigint))),
        sizeBytes: rows.map((row) => {
          const one = moved.get(row);
          return one === undefined ? (values("sizeBytes").values[row] as bigint) : BigInt(one.bytes.length);
        }),
        sha256: rows.map((row) => moved.get(row)?.done.sha256 ?? textAt(values("sha256"), row)),
        mediaType: rows.map((row) => textAt(types, row)),
        bytes: rows.map((row) => (moved.has(row) || !bytes.getValid(row) ? null : bytesAt(bytes, row))),
      });
      const children = [...data.children];
      for (const [i, name] of Object.keys(contentColumns).entries()) {
        children[at[name as ContentColumn]] = made.data.children[i]!;
      }
      return withParts(data, data.valueOffsets, children);
    };
  }
}

function shapeOf(field: FieldLike): Shape | undefined {
  const children = (field.type.children ?? []) as FieldLike[];
  if (isContentType(field)) {
    const at = Object.keys(contentColumns).map((name) => [name, children.findIndex((child) => child.name === name)]);
    invariant(
      at.every(([, i]) => Number(i) >= 0),
      `the type of "${field.name}" has the content columns`,
    );
    return { kind: "content", at: Object.fromEntries(at) as Record<ContentColumn, number> };
  }
  if (field.type.typeId === Type.List) {
    const item = shapeOf(children[0]!);
    return item && { kind: "list", item };
  }
  if (field.type.typeId !== Type.Struct) return undefined;
  const parts = new Map<number, Shape>();
  for (const [i, child] of children.entries()) {
    const shape = shapeOf(child);
    if (shape !== undefined) parts.set(i, shape);
  }
  return parts.size === 0 ? undefined : { kind: "struct", parts };
}

/** The same data with other parts; which of its values are null stays. */
function withParts(data: Data, offsets: Data["valueOffsets"], children: readonly Data[]): Data {
  const buffers = [offsets, data.values, data.nullBitmap, data.typeIds];
  return new Data(data.type, data.offset, data.length, data.nullCount, buffers as never, children as Data[]);
}

function bytesAt(data: Data, row: number): Uint8Array {
  return (data.values as Uint8Array).subarray(data.valueOffsets[row], data.valueOffsets[row + 1]);
}

function textAt(data: Data, row: number): string {
  return Buffer.from(bytesAt(data, row)).toString("utf8");
}
