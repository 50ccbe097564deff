import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { PART_HEADER, PART_HEADER_BYTES_MAX, Reassembly, split } from "../../../src/bus/nats-parts.js";
import { pattern, recordingPorts, sameBytes } from "../../conformance/bus-support.js";

const MAX_PAYLOAD = 1000 + PART_HEADER_BYTES_MAX;

/** The parts of `payload` as a subscriber gets them. */
function parts(payload: Uint8Array, number = 1, publisher = "p"): { header: string; data: Uint8Array }[] {
  const all = [...split(payload, MAX_PAYLOAD, publisher, number)];
  return all.map((part) => ({ header: part.headers.get(PART_HEADER), data: part.payload }));
}

describe("bus/nats-parts: putting split payloads together", () => {
  let lines: ReturnType<typeof recordingPorts>["lines"];
  let reassembly: Reassembly;
  beforeEach(() => {
    const recording = recordingPorts();
    lines = recording.lines;
    reassembly = new Reassembly(recording.ports.log);
  });
  const feed = (list: { header: string; data: Uint8Array }[], subject = "mr.a") =>
    list.map(({ header, data }) => reassembly.add(subject, header, data, undefined)).filter((whole) => whole);

  it("keeps every part with its header within max_payload", () => {
    for (const part of split(pattern(10_500), MAX_PAYLOAD, "x".repeat(12), 999_999_999)) {
      const headerBytes = `NATS/1.0\r\n${PART_HEADER}: ${part.headers.get(PART_HEADER)}\r\n\r\n`.length;
      assert.ok(part.payload.byteLength + headerBytes <= MAX_PAYLOAD);
    }
  });

  it("delivers a payload once, with its last part, aligned to 8 bytes (P1)", () => {
    const payload = pattern(10_500);
    const list = parts(payload);
    assert.equal(list.length, 11);
    assert.deepEqual(feed(list.slice(0, -1)), []);
    const [whole] = feed(list.slice(-1));
    sameBytes(whole?.payload, payload);
    assert.equal((whole?.payload.byteOffset ?? 1) % 8, 0);
  });

  it("keeps publishers and subjects apart", () => {
    const [one, two, three] = [
      parts(pattern(2500, 1), 1, "p"),
      parts(pattern(2500, 2), 1, "q"),
      parts(pattern(2500, 3), 2, "p"),
    ];
    for (const i of [0, 1]) {
      feed(one.slice(i, i + 1));
      feed(two.slice(i, i + 1));
      feed(three.slice(i, i + 1), "mr.b");
    }
    sameBytes(feed(one.slice(2))[0]?.payload, pattern(2500, 1));
    sameBytes(feed(two.slice(2))[0]?.payload, pattern(2500, 2));
    sameBytes(feed(three.slice(2), "mr.b")[0]?.payload, pattern(2500, 3));
  });

  for (const missing of [0, 1, 2]) {
    it(`drops a payload that lacks part ${missing}, and takes the next one (P1)`, () => {
      assert.deepEqual(feed(parts(pattern(2500), 1).filter((_, i) => i !== missing)), []);
      assert.equal(feed(parts(pattern(2500), 2)).length, 1);
    });
  }

  it("drops an unfinished payload when its publisher begins another on the subject, and says so (P2)", () => {
    const old = parts(pattern(2500), 1);
    feed(old.slice(0, 2));
    assert.equal(feed(parts(pattern(1500), 2)).length, 1);
    assert.deepEqual(feed(old.slice(2)), []);
    assert.ok(lines.some(({ level, message }) => level === "warn" && message.includes("has begun another")));
  });

  it("forgets what is unfinished on clear", () => {
    const list = parts(pattern(2500));
    feed(list.slice(0, 2));
    reassembly.clear();
    assert.deepEqual(feed(list.slice(2)), []);
  });

  it("drops the one that waits longest for a part when too many are unfinished (P3)", () => {
    const total = limits.frameBytesMax;
    const fitting = Math.floor(limits.busReassemblyBytesMax / total);
    const first = (publisher: string) => ({ header: `${publisher}.1 0/${total}`, data: new Uint8Array(10) });
    for (let i = 0; i <= fitting; i++) feed([first(`p${i}`)]);
    const drops = lines.filter(({ message }) => message.includes("limits.busReassemblyBytesMax"));
    assert.equal(drops.length, 1);
    assert.deepEqual(feed([{ header: `p0.1 10/${total}`, data: new Uint8Array(10) }]), []);
  });

  for (const header of ["", "p.1", "p.1 0/-5", "p.1 0/99999999999", "p.1 x/10", `p.1 0/${limits.frameBytesMax + 1}`]) {
    it(`drops a part with the header ${JSON.stringify(header)} without an allocation, and logs it`, () => {
      assert.deepEqual(feed([{ header, data: new Uint8Array(1) }]), []);
      assert.ok(lines.some(({ level }) => level === "error"));
    });
  }

  it("does not write beyond the total that the first part stated", () => {
    assert.deepEqual(feed([{ header: "p.1 0/10", data: new Uint8Array(11) }]), []);
    feed([{ header: "p.2 0/10", data: new Uint8Array(6) }]);
    assert.deepEqual(feed([{ header: "p.2 6/10", data: new Uint8Array(6) }]), []);
  });
});
