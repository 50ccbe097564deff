/**
 * `fetchContent`: content at addresses that a column holds, also addresses that strangers wrote.
 *
 * Invariant:
 *   F5  An address leads only where the options say: by default to the public internet, and never to files or buckets of the job.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { checkContent, sha256Of, shown } from "../storage/content-checks.js";
import { checkPolicy, HttpContent, type HttpContentPolicy } from "../storage/http-content.js";
import type { OperatorContext } from "../topology/operator-context.js";
import { type ColumnType, t } from "../types/columns.js";
import { type Content, isContentType, type ObjectRef } from "../types/content-types.js";
import { checkNumber } from "./media-options.js";
import { mediaTypeOf } from "./media-types.js";
import { type Named, named, namedValue } from "./named.js";
import { type Accepted, rowFunction } from "./row-function.js";
import { type Step, type StepOptions, step } from "./step.js";

/** What an address may begin with. */
export type ContentScheme = "http" | "https" | "data" | "file" | "s3";

interface ContentTypes {
  image: typeof t.image;
  audio: typeof t.audio;
  video: typeof t.video;
  document: typeof t.document;
}

/** Options of `fetchContent`. See docs/functions/fetchContent.md. */
export interface FetchContentOptions<F extends string, I extends string, A extends keyof ContentTypes = "document">
  extends StepOptions,
    HttpContentPolicy {
  /** Column with addresses (`t.utf8`), object references or content. */
  readonly from: F;
  /** Column for the content; it may be the same. */
  readonly into: I;
  /** What the content is to be, `t.image` and so on. Default `document`. Nothing is checked: decoders do that. */
  readonly as?: A;
  /**
   * What addresses may begin with. Default: `http`, `https` and `data`. With `file` and `s3`, whoever writes the addresses reads what the
   * job can read.
   */
  readonly schemes?: readonly ContentScheme[];
  /** Bytes of one. Default 64 MiB. */
  readonly sizeBytesMax?: number;
  /** `bytes` (default): with its bytes, which the runtime moves out where they are large. `reference`: kept for the job at once. */
  readonly keep?: "bytes" | "reference";
}

/** Fetches content. Its SHA-256 is set, and its media type by its first bytes. `concurrency`: default 8. */
export function fetchContent<F extends string, I extends string, A extends keyof ContentTypes = "document">(
  options: FetchContentOptions<F, I, A>,
): Step<Named<F, ColumnType<string | ObjectRef | null>>, Named<I, ContentTypes[A]>> {
  return step(fetchContentFunction(options), options);
}

const addresses: Accepted = {
  says: "text (t.utf8), an object reference or content",
  fits: (type) => /^(utf8|object_ref)\??$/.test(type.name) || isContentType(type),
};
const SCHEMES: readonly ContentScheme[] = ["http", "https", "data", "file", "s3"];

/** @internal */
export function fetchContentFunction<F extends string, I extends string, A extends keyof ContentTypes = "document">(
  options: FetchContentOptions<F, I, A>,
) {
  const { from, into, keep = "bytes", schemes = ["http", "https", "data"], concurrency = 8 } = options;
  const as = options.as ?? ("document" as A);
  const sizeBytesMax = options.sizeBytesMax ?? limits.fetchBytesMax;
  const wrong = schemes.find((scheme) => !SCHEMES.includes(scheme));
  if (
    wrong !== undefined ||
    !["bytes", "reference"].includes(keep) ||
    !["image", "audio", "video", "document"].includes(as)
  ) {
    throw new MillraceError(
      "MILL_CONFIG",
      `fetchContent: ${wrong ?? `${keep} and ${as}`} cannot be. schemes are of ${SCHEMES.join(", ")}; keep is bytes or reference; as is image, audio, video or document.`,
    );
  }
  checkNumber("fetchContent", "concurrency", concurrency, { min: 1, max: 256, whole: true });
  checkPolicy({ ...options, sizeBytesMax });
  const to = named(into, t[as] as ContentTypes[A] & ColumnType<Content>);
  let http: HttpContent | undefined;
  return rowFunction({
    name: "fetchContent",
    reads: { [from]: addresses },
    to,
    concurrency,
    async rows(row, context) {
      const ref = refOf(row[from] as string | ObjectRef);
      http ??= new HttpContent({ ...options, sizeBytesMax, ports: context.ports });
      const { bytes, said } = await fetched(ref, { http, schemes, sizeBytesMax }, context);
      const mediaType = mediaTypeOf(bytes, said === "" ? ref.mediaType : said);
      if (keep === "reference") {
        return [namedValue(to, (await context.content.put(bytes, { mediaType, signal: context.signal })) as never)];
      }
      const sizeBytes = BigInt(bytes.length);
      return [namedValue(to, { uri: "", offset: 0n, sizeBytes, sha256: sha256Of(bytes), mediaType, bytes } as never)];
    },
  });
}

function refOf(value: string | ObjectRef): ObjectRef | Content {
  if (typeof value !== "string") return value;
  return { uri: value.trim(), offset: 0n, sizeBytes: -1n, sha256: "", mediaType: "" };
}

interface Way {
  readonly http: HttpContent;
  readonly schemes: readonly ContentScheme[];
  readonly sizeBytesMax: number;
}

async function fetched(
  ref: ObjectRef | Content,
  way: Way,
  context: OperatorContext,
): Promise<{ bytes: Uint8Array; said: string }> {
  const { content, signal } = context;
  if ("bytes" in ref && ref.bytes !== null) return { bytes: ref.bytes, said: ref.mediaType };
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(ref.uri)?.[1]?.toLowerCase() ?? "";
  if (!way.schemes.some((allowed) => allowed === scheme)) {
    throw new MillraceError(
      "MILL_CONTENT_REFUSED",
      `"${shown(ref.uri)}" is not fetched: its address begins with none of ${way.schemes.join(", ")}. Add its scheme to schemes if the addresses are your own.`,
      { uri: shown(ref.uri) },
    );
  }
  if (ref.sizeBytes > way.sizeBytesMax) throw tooLarge(ref, way.sizeBytesMax);
  if (scheme === "http" || scheme === "https") {
    const range = rangeOf(ref);
    const { bytes, mediaType } = await way.http.fetch(ref.uri, { signal, ...(range && { range }) });
    checkContent(ref, bytes);
    return { bytes, said: mediaType };
  }
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of content.stream(ref, signal)) {
    size += piece.length;
    if (size > way.sizeBytesMax) throw tooLarge(ref, way.sizeBytesMax);
    pieces.push(piece);
  }
  return { bytes: Buffer.concat(pieces, size), said: "" };
}

function rangeOf({ offset, sizeBytes }: ObjectRef) {
  if (offset === 0n) return undefined; // all of it is read, also where a size is given: then one that has grown is noticed
  return { offset: Number(offset), length: sizeBytes < 0n ? Number.MAX_SAFE_INTEGER : Number(sizeBytes) };
}

function tooLarge({ uri }: ObjectRef, sizeBytesMax: number): MillraceError {
  return new MillraceError(
    "MILL_CONTENT_TOO_LARGE",
    `${shown(uri)}: it has more than ${sizeBytesMax} bytes. Raise sizeBytesMax if content may be that large.`,
    { uri: shown(uri) },
  );
}
