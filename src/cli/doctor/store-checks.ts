/**
 * The object store: whether it can do what the guarantees rest on, tried with one object of its own below `doctor/`. Each step is a
 * right that the user needs; the first that is missing ends the row, for the others would say the same.
 */
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { Ports } from "../../base/ports.js";
import type { ObjectStore } from "../../storage/object-store.js";
import { openStore } from "../../storage/open-store.js";
import type { S3Settings } from "../settings.js";
import { type Check, fail, ok, warn } from "./check.js";
import type { ClockReading } from "./clock.js";
import type { Found } from "./nats-checks.js";

const WITHIN_MS = 2 * limits.storeCheckTimeoutMs;
const GUIDE = 'docs/storage.md, "What to set for S3", lists settings and rights.';

export async function checkStore(url: string | undefined, s3: S3Settings, ports: Ports): Promise<Found> {
  if (url === undefined) {
    const mend = "Give --store s3://bucket/prefix, or set MILLRACE_STORE. `run` needs none.";
    return { checks: [warn("store", "nobody has named an object store", mend)] };
  }
  try {
    const store = openStore(url, { s3 }, ports);
    try {
      const checks = await tryStore(store, ports);
      const reachable = checks.some(({ state }) => state === "ok");
      return { checks, ...(reachable && url.startsWith("s3:") ? await clockOfS3(s3, ports) : {}) };
    } finally {
      await store.close();
    }
  } catch (cause) {
    const { message, code } = MillraceError.from(cause);
    return { checks: [fail("store", code === "MILL_CONFIG" ? 2 : 3, message, GUIDE)] };
  }
}

interface Step {
  readonly name: string;
  readonly right: string;
  /** @returns what is wrong although nothing failed */
  act(options: { readonly signal: AbortSignal }): Promise<string | undefined>;
}

export async function tryStore(store: ObjectStore, ports: Ports): Promise<Check[]> {
  const key = `doctor/${ports.random.id(16)}`;
  const once = `${key}-once`;
  const bytes = new TextEncoder().encode("written by millrace doctor; may be deleted");
  const steps: readonly Step[] = [
    { name: "store: write", right: "s3:PutObject", act: async (o) => void (await store.put(key, bytes, o)) },
    {
      name: "store: read",
      right: "s3:GetObject",
      act: async (o) => (Buffer.from(bytes).equals(await store.get(key, o)) ? undefined : "it gave back other bytes"),
    },
    {
      name: "store: create once",
      right: "s3:PutObject with If-None-Match",
      act: (o) => createTwice(store, once, bytes, o),
    },
    {
      name: "store: list",
      right: "s3:ListBucket",
      async act(o) {
        for await (const found of store.list(key, o)) if (found.key === key) return undefined;
        return "it does not list what was just written";
      },
    },
    {
      name: "store: delete",
      right: "s3:DeleteObject",
      async act(o) {
        for (const one of [key, once]) await store.delete(one, o);
        return (await store.head(key, o)) === undefined ? undefined : "the object is still there";
      },
    },
  ];
  const checks: Check[] = [];
  for (const step of steps) {
    const check = await tryStep(step, store.url);
    checks.push(check);
    if (check.state === "fail" && checks.length === 1) return checks; // nothing was written
  }
  return checks;
}

async function tryStep({ name, right, act }: Step, url: string): Promise<Check> {
  try {
    const wrong = await act({ signal: AbortSignal.timeout(WITHIN_MS) });
    if (wrong === undefined) return ok(name, url);
    return fail(
      name,
      3,
      `${url}: ${wrong}`,
      `Use a store that does this (${right}): the guarantees rest on it. docs/storage.md`,
    );
  } catch (cause) {
    const late = (cause as Error).name === "TimeoutError";
    const error = MillraceError.from(cause);
    const found = late ? `${url} did not answer within ${WITHIN_MS / 1000} s` : error.message;
    const refused = error.code === "MILL_STORE_REFUSED" ? `Let this user do ${right}. ` : "";
    return fail(name, error.code === "MILL_CONFIG" ? 2 : 3, found, `${refused}${GUIDE}`);
  }
}

/** Of two that create the same key, the second must be told. */
async function createTwice(
  store: ObjectStore,
  key: string,
  bytes: Uint8Array,
  options: { readonly signal: AbortSignal },
): Promise<string | undefined> {
  await store.create(key, bytes, options);
  const second = await store.create(key, new TextEncoder().encode("another"), options);
  return second.created ? "it lets a second writer create an object that is there" : undefined;
}

/** Every answer of an HTTP server says its time, also a refusal. */
async function clockOfS3(s3: S3Settings, { clock }: Ports): Promise<{ readonly clock?: ClockReading }> {
  const endpoint = s3.endpoint ?? `https://s3.${s3.region ?? "us-east-1"}.amazonaws.com`;
  try {
    const afterMs = clock.nowMs();
    const answer = await fetch(endpoint, {
      method: "HEAD",
      redirect: "manual",
      signal: AbortSignal.timeout(WITHIN_MS),
    });
    const beforeMs = clock.nowMs();
    const serverMs = Date.parse(answer.headers.get("date") ?? "");
    return Number.isNaN(serverMs) ? {} : { clock: { server: "store", serverMs, coarseMs: 1_000, afterMs, beforeMs } };
  } catch {
    return {}; // the store's own checks say what is wrong with it
  }
}
