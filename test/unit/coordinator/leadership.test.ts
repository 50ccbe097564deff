import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import type { Namespace } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import type { Bucket, Bus } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { type HeldLease, Leadership } from "../../../src/coordinator/leadership.js";
import { claimTerm, LeaseBucket } from "../../../src/coordinator/term.js";
import { fakePorts } from "./fake-ports.js";

const namespace = "test" as Namespace;
const { leaseMs, leaseHoldMs, leaseLookMs, leaseRenewMs } = limits;

/** What leads: it notes what becomes of it, and can be told to fail. */
class Reign {
  isOpen = false;
  isClosed = false;
  constructor(
    readonly who: string,
    readonly lease: HeldLease,
    readonly depose: (by?: bigint) => void,
    private readonly opens: () => Promise<void>,
  ) {}
  async open(): Promise<void> {
    await this.opens();
    this.isOpen = true;
  }
  async close(): Promise<void> {
    this.isClosed = true;
  }
}

/** A line to the bus that can be cut: calls of buckets fail, or are carried out and not answered. */
class Line {
  state: "up" | "fails" | "silent" = "up";
  constructor(private readonly bus: Bus) {}
  get asBus(): Bus {
    const bucket = async (name: string): Promise<Bucket> => {
      const inner = await this.bus.bucket(name);
      const call =
        <A extends unknown[], T>(fn: (...args: A) => Promise<T>) =>
        async (...args: A): Promise<T> => {
          if (this.state === "fails") throw new MillraceError("MILL_BUS_UNREACHABLE", "no bus today");
          const value = await fn(...args);
          return this.state === "silent" ? new Promise<T>(() => {}) : value;
        };
      return { ...inner, get: call(inner.get.bind(inner)), update: call(inner.update.bind(inner)) };
    };
    return Object.assign(Object.create(this.bus), { bucket }) as Bus;
  }
}

class Rivals {
  readonly ports = fakePorts();
  readonly clock = this.ports.clock;
  readonly bus = new MemoryBus(this.ports);
  readonly reigns: Reign[] = [];
  readonly lines = new Map<string, Line>();
  opens: () => Promise<void> = async () => {};

  make(holder: string): Leadership<Reign> {
    const line = new Line(this.bus);
    this.lines.set(holder, line);
    return new Leadership({
      bus: line.asBus,
      ports: this.ports,
      namespace,
      holder,
      http: `http://${holder}`,
      make: (lease, onDeposed) => {
        const reign = new Reign(holder, lease, onDeposed, () => this.opens());
        this.reigns.push(reign);
        return reign;
      },
    });
  }

  async join(holder: string): Promise<Leadership<Reign>> {
    const one = this.make(holder);
    const opened = one.open();
    await this.clock.settle();
    await opened;
    return one;
  }

  get acting(): string[] {
    return this.reigns.filter(({ lease, isClosed }) => !isClosed && lease.holds()).map(({ who }) => who);
  }

  async lease() {
    return (await new LeaseBucket(this.bus, namespace).read())?.lease;
  }
}

describe("coordinator/leadership: one of several leads", () => {
  it("the first leads at once, with term 1 and an address; the second follows it and knows it", async () => {
    const rivals = new Rivals();
    const [a, b] = [await rivals.join("a"), await rivals.join("b")];
    assert.equal(a.leader()?.isOpen, true);
    assert.equal(b.leader(), undefined);
    assert.deepEqual([b.known()?.holder, b.known()?.http, b.known()?.term], ["a", "http://a", 1n]);
    await rivals.clock.advance(10 * leaseMs);
    assert.deepEqual(rivals.acting, ["a"]);
    assert.equal(rivals.reigns.length, 1, "nobody began to lead but the first");
    await Promise.all([a.close(), b.close()]);
  });

  it("many that begin at one moment: one leads (E1)", async () => {
    const rivals = new Rivals();
    const all = Array.from({ length: 5 }, (_, i) => rivals.make(`c${i}`));
    const opened = Promise.all(all.map((one) => one.open()));
    await rivals.clock.advance(leaseMs);
    await opened;
    assert.equal(all.filter((one) => one.leader() !== undefined).length, 1);
    assert.equal((await rivals.lease())?.term, 1n);
    await Promise.all(all.map((one) => one.close()));
  });

  it("one that goes leaves the lease to the next look of another, and has closed what led before (E9)", async () => {
    const rivals = new Rivals();
    const [a, b] = [await rivals.join("a"), await rivals.join("b")];
    await a.close();
    assert.equal(rivals.reigns[0]!.isClosed, true);
    assert.deepEqual([(await rivals.lease())?.holder, (await rivals.lease())?.term], ["", 1n]);
    await rivals.clock.advance(leaseLookMs);
    assert.equal(b.leader()?.lease.term, 2n);
    await b.close();
  });

  it("one whose calls fail stops by itself before another begins, and follows it afterwards (E4, E7)", async () => {
    const rivals = new Rivals();
    const [a, b] = [await rivals.join("a"), await rivals.join("b")];
    await rivals.clock.advance(leaseRenewMs);
    rivals.lines.get("a")!.state = "fails";
    await rivals.clock.advance(leaseHoldMs);
    assert.deepEqual([a.leader(), b.leader(), rivals.acting], [undefined, undefined, []]);
    assert.equal(rivals.reigns[0]!.isClosed, true, "it has closed what led");
    await rivals.clock.advance(leaseMs - leaseHoldMs + leaseLookMs);
    assert.deepEqual(rivals.acting, ["b"]);
    rivals.lines.get("a")!.state = "up";
    await rivals.clock.advance(leaseMs);
    assert.deepEqual([a.known()?.holder, a.leader(), rivals.acting], ["b", undefined, ["b"]]);
    await b.close();
    await rivals.clock.advance(leaseLookMs);
    assert.equal(a.leader()?.lease.term, 3n, "it leads again when it is its turn");
    await a.close();
  });

  it("one that stood still does not act for a moment: another may lead already (E5)", async () => {
    const rivals = new Rivals();
    const a = await rivals.join("a");
    const reign = rivals.reigns[0]!;
    assert.equal(reign.lease.holds(), true);
    const frozen = rivals.clock.freeze(leaseMs);
    assert.equal(reign.lease.holds(), false);
    assert.equal(a.leader(), undefined);
    await frozen;
    await rivals.clock.advance(leaseLookMs);
    assert.equal(reign.isClosed, true);
    assert.equal(reign.lease.holds(), false, "the old term does not come back");
    assert.equal(a.leader()?.lease.term, 2n, "nobody else was there, so it claims the next term at once");
    await a.close();
  });

  it("an answer that never comes is not waited for, and what was written all the same is recognised (E6, E8)", async () => {
    const rivals = new Rivals();
    const a = await rivals.join("a");
    rivals.lines.get("a")!.state = "silent";
    await rivals.clock.advance(leaseRenewMs);
    rivals.lines.get("a")!.state = "up";
    await rivals.clock.advance(3 * leaseMs);
    assert.deepEqual([a.leader()?.lease.term, rivals.reigns.length], [1n, 1]);
    await a.close();
  });

  it("one that is started has the patience of other calls, and says what did not answer (E8)", async () => {
    const rivals = new Rivals();
    const one = rivals.make("a");
    rivals.lines.get("a")!.state = "silent";
    const refused = assert.rejects(one.open(), { code: "MILL_BUS_TIMEOUT", message: /the lease of test.* 5000 ms/ });
    await rivals.clock.advance(limits.busRequestTimeoutMs - 1);
    let isOver = false;
    void refused.then(() => {
      isOver = true;
    });
    await rivals.clock.settle();
    assert.equal(isOver, false);
    await rivals.clock.advance(1);
    await refused;
  });

  it("one that cannot begin to lead says so where it is started, and leaves the lease to others (E9)", async () => {
    const rivals = new Rivals();
    rivals.opens = async () => {
      throw new MillraceError("MILL_STORE_UNREACHABLE", "no store today");
    };
    const opened = rivals.make("a").open();
    await rivals.clock.settle();
    await assert.rejects(opened, { code: "MILL_STORE_UNREACHABLE" });
    assert.equal((await rivals.lease())?.holder, "");
    rivals.opens = async () => {};
    const b = await rivals.join("b");
    assert.equal(b.leader()?.lease.term, 2n);
    await b.close();
  });

  it("one that cannot begin to lead later goes on following, and tries again after a pause (E9)", async () => {
    const rivals = new Rivals();
    const [a, b] = [await rivals.join("a"), await rivals.join("b")];
    let refusals = 1;
    rivals.opens = async () => {
      if (refusals-- > 0) throw new MillraceError("MILL_STORE_UNREACHABLE", "no store today");
    };
    await a.close();
    await rivals.clock.advance(leaseLookMs);
    assert.equal(b.leader(), undefined);
    assert.equal((await rivals.lease())?.holder, "");
    await rivals.clock.advance(leaseMs + leaseLookMs);
    assert.equal(b.leader()?.lease.term, 3n);
    await b.close();
  });

  it("one that begins to lead for long is not asked before it has, and renews meanwhile", async () => {
    const rivals = new Rivals();
    let ready = () => {};
    rivals.opens = () => new Promise((resolve) => (ready = resolve));
    const a = rivals.make("a");
    const opened = a.open();
    await rivals.clock.advance(5 * leaseMs);
    assert.deepEqual([a.leader(), rivals.reigns.length, rivals.acting], [undefined, 1, ["a"]]);
    ready();
    await opened;
    assert.notEqual(a.leader(), undefined);
    await a.close();
  });

  it("one that is told that a higher term is about closes, and goes above it when it is its turn (K4, E1)", async () => {
    const rivals = new Rivals();
    const a = await rivals.join("a");
    rivals.reigns[0]!.depose(7n);
    await rivals.clock.settle();
    assert.deepEqual(
      [rivals.reigns[0]!.isClosed, a.leader(), rivals.reigns[0]!.lease.holds()],
      [true, undefined, false],
    );
    await rivals.clock.advance(leaseMs + leaseLookMs);
    assert.equal(a.leader()?.lease.term, 8n);
    rivals.reigns[0]!.depose(9n);
    await rivals.clock.settle();
    assert.equal(a.leader()?.lease.term, 8n, "what is closed deposes nobody");
    await a.close();
  });

  it("one that another takes the term from at once is closed at its next renewal (K4)", async () => {
    const rivals = new Rivals();
    const a = await rivals.join("a");
    assert.equal(await claimTerm(rivals.bus, namespace), 2n);
    await rivals.clock.advance(leaseRenewMs + 2 * leaseLookMs);
    assert.equal(rivals.reigns[0]!.isClosed, true);
    await a.close();
  });

  it("says when it leads and whom it follows, and nothing about renewals", async () => {
    const rivals = new Rivals();
    const [a, b] = [await rivals.join("a"), rivals.make("b")];
    const said: string[] = [];
    b.onChange(() => said.push(b.leader() === undefined ? `follows ${b.known()?.holder}` : "leads"));
    await Promise.all([b.open(), rivals.clock.settle()]);
    await rivals.clock.advance(3 * leaseMs);
    assert.deepEqual(said, ["follows a"]);
    await a.close();
    await rivals.clock.advance(leaseLookMs);
    assert.equal(said.at(-1), "leads");
    await b.close();
  });
});
