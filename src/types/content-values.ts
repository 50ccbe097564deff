/** What content must be before a column takes it, whoever made it: that it is somewhere, and as large as it says. */
import type { ColumnType, ContentSpec } from "./column-type.js";
import type { Content, Pixels, Samples } from "./content-types.js";
import { invalid, isMissing } from "./invalid.js";

/**
 * Types of the parts are judged where they are laid out: here a part of another type is let through.
 * @throws {MillraceError} `MILL_RECORD_INVALID`: a value has neither bytes nor an address, or sizes that do not fit each other
 */
export function checkContent(name: string, type: ColumnType, spec: ContentSpec, values: readonly unknown[]): void {
  for (let row = 0; row < values.length; row++) {
    const value = values[row];
    if (isMissing(value) || typeof value !== "object") continue;
    const wrong = wrongOf(value as Content) ?? FORMS[spec.form](value as Content, spec.elementBytes);
    if (wrong !== undefined) throw invalid(name, type, `row ${row} ${wrong}`);
  }
}

function wrongOf({ uri, sizeBytes, bytes }: Content): string | undefined {
  if (isMissing(bytes)) return uri === "" ? "has neither bytes nor a uri; give one" : undefined;
  if (!(bytes instanceof Uint8Array) || typeof sizeBytes !== "bigint" || BigInt(bytes.length) === sizeBytes) return;
  return `has ${bytes.length} bytes where its sizeBytes is ${sizeBytes}`;
}

type Form = (value: Content, elementBytes: number) => string | undefined;

const FORMS: Readonly<Record<ContentSpec["form"], Form>> = {
  encoded: () => undefined,
  pixels(value, elementBytes) {
    const { width, height, channels, sizeBytes } = value as Pixels;
    if (![width, height, channels].every(isPositive)) {
      return `is ${width} x ${height} pixels of ${channels} channels; give each from 1 on`;
    }
    const needed = width * height * channels * elementBytes;
    if (sizeBytes === -1n || Number(sizeBytes) === needed) return undefined;
    return `has ${sizeBytes} bytes where ${width} x ${height} pixels of ${channels} channels have ${needed}`;
  },
  samples(value, elementBytes) {
    const { sampleRate, channels, sizeBytes } = value as Samples;
    if (![sampleRate, channels].every(isPositive)) {
      return `has ${channels} channels of ${sampleRate} samples a second; give each from 1 on`;
    }
    if (sizeBytes === -1n || Number(sizeBytes) % (channels * elementBytes) === 0) return undefined;
    return `has ${sizeBytes} bytes, which are no whole samples of ${channels} channels`;
  },
};

function isPositive(value: unknown): boolean {
  return typeof value === "number" && value >= 1;
}
