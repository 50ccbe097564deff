/**
 * HEALTHCHECK of the image: asks the coordinator of this container for /healthz, by where MILLRACE_HTTP says that it listens. Exit
 * status 0: it answers 200, or nothing is said of HTTP (a worker, a command).
 *
 * With TLS the certificate is not checked: it names the host that others use, and we ask 127.0.0.1.
 */
import { request as overHttp } from "node:http";
import { request as overTls } from "node:https";

const BOUND_MS = 2_500;
const { MILLRACE_HTTP: listen = "", MILLRACE_TLS_CERT: certificate = "" } = process.env;

/** An address to ask, of one to listen on. */
function addressOf(text) {
  const [, host, port] = /^(.*):(\d+)$/.exec(text) ?? [];
  if (port === undefined || port === "0") return undefined;
  const everywhere = ["", "0.0.0.0", "[::]", "::"].includes(host);
  return { hostname: everywhere ? "127.0.0.1" : host.replace(/^\[|\]$/g, ""), port };
}

const address = addressOf(listen);
if (address === undefined) process.exit(0);

const request = certificate === "" ? overHttp : overTls;
const asked = request({ ...address, path: "/healthz", timeout: BOUND_MS, rejectUnauthorized: false }, (answer) =>
  process.exit(answer.statusCode === 200 ? 0 : 1),
);
asked.on("timeout", () => process.exit(1));
asked.on("error", () => process.exit(1));
asked.end();
