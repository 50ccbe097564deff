/**
 * What a durable exchange writes: entries of its logs, and what its writers and readers keep in checkpoints.
 * Meaning and range of every field: `schemas/exchange-entry.avsc`, `schemas/stored/exchange-*.avsc`.
 */
import { MillraceError } from "../base/errors.js";
import { frame } from "./frame.js";
import type { SchemaFields, WithDefaults } from "./frames.js";

export interface ExchangeContent {
  readonly uri: string;
  readonly sizeBytes: bigint;
  readonly sha256: string;
}

export interface ExchangeEntryHeader extends SchemaFields {
  readonly writer: string;
  readonly checkpoint: bigint;
  readonly index: number;
  readonly last: boolean;
  readonly previous: bigint;
  readonly more: boolean;
  readonly end: boolean;
  readonly rows: number;
  readonly content: ExchangeContent | null;
  /** Empty: not traced. */
  readonly traceparent: string;
}

export interface ExchangePartition {
  readonly previous: bigint;
  readonly published: bigint;
}

export interface ExchangePiece {
  readonly partition: number;
  readonly size: number;
}

export interface ExchangePending {
  readonly writer: string;
  readonly checkpoint: bigint;
  readonly ended: boolean;
  readonly partitions: readonly ExchangePartition[];
  readonly entries: readonly ExchangePiece[];
}

export interface ExchangeWriterPosition {
  readonly writer: string;
  readonly checkpoint: bigint;
  readonly index: number;
  readonly last: boolean;
  readonly ended: boolean;
}

export interface ExchangePosition {
  readonly next: bigint;
  readonly writers: readonly ExchangeWriterPosition[];
  readonly seed: bigint;
  readonly seedBatches: number;
  readonly incarnation: string;
}

export interface ExchangeEntries {
  readonly operator: string;
  readonly partition: number;
  readonly number: bigint;
  readonly last: boolean;
  readonly sizes: readonly number[];
}

export const exchangeEntryFrame: WithDefaults<ExchangeEntryHeader, "traceparent"> =
  frame<ExchangeEntryHeader>("exchange-entry");
export const exchangePendingFrame = frame<ExchangePending>("exchange-pending");
export const exchangePositionFrame = frame<ExchangePosition>("exchange-position");
export const exchangeEntriesFrame = frame<ExchangeEntries>("exchange-entries");

/** An object of entries: `schemas/stored/exchange-entries.avsc`. */
export function packEntries(header: Omit<ExchangeEntries, "sizes">, entries: readonly Uint8Array[]): Uint8Array {
  return exchangeEntriesFrame.encode({ ...header, sizes: entries.map(({ byteLength }) => byteLength) }, entries);
}

/** @returns the header, and the entries: views of `bytes` @throws {MillraceError} `MILL_FRAME_INVALID` */
export function unpackEntries(bytes: Uint8Array): {
  readonly header: ExchangeEntries;
  readonly entries: readonly Uint8Array[];
} {
  const { header, payload } = exchangeEntriesFrame.decode(bytes);
  let at = 0;
  const entries = header.sizes.map((size) => {
    if (size < 0) throw broken(header);
    at += size;
    return payload.subarray(at - size, at);
  });
  if (at !== payload.byteLength) throw broken(header);
  return { header, entries };
}

function broken({ operator, partition, number }: ExchangeEntries): MillraceError {
  return new MillraceError(
    "MILL_FRAME_INVALID",
    `object ${number} of partition ${partition} of durable exchange "${operator}" is broken: it does not hold the entries that it lists.`,
  );
}
