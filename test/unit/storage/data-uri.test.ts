import assert from "node:assert/strict";
import { bytesOfDataUri } from "../../../src/storage/data-uri.js";

const text = (uri: string) => Buffer.from(bytesOfDataUri(uri)).toString("latin1");

describe("storage/data-uri", () => {
  for (const [uri, expected] of [
    ["data:,abc", "abc"],
    ["data:text/plain;charset=utf-8,a%20b%2Cc,d", "a b,c,d"],
    ["data:;base64,YWJj", "abc"],
    ["data:image/png;base64,YWI=", "ab"],
    ["DATA:image/png;BASE64,YWI", "ab"],
    ["data:image/png;base64,YWI%3D", "ab"],
    ["data:application/octet-stream,%ff%00", "\xff\x00"],
    ["data:,", ""],
  ] as const) {
    it(`${uri} is ${JSON.stringify(expected)}`, () => {
      assert.equal(text(uri), expected);
    });
  }

  for (const uri of ["data:abc", "data:;base64,a*b", "data:,%4", "data:,%zz"]) {
    it(`${uri} is MILL_CONTENT_ADDRESS`, () => {
      assert.throws(() => bytesOfDataUri(uri), { code: "MILL_CONTENT_ADDRESS" });
    });
  }

  it("a message repeats the beginning of an address, not all of it", () => {
    assert.throws(
      () => bytesOfDataUri(`data:image/png;base64,${"?".repeat(10_000)}`),
      (error: Error) => error.message.length < 250,
    );
  });
});
