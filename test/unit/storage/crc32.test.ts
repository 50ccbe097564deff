import assert from "node:assert/strict";
import { Crc32 } from "../../../src/storage/crc32.js";
import { bytes } from "../../conformance/bus-support.js";

describe("storage/crc32: as S3 writes it in headers", () => {
  const of = (...pieces: readonly string[]) => {
    const crc = new Crc32();
    for (const piece of pieces) crc.add(bytes(piece));
    return crc.toString();
  };
  const base64 = (hex: string) => Buffer.from(hex, "hex").toString("base64");

  for (const [content, hex] of [
    ["", "00000000"],
    ["123456789", "cbf43926"], // the check value of CRC-32/ISO-HDLC
    ["a", "e8b7be43"],
    ["k", "0862575d"], // begins with a zero, as a number would lose it
  ] as const) {
    it(`gives ${hex} for "${content}", the highest byte first`, () => {
      assert.equal(of(content), base64(hex));
    });
  }

  it("is that of the whole, in whatever pieces it came", () => {
    assert.equal(of("12", "", "3456", "789"), of("123456789"));
    assert.notEqual(of("21"), of("12"));
  });
});
