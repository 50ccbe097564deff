/** What a snapshot keeps of a checkpoint's entries until they are published: `schemas/stored/exchange-pending.avsc`, then they. */
import { MillraceError } from "../base/errors.js";
import { type ExchangePending, exchangePendingFrame } from "../wire/exchange-frames.js";

const LENGTH_BYTES = 4;

/** @param entries for each partition, in the order of publication */
export function encodePending(
  header: Omit<ExchangePending, "entries">,
  entries: readonly (readonly Uint8Array[])[],
): Uint8Array {
  const pieces = entries.flatMap((some, partition) => some.map((bytes) => ({ partition, size: bytes.byteLength })));
  const head = exchangePendingFrame.encode({ ...header, entries: pieces });
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(head.byteLength);
  return Buffer.concat([length, head, ...entries.flat()]);
}

/** @returns the header, and the entries of each partition: views of `bytes` */
export function decodePending(bytes: Uint8Array): {
  readonly header: ExchangePending;
  readonly entries: readonly (readonly Uint8Array[])[];
} {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < LENGTH_BYTES) throw broken(bytes);
  let at = LENGTH_BYTES + view.getUint32(0, true);
  const { header } = exchangePendingFrame.decode(bytes.subarray(LENGTH_BYTES, at));
  const entries: Uint8Array[][] = header.partitions.map(() => []);
  for (const { partition, size } of header.entries) {
    const lane = entries[partition];
    if (lane === undefined || size < 0 || at + size > bytes.byteLength) throw broken(bytes);
    lane.push(bytes.subarray(at, at + size));
    at += size;
  }
  if (at !== bytes.byteLength) throw broken(bytes);
  return { header, entries };
}

function broken(bytes: Uint8Array): MillraceError {
  return new MillraceError(
    "MILL_FRAME_INVALID",
    `the snapshot of a durable exchange's writer is broken: its ${bytes.byteLength} bytes do not hold what they list.`,
  );
}
