/**
 * Terms: every coordinator that begins to lead takes the next one, by compare-and-set. Hosts and workers refuse commands of
 * a lower term than they have seen, and region logs are fenced with it, so an earlier leader that still believes in itself
 * changes nothing. The newest term and who took it are one value of the namespace's bucket: the lease (`lease.ts`).
 */
import { MillraceError } from "../base/errors.js";
import type { Namespace } from "../base/ids.js";
import type { Bucket, Bus } from "../bus/bus.js";
import { type Lease, leaseFrame } from "../wire/stored.js";

const KEY = "term";
/** What was there before there were leases: the term alone, in digits. */
const DIGITS = /^\d{1,18}$/;

export interface FoundLease {
  readonly lease: Lease;
  readonly revision: bigint;
}

export class LeaseBucket {
  #bucket: Promise<Bucket> | undefined;

  constructor(
    private readonly bus: Bus,
    private readonly namespace: Namespace,
  ) {}

  /** @returns undefined: nobody has ever led @throws {MillraceError} `MILL_BUS_*`, `MILL_FRAME_*` */
  async read(): Promise<FoundLease | undefined> {
    return this.#ask(async (bucket) => {
      const entry = await bucket.get(KEY);
      return entry && { lease: leaseOf(entry.value), revision: entry.revision };
    });
  }

  /**
   * @param over  the revision that it replaces; 0n: there is none
   * @throws {MillraceError} `MILL_BUS_CONFLICT`: there is another one; `MILL_BUS_*`: it may have been written or not
   */
  async write(lease: Lease, over: bigint): Promise<bigint> {
    return this.#ask((bucket) => bucket.update(KEY, leaseFrame.encode(lease), over));
  }

  /** A bucket that fails is opened anew for the next call: it may have been deleted. */
  async #ask<T>(call: (bucket: Bucket) => Promise<T>): Promise<T> {
    this.#bucket ??= this.bus.bucket(`millrace-${this.namespace}`);
    try {
      return await call(await this.#bucket);
    } catch (error) {
      if (!isConflict(error)) this.#bucket = undefined;
      throw error;
    }
  }
}

function leaseOf(value: Uint8Array): Lease {
  const text = new TextDecoder().decode(value);
  return DIGITS.test(text)
    ? { term: BigInt(text), holder: "", http: "", counter: 0n }
    : leaseFrame.decode(value).header;
}

export function isConflict(error: unknown): boolean {
  return MillraceError.is(error) && error.code === "MILL_BUS_CONFLICT";
}

/** Takes the next term at once, whoever leads: for a coordinator that has its bus to itself. @throws {MillraceError} `MILL_BUS_*` */
export async function claimTerm(bus: Bus, namespace: Namespace): Promise<bigint> {
  const bucket = new LeaseBucket(bus, namespace);
  for (;;) {
    const found = await bucket.read();
    const term = (found?.lease.term ?? 0n) + 1n;
    try {
      await bucket.write({ term, holder: "", http: "", counter: 0n }, found?.revision ?? 0n);
      return term;
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}
