/**
 * `millrace token`: the file of access tokens. Coordinators that were started with it read it again when it changes.
 *
 * It is replaced whole, by a rename, and only its owner may read it: nobody ever reads half of it.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { newToken, parseTokens, type TokenEntry } from "../../api/tokens.js";
import { MillraceError } from "../../base/errors.js";
import { table } from "../api/tables.js";

interface FileFlags {
  readonly file?: string;
  readonly json?: boolean;
}

interface CreateFlags extends FileFlags {
  readonly role: TokenEntry["role"];
  readonly days?: string;
}

const DAY_MS = 86_400_000;
const NAME = /^[a-zA-Z0-9._@-]{1,64}$/;

export async function createTokenCommand(name: string, flags: CreateFlags): Promise<void> {
  const file = fileOf(flags);
  if (!NAME.test(name)) {
    const message = `"${name}" is no name of a token. Write 1 to 64 letters, digits, ".", "_", "@" or "-", such as ci@builds.`;
    throw new MillraceError("MILL_CONFIG", message);
  }
  const { token, entry } = newToken(name, flags.role, expiryOf(flags.days));
  write(file, [...(existsSync(file) ? read(file) : []), entry]);
  process.stdout.write(flags.json ? `${JSON.stringify({ ...shown(entry), token })}\n` : `${token}\n`);
  process.stderr.write(
    `token ${entry.id} of ${name}, ${flags.role}: it is shown this once; ${file} has only its SHA-256\n`,
  );
}

export async function listTokensCommand(flags: FileFlags): Promise<void> {
  const entries = read(fileOf(flags));
  if (flags.json) return void process.stdout.write(`${JSON.stringify(entries.map(shown))}\n`);
  const columns = [
    { title: "id", of: ({ id }: TokenEntry) => id },
    { title: "name", of: ({ name }: TokenEntry) => name },
    { title: "role", of: ({ role }: TokenEntry) => role },
    {
      title: "expires",
      of: ({ expiresMs }: TokenEntry) => (expiresMs === undefined ? "never" : new Date(expiresMs).toISOString()),
    },
  ];
  process.stdout.write(table(columns, entries, "no tokens: nobody may use the HTTP API"));
}

export async function revokeTokenCommand(id: string, flags: FileFlags): Promise<void> {
  const file = fileOf(flags);
  const entries = read(file);
  const revoked = entries.find((entry) => entry.id === id);
  if (revoked === undefined)
    throw new MillraceError("MILL_CONFIG", `${file} has no token ${id}. \`millrace token list\` shows those it has.`);
  write(
    file,
    entries.filter((entry) => entry !== revoked),
  );
  process.stdout.write(
    flags.json ? `${JSON.stringify(shown(revoked))}\n` : `token ${id} of ${revoked.name} is revoked\n`,
  );
}

const shown = ({ id, name, role, expiresMs }: TokenEntry) => ({ id, name, role, expiresMs: expiresMs ?? null });

function fileOf({ file = process.env.MILLRACE_TOKENS || undefined }: FileFlags): string {
  if (file !== undefined) return file;
  throw new MillraceError("MILL_CONFIG", "which file has the access tokens? Give --file, or set MILLRACE_TOKENS.");
}

function expiryOf(days: string | undefined): number | undefined {
  if (days === undefined) return undefined;
  if (/^\d{1,5}$/.test(days) && Number(days) > 0) return Date.now() + Number(days) * DAY_MS;
  throw new MillraceError("MILL_CONFIG", `--days ${days} is no number of days. Write a whole number from 1 on.`);
}

function read(file: string): TokenEntry[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw unusable(file, "read", cause);
  }
  return parseTokens(text, file);
}

function write(file: string, tokens: readonly TokenEntry[]): void {
  // A link stays one: what it leads to is replaced.
  const target = existsSync(file) ? realpathSync(file) : file;
  const staged = `${target}.${randomBytes(4).toString("hex")}`;
  try {
    const handle = openSync(staged, "wx", 0o600);
    writeSync(handle, `${JSON.stringify({ tokens }, null, 2)}\n`);
    fsyncSync(handle);
    closeSync(handle);
    renameSync(staged, target);
  } catch (cause) {
    rmSync(staged, { force: true });
    throw unusable(file, "written", cause);
  }
}

function unusable(file: string, how: string, cause: unknown): MillraceError {
  const message = `the file of access tokens ${file} cannot be ${how}: ${(cause as Error).message}. Check the path and its rights.`;
  return new MillraceError("MILL_CONFIG", message, { file }, { cause });
}
