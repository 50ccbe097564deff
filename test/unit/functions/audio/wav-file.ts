/** Writes WAV files for tests. */
export interface WavFileOptions {
  readonly encoding?: "int" | "float";
  readonly bitsPerSample?: number;
  readonly channels?: number;
  readonly sampleRate?: number;
  readonly chunksBefore?: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

/** @param samples from -1 to 1, interleaved */
export function wavFile(samples: ArrayLike<number>, options: WavFileOptions = {}): Uint8Array {
  const { encoding = "int", bitsPerSample = 16, channels = 1, sampleRate = 16_000, chunksBefore = [] } = options;
  const step = bitsPerSample / 8;
  const data = Buffer.alloc(samples.length * step);
  for (let i = 0; i < samples.length; i++) {
    const [value, at] = [samples[i]!, i * step];
    const full = Math.min(2 ** (bitsPerSample - 1) - 1, Math.round(value * 2 ** (bitsPerSample - 1)));
    if (encoding === "float") bitsPerSample === 32 ? data.writeFloatLE(value, at) : data.writeDoubleLE(value, at);
    else if (bitsPerSample === 8) data.writeUInt8(full + 128, at);
    else data.writeIntLE(full, at, step);
  }
  const format = Buffer.alloc(16);
  format.writeUInt16LE(encoding === "int" ? 1 : 3, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(sampleRate, 4);
  format.writeUInt32LE(sampleRate * channels * step, 8);
  format.writeUInt16LE(channels * step, 12);
  format.writeUInt16LE(bitsPerSample, 14);
  const body = Buffer.concat([
    Buffer.from("WAVE"),
    chunk("fmt ", format),
    ...chunksBefore.map(({ name, bytes }) => chunk(name, bytes)),
    chunk("data", data),
  ]);
  return new Uint8Array(chunk("RIFF", body));
}

function chunk(name: string, bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.write(name, "latin1");
  head.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([head, bytes, Buffer.alloc(bytes.length % 2)]);
}

export function sine(hertz: number, seconds: number, sampleRate: number): Float32Array {
  const samples = new Float32Array(Math.round(seconds * sampleRate));
  return samples.map((_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * i) / sampleRate));
}

/** Two channels that are the same. */
export function twice(samples: Float32Array): Float32Array {
  return Float32Array.from({ length: samples.length * 2 }, (_, i) => samples[i >> 1]!);
}
