import assert from "node:assert/strict";
import type { InstanceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { InstanceTable, type Outstanding } from "../../../src/services/instance-table.js";
import { type Service, service } from "../../../src/topology/service.js";
import { t } from "../../../src/types/columns.js";
import type { LoadReport } from "../../../src/wire/frames.js";
import { fakePorts } from "../coordinator/fake-ports.js";

const columns = { n: t.int32 };
const ROW_MS = 20;
const ROWS_OF_CALL = 3;

function table(rowsMax?: number) {
  const ports = fakePorts();
  const handler = { kind: "none", assets: {}, load: () => Promise.reject(new Error("not loaded here")) };
  const declared = service("s", {
    input: columns,
    output: columns,
    handler,
    ...(rowsMax && { batch: { rowsMax } }),
  }) as unknown as Service;
  const instances = new InstanceTable<Outstanding>(declared, ports);
  let sequence = 0n;
  let sent = 0;
  return {
    instances,
    clock: ports.clock,
    report(instance: string, queuedRows: number, runningRows: number): void {
      const said: LoadReport = {
        ...{ service: declared.id, instance: instance as InstanceId, subject: instance, state: "READY" },
        ...{ sequence: ++sequence, queuedRows, runningRows, rowMs: ROW_MS, reason: "", code: "", enteredMs: 0n },
      };
      instances.onReport(said);
    },
    /** @returns which instance the next request goes to */
    send(): string {
      const request = { id: `${sent++}`, rows: 1, suspect: false };
      const chosen = instances.choose(request, { rows: 1, affinity: "" }, "")!;
      instances.add(chosen, request);
      return chosen.id;
    },
  };
}

describe("services/instance-table: what a client knows of instances that others use, too", () => {
  it("what it has sent since a report is added to the reported depth, until the next report", () => {
    const { report, send } = table();
    report("a", 0, 1);
    report("b", 1, 1);
    assert.deepEqual([send(), send()], ["a", "b"], "the second time both seem two deep, and b has waited longer");
    report("a", 0, 1);
    report("b", 2, 1);
    assert.equal(send(), "a");
  });

  it("one wants more while it has less than its calls and as much again, of this client and of all", () => {
    const { instances, report, send } = table(ROWS_OF_CALL);
    assert.equal(instances.wantsMore(), false, "nobody is there");
    report("a", 0, 0);
    const enough = 2 * ROWS_OF_CALL;
    for (let rows = 0; rows < enough; rows++) {
      assert.ok(instances.wantsMore(), `${rows} rows`);
      send();
    }
    assert.equal(instances.wantsMore(), false);
    report("b", enough - ROWS_OF_CALL, ROWS_OF_CALL);
    assert.equal(instances.wantsMore(), false, "others keep it busy");
    report("b", 0, ROWS_OF_CALL);
    assert.ok(instances.wantsMore());
  });

  it("of two that are equally deep, it chooses the one whose call has run longer", async () => {
    const { clock, report, send } = table();
    report("b", 0, 1);
    await clock.advance(ROW_MS / 2);
    report("a", 0, 1);
    report("b", 0, 1);
    assert.equal(send(), "b");
  });

  it("a call that has ended begins the time of the next one", async () => {
    const { clock, report, send } = table();
    report("a", 0, 1);
    report("b", 1, 1);
    await clock.advance(ROW_MS / 2);
    report("b", 0, 1);
    assert.equal(send(), "a");
  });

  it("a call that runs longer than usual counts for a whole one, and not for more", async () => {
    const { clock, report, send } = table();
    report("a", 1, 1);
    report("b", 0, 0);
    await clock.advance(limits.loadStaleMs / 2);
    assert.equal(send(), "b");
  });
});

describe("services/instance-table: instances that do not stand well", () => {
  it("are told of while they are put aside, and while they are on probation; the others never are (S8)", async () => {
    const { instances, clock, report } = table();
    report("good", 0, 0);
    report("bad", 0, 0);
    for (let i = 0; i < 10; i++) {
      instances.onOutcome(instances.get("good")!, false);
      instances.onOutcome(instances.get("bad")!, true);
    }
    assert.deepEqual(instances.standings(), [{ service: "s", instance: "bad", probation: false }]);
    await clock.advance(limits.asideMs);
    assert.deepEqual(instances.standings(), [{ service: "s", instance: "bad", probation: true }]);
    instances.onOutcome(instances.get("bad")!, false);
    assert.deepEqual(instances.standings(), []);
  });
});
