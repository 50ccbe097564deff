/** Samples as columns have them. */
import { MillraceError } from "../../base/errors.js";
import type { ContentAccess } from "../../topology/endpoints.js";
import type { t } from "../../types/columns.js";
import { inline, type Samples } from "../../types/content-types.js";

export type SamplesType = ReturnType<typeof t.samples>;

export interface Sound {
  /** Interleaved. */
  readonly samples: Float32Array;
  readonly sampleRate: number;
  readonly channels: number;
}

/** The bytes are shared, not copied. */
export function samplesValue({ samples, sampleRate, channels }: Sound): Samples {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  return { ...inline(bytes, ""), sampleRate, channels };
}

/** @throws {MillraceError} `MILL_MEDIA_INVALID`: its bytes are not whole frames */
export async function readSamples(
  value: Samples,
  content: Pick<ContentAccess, "bytes">,
  signal: AbortSignal,
): Promise<Float32Array> {
  const bytes = await content.bytes(value, signal);
  if (value.channels < 1 || bytes.length % (value.channels * Float32Array.BYTES_PER_ELEMENT) !== 0) {
    throw new MillraceError(
      "MILL_MEDIA_INVALID",
      `its ${bytes.length} bytes are no float32 samples of ${value.channels} channels.`,
    );
  }
  // A view of a batch begins where it happens to; floats begin at multiples of four.
  const aligned = bytes.byteOffset % Float32Array.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / Float32Array.BYTES_PER_ELEMENT);
}
