/**
 * Which variables of the environment hold secrets: those that say so by their name, passwords in addresses, and headers of telemetry. The
 * runtime's own are known where they are used; a service's key is the user's, and only its name tells.
 */
import { keepSecret } from "../base/secrets.js";

type Environment = Readonly<Record<string, string | undefined>>;

const SECRET = /(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|AUTH)(_|$)/i;
/** Paths, which messages name. */
const FILES: ReadonlySet<string> = new Set(["MILLRACE_NATS_KEY", "MILLRACE_TLS_KEY"]);

/** From now on no message and no line of the log of this process has them. */
export function keepSecretsOf(env: Environment): void {
  for (const [name, value = ""] of Object.entries(env)) {
    if (SECRET.test(name) && !FILES.has(name) && !value.startsWith("/")) keepSecret(value);
    if (name.endsWith("_HEADERS")) for (const pair of value.split(",")) keepBoth(pair.slice(pair.indexOf("=") + 1));
    // User and password, or a token alone.
    for (const [, login = ""] of value.matchAll(/:\/\/([^\s/@,]+)@/g)) keepBoth(login.slice(login.indexOf(":") + 1));
  }
}

/** As it is written, and as it is meant. */
function keepBoth(text: string): void {
  keepSecret(text);
  try {
    keepSecret(decodeURIComponent(text));
  } catch {
    // It is meant as it is written.
  }
}
