/**
 * Secrets that this process was given, and texts without them: what fails far below may repeat the password that it was called with, and a
 * user's own code the key that it has sent.
 *
 * Whoever takes a secret says so here (`keepSecret`); every `MillraceError` and every line of the log is cleaned by it. It is one list for the
 * whole process, for what must not be said does not depend on who says it.
 *
 * Invariants:
 *   X1  No text that was cleaned holds a secret that was kept before, as it is, as JSON writes it, or as an address does.
 *   X2  Nor does it hold a user or a password of an address, or what signs one.
 *
 * Not here: data. A row may hold what it likes.
 */
const HIDDEN = "***";
/** A shorter one may as well be a word, and texts would lose theirs. */
const CHARS_MIN = 8;

/** The longest first: one may begin with another. */
let forms: readonly string[] = [];

export function keepSecret(value: string | undefined): void {
  if (value === undefined || value.length < CHARS_MIN || forms.includes(value)) return;
  const added = [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value)];
  forms = [...new Set([...forms, ...added])].sort((a, b) => b.length - a.length);
}

/** Schemes are short: of a long text without one each beginning of a word would be followed to its end. */
const LOGIN = /(\b[a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/?#"'<>]*@/gi;
const SIGNATURE =
  /([?&](?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|token|access_token|api[_-]?key|key)=)[^&\s"'<>#]+/gi;

export function withoutSecrets(text: string): string {
  let clean = text;
  for (const form of forms) if (clean.includes(form)) clean = clean.replaceAll(form, HIDDEN);
  if (!clean.includes("://")) return clean;
  return clean.replace(LOGIN, `$1${HIDDEN}@`).replace(SIGNATURE, `$1${HIDDEN}`);
}
