/** `data:` addresses (RFC 2397): `data:[<media type>][;base64],<data>`. The content is the address itself. */
import { MillraceError } from "../base/errors.js";

/** Characters of an address that a message repeats. */
const SHOWN_MAX = 60;

/** @throws {MillraceError} `MILL_CONTENT_ADDRESS` */
export function bytesOfDataUri(uri: string): Uint8Array {
  const comma = uri.indexOf(",");
  if (comma < 0) throw noData(uri, "it has no comma before its data");
  const data = uri.slice(comma + 1);
  if (!/;\s*base64\s*$/i.test(uri.slice(0, comma))) return percentDecoded(uri, data);
  const text = /%/.test(data) ? Buffer.from(percentDecoded(uri, data)).toString("latin1") : data;
  if (!/^[A-Za-z0-9+/_-]*={0,2}\s*$/.test(text)) throw noData(uri, "its data is no base64");
  return Buffer.from(text, "base64");
}

/** Not `decodeURIComponent`: the bytes need be no UTF-8. */
function percentDecoded(uri: string, data: string): Uint8Array {
  const encoded = Buffer.from(data);
  if (!data.includes("%")) return encoded;
  const decoded = new Uint8Array(encoded.length);
  let length = 0;
  for (let i = 0; i < encoded.length; i++) {
    let byte = encoded[i]!;
    if (byte === 0x25) {
      const hex = encoded.toString("latin1", i + 1, i + 3);
      if (!/^[0-9a-fA-F]{2}$/.test(hex)) throw noData(uri, `"%${hex}" is no encoded byte`);
      byte = Number.parseInt(hex, 16);
      i += 2;
    }
    decoded[length++] = byte;
  }
  return decoded.subarray(0, length);
}

function noData(uri: string, why: string): MillraceError {
  const shown = uri.length > SHOWN_MAX ? `${uri.slice(0, SHOWN_MAX)}...` : uri;
  return new MillraceError(
    "MILL_CONTENT_ADDRESS",
    `"${shown}" cannot be read: ${why}. Write data:image/png;base64,... as RFC 2397 has it.`,
    { uri: shown },
  );
}
