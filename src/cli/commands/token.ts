/**
 * `millrace token`: the file of access tokens. Coordinators that were started with it read it again when it changes.
 *
 * It is replaced whole, by a rename, and only its owner may read it: nobody ever reads half of it. Who changes it holds a lock, a file beside
 * it, from before it is read: of two commands at once the second sees what the first has written.
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
import { setTimeout as pause } from "node:timers/promises";
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
  await locked(file, () => write(file, [...(existsSync(file) ? read(file) : []), entry]));
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
  const revoked = await locked(file, () => {
    const entries = read(file);
    const found = entries.find((entry) => entry.id === id);
    if (found === undefined)
      throw new MillraceError("MILL_CONFIG", `${file} has no token ${id}. \`millrace token list\` shows those it has.`);
    write(
      file,
      entries.filter((entry) => entry !== found),
    );
    return found;
  });
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

/** A command holds it for a moment. One that was killed then leaves it behind, and nobody but people can tell that. */
const LOCK_MS_MAX = 5_000;
const LOCK_LOOK_MS = 20;

async function locked<T>(file: string, change: () => T): Promise<T> {
  const lock = `${targetOf(file)}.lock`;
  for (let waitedMs = 0; ; waitedMs += LOCK_LOOK_MS) {
    try {
      closeSync(openSync(lock, "wx", 0o600));
      break;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw unusable(file, "changed", cause);
      if (waitedMs >= LOCK_MS_MAX) throw busy(file, lock);
      await pause(LOCK_LOOK_MS);
    }
  }
  try {
    return change();
  } finally {
    rmSync(lock, { force: true });
  }
}

function busy(file: string, lock: string): MillraceError {
  const message = `another command has been changing the file of access tokens ${file} for more than ${LOCK_MS_MAX} ms. If none runs any more, delete ${lock}.`;
  return new MillraceError("MILL_CONFIG", message, { file, lock });
}

/** A link stays one: what it leads to is replaced. */
function targetOf(file: string): string {
  return existsSync(file) ? realpathSync(file) : file;
}

function write(file: string, tokens: readonly TokenEntry[]): void {
  const target = targetOf(file);
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
