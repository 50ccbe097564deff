/** Why a connection over HTTP failed, for messages; what its caller knows better (times that ran out, other protocols) is said before. */

/** @param failure with the code and the message of Node's or undici's error */
export function connectionReason({ code, message }: { readonly code: string; readonly message: string }): string {
  switch (code) {
    case "UND_ERR_SOCKET":
    case "UND_ERR_RES_CONTENT_LENGTH_MISMATCH":
    case "ECONNRESET":
    case "EPIPE":
      return "the server closed the connection before its answer was whole";
    case "ECONNREFUSED":
      return "nothing listens there (connection refused)";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "its name cannot be resolved";
    default:
      return message === "" ? code || "the connection failed" : message;
  }
}
