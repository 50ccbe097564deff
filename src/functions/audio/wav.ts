/**
 * Uncompressed WAV (RIFF, little-endian, PCM or IEEE float): where its samples are, and what they are. Reading it here saves a process,
 * and says which bytes of a file a stretch of time is. Everything else is for ffmpeg.
 *
 * Microsoft, "Multiple channel audio data and WAVE files" (WAVE_FORMAT_EXTENSIBLE).
 */

export interface WavLayout {
  readonly encoding: "int" | "float";
  readonly bitsPerSample: number;
  /** Samples of one channel in a second. */
  readonly sampleRate: number;
  readonly channels: number;
  /** First byte of the samples within the file, and their number of bytes: whole frames. */
  readonly dataOffset: number;
  readonly dataBytes: number;
  /** Bytes of the samples of all channels at one time. */
  readonly frameBytes: number;
}

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
/** Of one file, before its samples; real ones have fewer than ten. */
const CHUNKS_MAX = 1_000;

/**
 * @param bytes the file, or its begin, as far as its samples at least
 * @param fileBytes of all of it
 * @returns undefined: it is no uncompressed WAV, not one that is read here, or its samples begin behind `bytes`
 */
export function wavLayout(bytes: Uint8Array, fileBytes = bytes.length): WavLayout | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (tag(view, 0) !== "RIFF" || tag(view, 8) !== "WAVE") return undefined;
  let format: Omit<WavLayout, "dataOffset" | "dataBytes"> | undefined;
  let at = 12;
  for (let chunks = 0; chunks < CHUNKS_MAX && at + 8 <= view.byteLength; chunks++) {
    const name = tag(view, at);
    const size = view.getUint32(at + 4, true);
    const body = at + 8;
    if (name === "fmt ") format = readFormat(view, body, Math.min(size, view.byteLength - body));
    if (name === "data")
      return format && { ...format, dataOffset: body, dataBytes: wholeFrames(fileBytes - body, size, format) };
    at = body + size + (size % 2); // chunks begin at even places
  }
  return undefined;
}

/** A writer that did not know the length wrote the largest number; a file that was cut off has fewer bytes than it says. */
function wholeFrames(rest: number, size: number, { frameBytes }: { readonly frameBytes: number }): number {
  const there = Math.min(size, rest);
  return there - (there % frameBytes);
}

function readFormat(view: DataView, at: number, size: number): Omit<WavLayout, "dataOffset" | "dataBytes"> | undefined {
  if (size < 16) return undefined;
  const said = view.getUint16(at, true);
  // The extensible form has the true format as the first two bytes of a GUID, 24 bytes in.
  const format = said === EXTENSIBLE && size >= 40 ? view.getUint16(at + 24, true) : said;
  const channels = view.getUint16(at + 2, true);
  const sampleRate = view.getUint32(at + 4, true);
  const bitsPerSample = view.getUint16(at + 14, true);
  const known =
    format === PCM ? [8, 16, 24, 32].includes(bitsPerSample) : format === FLOAT && [32, 64].includes(bitsPerSample);
  const frameBytes = (channels * bitsPerSample) / 8;
  if (!known || channels < 1 || sampleRate < 1 || view.getUint16(at + 12, true) !== frameBytes) return undefined;
  return { encoding: format === PCM ? "int" : "float", bitsPerSample, sampleRate, channels, frameBytes };
}

function tag(view: DataView, at: number): string {
  if (at + 4 > view.byteLength) return "";
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
}

/** The samples, interleaved, from -1 to 1. */
export function wavSamples(bytes: Uint8Array, layout: WavLayout): Float32Array {
  const { dataOffset, dataBytes, bitsPerSample } = layout;
  const view = new DataView(bytes.buffer, bytes.byteOffset + dataOffset, dataBytes);
  const step = bitsPerSample / 8;
  const samples = new Float32Array(dataBytes / step);
  const read = reader(view, layout);
  for (let i = 0; i < samples.length; i++) samples[i] = read(i * step);
  return samples;
}

function reader(view: DataView, { encoding, bitsPerSample }: WavLayout): (at: number) => number {
  if (encoding === "float")
    return bitsPerSample === 32 ? (at) => view.getFloat32(at, true) : (at) => view.getFloat64(at, true);
  if (bitsPerSample === 8) return (at) => (view.getUint8(at) - 128) / 128; // the only one without a sign
  if (bitsPerSample === 16) return (at) => view.getInt16(at, true) / 0x8000;
  if (bitsPerSample === 24) return (at) => (view.getInt16(at + 1, true) * 256 + view.getUint8(at)) / 0x80_0000;
  return (at) => view.getInt32(at, true) / 0x8000_0000;
}
