/**
 * CRC-64-AVRO (Rabin) fingerprints of Avro schemas: eight bytes that name a schema in every frame.
 * Source: Avro 1.12.0 specification, "Schema Fingerprints".
 */

const EMPTY = 0xc15d213aa4d7a795n;

const TABLE = Array.from({ length: 256 }, (_, i) => {
  let value = BigInt(i);
  for (let bit = 0; bit < 8; bit++) value = (value >> 1n) ^ (EMPTY & -(value & 1n));
  return BigInt.asUintN(64, value);
});

/** @param canonical  a schema in Parsing Canonical Form */
export function fingerprint(canonical: string): bigint {
  let value = EMPTY;
  for (const byte of Buffer.from(canonical)) value = (value >> 8n) ^ TABLE[Number((value ^ BigInt(byte)) & 0xffn)]!;
  return value;
}
