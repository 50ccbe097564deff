/** Changes where two people may act at a time: who sends the revision that was read is refused if it is another by now (RFC 9110, 13.1.1). */
import Type from "typebox";
import { MillraceError } from "../base/errors.js";

export const IfMatch = Type.Object({
  "if-match": Type.Optional(
    Type.String({ maxLength: 64, description: "The ETag that was read; refused with 412 if it is another by now." }),
  ),
});

export const etagOf = (revision: bigint): string => `"${revision}"`;

/** @returns undefined: whatever the revision is @throws {MillraceError} `MILL_REQUEST_INVALID` */
export function revisionIn(header: string | undefined): bigint | undefined {
  if (header === undefined || header === "*") return undefined;
  const [, digits] = /^"(\d{1,18})"$/.exec(header) ?? [];
  if (digits !== undefined) return BigInt(digits);
  throw new MillraceError(
    "MILL_REQUEST_INVALID",
    `If-Match ${header} is no ETag of this. Send the one that was read, with its quotes.`,
  );
}
