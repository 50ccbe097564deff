/** CRC32 as S3 writes it in headers: four bytes, the highest first, in base64. */
import { crc32 } from "node:zlib";

export class Crc32 {
  #value = 0;

  add(bytes: Uint8Array): void {
    // zlib takes an empty array for none, and begins again.
    if (bytes.length > 0) this.#value = crc32(bytes, this.#value);
  }

  toString(): string {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(this.#value);
    return bytes.toString("base64");
  }
}
