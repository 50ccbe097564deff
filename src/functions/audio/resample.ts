/**
 * Samples at another rate: a windowed sinc, as polyphase filter. Output sample n is the input at time n / rate; nothing is delayed.
 *
 * Kaiser window, 16 zero crossings on each side, cut-off at 94.5 % of the lower rate's half: what would alias is more than 80 dB down.
 * Julius O. Smith, "Digital Audio Resampling".
 */
import { setImmediate } from "node:timers/promises";

const ZERO_CROSSINGS = 16;
const CUT_OFF = 0.945;
const KAISER_BETA = 9;
/** Output samples that are computed before other work of the process has its turn. */
const BLOCK = 65_536;

/** @param samples interleaved. @returns interleaved, new, or `samples` itself where nothing changes */
export async function resample(
  samples: Float32Array,
  channels: number,
  fromRate: number,
  toRate: number,
  signal: AbortSignal,
): Promise<Float32Array> {
  if (fromRate === toRate) return samples;
  const divisor = gcd(fromRate, toRate);
  const filter = polyphase(fromRate / divisor, toRate / divisor);
  const frames = samples.length / channels;
  const made = new Float32Array(Math.round((frames * toRate) / fromRate) * channels);
  const framesInBlock = Math.max(1, Math.floor(BLOCK / channels));
  for (let first = 0; first < made.length / channels; first += framesInBlock) {
    const last = Math.min(first + framesInBlock, made.length / channels);
    for (let channel = 0; channel < channels; channel++)
      filterBlock(filter, samples, made, channels, channel, first, last);
    await setImmediate();
    signal.throwIfAborted();
  }
  return made;
}

interface Polyphase {
  /** Input samples and output samples of one round of the filter. */
  readonly down: number;
  readonly up: number;
  readonly cutOff: number;
  readonly taps: number;
  /** `taps` weights for each of the `up` phases, which are computed when they are first needed: odd rates have very many. */
  readonly weights: Float32Array;
  readonly computed: Uint8Array;
}

function filterBlock(
  filter: Polyphase,
  samples: Float32Array,
  made: Float32Array,
  channels: number,
  channel: number,
  first: number,
  last: number,
): void {
  const { down, up, taps, weights, computed } = filter;
  const frames = samples.length / channels;
  for (let n = first; n < last; n++) {
    const exact = n * down;
    const phase = exact % up;
    if (computed[phase] === 0) computePhase(filter, phase);
    const begin = (exact - phase) / up - taps / 2 + 1;
    let sum = 0;
    for (let k = Math.max(0, -begin), end = Math.min(taps, frames - begin); k < end; k++) {
      sum += weights[phase * taps + k]! * samples[(begin + k) * channels + channel]!;
    }
    made[n * channels + channel] = sum;
  }
}

function polyphase(down: number, up: number): Polyphase {
  const cutOff = CUT_OFF * Math.min(1, up / down);
  const taps = 2 * Math.ceil(ZERO_CROSSINGS / cutOff);
  return { down, up, cutOff, taps, weights: new Float32Array(up * taps), computed: new Uint8Array(up) };
}

function computePhase({ up, cutOff, taps, weights, computed }: Polyphase, phase: number): void {
  const half = taps / 2;
  const own = weights.subarray(phase * taps, (phase + 1) * taps);
  let sum = 0;
  for (let k = 0; k < taps; k++) {
    const distance = k - half + 1 - phase / up;
    const weight = cutOff * sinc(distance * cutOff) * kaiser(distance / half);
    own[k] = weight;
    sum += weight;
  }
  // Every phase passes a constant as it is.
  for (let k = 0; k < taps; k++) own[k]! /= sum;
  computed[phase] = 1;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** One half of the window; between its places there is a straight line, which is right to 7 digits. */
const KAISER_PLACES = 4_096;
const KAISER = Float64Array.from(
  { length: KAISER_PLACES + 2 },
  (_, i) => bessel(KAISER_BETA * Math.sqrt(Math.max(0, 1 - (i / KAISER_PLACES) ** 2))) / bessel(KAISER_BETA),
);

/** @param x from -1 to 1; outside the window is nothing */
function kaiser(x: number): number {
  const place = Math.abs(x) * KAISER_PLACES;
  if (place > KAISER_PLACES) return 0;
  const before = Math.floor(place);
  return KAISER[before]! + (place - before) * (KAISER[before + 1]! - KAISER[before]!);
}

/** Modified Bessel function of the first kind and order 0. */
function bessel(x: number): number {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** One channel from many: their mean. Many from one: copies. @returns undefined: how to mix them is not for us to say */
export function mixed(samples: Float32Array, channels: number, wanted: number): Float32Array | undefined {
  if (channels === wanted) return samples;
  const frames = samples.length / channels;
  const made = new Float32Array(frames * wanted);
  if (wanted === 1) {
    for (let i = 0; i < frames; i++) {
      let sum = 0;
      for (let channel = 0; channel < channels; channel++) sum += samples[i * channels + channel]!;
      made[i] = sum / channels;
    }
    return made;
  }
  if (channels !== 1) return undefined;
  for (let i = 0; i < frames; i++) made.fill(samples[i]!, i * wanted, (i + 1) * wanted);
  return made;
}
