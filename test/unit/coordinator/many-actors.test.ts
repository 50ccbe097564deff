import assert from "node:assert/strict";
import fc from "fast-check";
import { pageOf } from "../../../src/api/paging.js";
import { ActorShares } from "../../../src/coordinator/actor-shares.js";
import { decideJob, type JobFacts } from "../../../src/coordinator/job.js";
import { JobBook } from "../../../src/coordinator/job-book.js";
import { RegionBook } from "../../../src/coordinator/region-book.js";
import { beatMs, Cluster, job, keys } from "./coordinator-cluster.js";
import { fakePorts } from "./fake-ports.js";
import { facts, needs, spec } from "./job-facts.js";

describe("coordinator: what ten thousand actors must not cost", () => {
  it("what is promised is added up only where something is to be placed", () => {
    let asked = 0;
    const holdings = (all: JobFacts["holdings"]) => () => {
      asked += 1;
      return all;
    };
    const counted = (instances: number) => {
      const services = spec.services.map((service) => ({ ...service, instances }));
      const about = facts({ services, instances: [] });
      return Object.defineProperty({ ...about }, "holdings", { get: holdings(about.holdings) });
    };
    decideJob(counted(0));
    assert.equal(asked, 0);
    decideJob(counted(1));
    assert.ok(asked > 0);
  });

  it("a report of a worker that says nothing new is heard, and nothing is decided anew", async () => {
    const cluster = await new Cluster().running();
    const looks = countLooks(cluster);
    const [worker] = cluster.workers;
    await worker!.report();
    await cluster.clock.settle();
    const before = looks.count;
    await worker!.report();
    await cluster.clock.settle();
    assert.equal(looks.count, before);
    worker!.memoryBytes /= 2n;
    await worker!.report();
    await cluster.clock.settle();
    assert.ok(looks.count > before, "it offers less, and nobody looked");
    await cluster.coordinator.close();
  });

  it("a job hears of workers that hold something of it, or did until now, and of no others", async () => {
    const cluster = await new Cluster().running();
    const book = cluster.coordinator.book(job);
    const heard: string[] = [];
    const before = book.onWorker.bind(book);
    book.onWorker = (report) => {
      heard.push(report.worker);
      before(report);
    };
    const idle = await cluster.join("w3");
    await idle.report();
    await cluster.workers[0]!.report();
    await cluster.clock.settle();
    assert.deepEqual(heard, ["w1"]);
    cluster.workers[0]!.hosts.clear();
    cluster.workers[0]!.instances.clear();
    for (let i = 0; i < 3; i++) await cluster.workers[0]!.report();
    await cluster.clock.settle();
    assert.deepEqual(heard.slice(0, 2), ["w1", "w1"], "that it holds nothing any more");
    await cluster.coordinator.close();
  });

  it("a look that took long is not followed by another at once, and is by one soon", async () => {
    const cluster = await new Cluster().running();
    const looks = countLooks(cluster);
    const change = async () => {
      cluster.workers[0]!.memoryBytes -= 1n;
      await cluster.workers[0]!.report();
      await cluster.clock.settle();
    };
    looks.tookMs = 40;
    await change();
    looks.tookMs = 0;
    const before = looks.count;
    await change();
    assert.equal(looks.count, before, "reports would not be heard for as long as there is something to look at");
    await cluster.clock.advance(40);
    assert.ok(looks.count > before);
    await cluster.coordinator.close();
  });

  it("changes of a job that come while it is being noted are noted together, and none is left out", async () => {
    const cluster = await new Cluster().open("w1", "w2");
    const put = cluster.store.put.bind(cluster.store);
    const held: (() => void)[] = [];
    let notes = 0;
    cluster.store.put = async (key, ...rest) => {
      if (key === keys.open && ++notes === 2) await new Promise<void>((resolve) => held.push(resolve));
      return put(key, ...rest);
    };
    await cluster.submit();
    assert.equal(held.length, 1, "the first note behind that of the submission");
    const [before, states] = [notes, new Set<string>()];
    for (const worker of cluster.workers) for (const name of worker.instances.keys()) await worker.load(name, "FAILED");
    await cluster.pass(4 * beatMs);
    assert.equal(notes, before, "one at a time");
    for (const release of held) release();
    await cluster.clock.settle();
    assert.equal(notes, before + 1);
    for (const { instance } of (await cluster.describe()).instances) states.add(instance);
    const noted = Buffer.from(await cluster.store.get(keys.open)).toString("latin1");
    for (const instance of states) assert.ok(noted.includes(instance), `${instance} was not noted`);
    await cluster.coordinator.close();
  });
});

describe("coordinator/actor-shares: what actors need on each worker", () => {
  it("is what they need one by one, also after they were placed anew", () => {
    const region = "region-read-0";
    const members = [0.5, 0, 2].map((cpu, subtask) => {
      return { actor: `read-${subtask}`, region, subtask, resources: needs({ cpu, memory: 1 }), gpus: [] };
    });
    const book = new RegionBook(
      region,
      members.map(({ actor }) => actor),
      fakePorts().clock,
    );
    const shares = new ActorShares(new Map([[region, members]]));
    const GiB = 2n ** 30n;
    assert.deepEqual(shares.of([book]), [], "placed nowhere");
    book.place(new Map(members.map(({ actor }, i) => [actor, i === 2 ? "w2" : "w1"])));
    assert.deepEqual(shares.of([book]), [
      { worker: "w1", cpu: 0.5, memoryBytes: 2n * GiB, cores: 1.5 },
      { worker: "w2", cpu: 2, memoryBytes: GiB, cores: 2 },
    ]);
    book.place(new Map(members.map(({ actor }) => [actor, "w2"])));
    assert.deepEqual(shares.of([book]), [{ worker: "w2", cpu: 2.5, memoryBytes: 3n * GiB, cores: 3.5 }]);
    book.phase = "PLACING";
    assert.deepEqual(shares.of([book]), [], "they are about to be placed");
  });
});

describe("coordinator/job-book: actors, few at a time", () => {
  it("where each is, and all of it when it is asked for", () => {
    const book = new JobBook(spec, fakePorts().clock);
    book.regions.get("region-read-0")!.place(new Map([["read-0", "w1"]]));
    const places = book.actorPlaces();
    assert.deepEqual(
      places.map(({ detail }) => detail()).map(({ actor, worker, state }) => [actor, worker, state]),
      places.map(({ actor, worker, state }) => [actor, worker, state]),
    );
    assert.deepEqual(
      places.map(({ actor, worker }) => [actor, worker]),
      [
        ["read-0", "w1"],
        ["read-1", ""],
        ["alone-0", ""],
      ],
    );
  });
});

describe("coordinator/describe-job: a page that shows a part of a job", () => {
  it("has that part put together, once, and no other", () => {
    const book = new JobBook(spec, fakePorts().clock);
    const made: string[] = [];
    for (const region of book.regions.values()) {
      const [loads, detail] = [region.loads.bind(region), region.detail.bind(region)];
      region.loads = () => {
        made.push("loads");
        return loads();
      };
      region.detail = () => {
        made.push("region");
        return detail();
      };
    }
    const job = book.detail();
    void [job.services, job.hosts, job.counts];
    assert.deepEqual(made, []);
    void [job.edges, job.operators, job.rowsReadPerSecond];
    assert.deepEqual(made, ["loads", "loads"]);
    void [job.regions, job.regions];
    assert.deepEqual(made.slice(2), ["region", "region"]);
  });
});

describe("api/paging: long lists", () => {
  it("a page is what it would be if the whole list were put in order", () => {
    const list = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 60 });
    fc.assert(
      fc.property(list, fc.integer({ min: 1, max: 8 }), (keys, limit) => {
        const ordered = [...keys].sort((a, b) => (a < b ? -1 : 1));
        const seen: string[] = [];
        for (let after: string | undefined; ; ) {
          const { items, next } = pageOf(keys, (key) => key, after === undefined ? { limit } : { limit, after });
          assert.ok(items.length <= limit);
          seen.push(...items);
          if (next === undefined) break;
          after = next;
        }
        assert.deepEqual(seen, ordered);
      }),
    );
  });
});

/** Counts how often the coordinator looks at the job, and makes it take as long as `tookMs`. */
function countLooks(cluster: Cluster): { count: number; tookMs: number } {
  const looks = { count: 0, tookMs: 0 };
  const book = cluster.coordinator.book(job);
  const before = book.facts.bind(book);
  book.facts = (...given) => {
    looks.count += 1;
    void cluster.clock.freeze(looks.tookMs);
    return before(...given);
  };
  return looks;
}
