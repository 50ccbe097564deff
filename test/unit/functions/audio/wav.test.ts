import assert from "node:assert/strict";
import { wavLayout, wavSamples } from "../../../../src/functions/audio/wav.js";
import { wavFile } from "./wav-file.js";

describe("functions/audio/wav: uncompressed WAV", () => {
  for (const [format, bits] of [
    ["int", 8],
    ["int", 16],
    ["int", 24],
    ["int", 32],
    ["float", 32],
    ["float", 64],
  ] as const) {
    it(`reads samples of ${bits} bits, ${format}, from -1 to 1, interleaved`, () => {
      const bytes = wavFile([0, 0.5, -0.5, -1], {
        encoding: format,
        bitsPerSample: bits,
        channels: 2,
        sampleRate: 8_000,
      });
      const layout = wavLayout(bytes)!;
      assert.deepEqual(layout, {
        encoding: format,
        bitsPerSample: bits,
        sampleRate: 8_000,
        channels: 2,
        dataOffset: 44,
        dataBytes: (4 * bits) / 8,
        frameBytes: (2 * bits) / 8,
      });
      assert.deepEqual([...wavSamples(bytes, layout)], [0, 0.5, -0.5, -1]);
    });
  }

  it("finds the samples behind chunks that it does not know, of odd length too", () => {
    const bytes = wavFile([0, 0.5], { chunksBefore: [{ name: "LIST", bytes: new Uint8Array(5) }] });
    const layout = wavLayout(bytes)!;
    assert.equal(layout.dataOffset, 44 + 8 + 6);
    assert.deepEqual([...wavSamples(bytes, layout)], [0, 0.5]);
  });

  it("a file that was cut off has the whole frames that are there, as has one whose length was not known", () => {
    const whole = wavFile([0, 0.5, -0.5], { channels: 1 });
    assert.equal(wavLayout(whole.subarray(0, whole.length - 1))!.dataBytes, 4);
    new DataView(whole.buffer, whole.byteOffset).setUint32(40, 0xffff_ffff, true);
    assert.equal(wavLayout(whole)!.dataBytes, 6);
  });

  it("the begin of a file is enough, if it says how large the file is", () => {
    const whole = wavFile([0, 0.5, -0.5, 1], { channels: 2 });
    assert.deepEqual(wavLayout(whole.subarray(0, 44), whole.length), wavLayout(whole));
    assert.equal(wavLayout(whole.subarray(0, 43), whole.length), undefined);
  });

  it("anything else is none: compressed, no format, other files, nothing", () => {
    const bytes = wavFile([0, 0.5]);
    const compressed = Uint8Array.from(bytes);
    compressed[20] = 2; // ADPCM
    const noFormat = Uint8Array.from(bytes);
    noFormat[12] = 0x20;
    for (const other of [compressed, noFormat, new Uint8Array(0), bytes.subarray(0, 30), new Uint8Array(100)]) {
      assert.equal(wavLayout(other), undefined);
    }
  });

  it("lengths that lie lead nowhere outside the file", () => {
    const bytes = wavFile([0, 0.5]);
    for (let at = 0; at < 44; at++) {
      for (const value of [0, 0x7f, 0x80, 0xff]) {
        const changed = Uint8Array.from(bytes);
        changed[at] = value;
        const layout = wavLayout(changed);
        if (layout === undefined) continue;
        assert.ok(layout.dataOffset + layout.dataBytes <= changed.length);
        wavSamples(changed, layout);
      }
    }
  });
});
