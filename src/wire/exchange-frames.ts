/**
 * What a durable exchange writes: entries of its logs, and what its writers and readers keep in checkpoints.
 * Meaning and range of every field: `schemas/exchange-entry.avsc`, `schemas/stored/exchange-*.avsc`.
 */
import { frame } from "./frame.js";
import type { SchemaFields } from "./frames.js";

export interface ExchangeEntryHeader extends SchemaFields {
  readonly writer: string;
  readonly checkpoint: bigint;
  readonly index: number;
  readonly last: boolean;
  readonly previous: bigint;
  readonly more: boolean;
  readonly end: boolean;
  readonly rows: number;
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
}

export const exchangeEntryFrame = frame<ExchangeEntryHeader>("exchange-entry");
export const exchangePendingFrame = frame<ExchangePending>("exchange-pending");
export const exchangePositionFrame = frame<ExchangePosition>("exchange-position");
