import assert from "node:assert/strict";
import type { CheckpointDetail, JobDetail } from "../../../src/coordinator/describe.js";
import { ApiCluster } from "./api-cluster.js";

describe("api/routes/jobs: one job", () => {
  let api: ApiCluster;
  let at: string;

  before(async () => {
    api = await ApiCluster.running();
    const [job] = api.cluster.coordinator.jobs();
    at = `/v1/jobs/${job!.job}`;
    const { coordinator } = api.cluster;
    const own = coordinator.describeJob.bind(coordinator);
    coordinator.describeJob = async (name) => {
      const told = await own(name);
      return {
        ...told,
        regions: told.regions.map((region) => ({ ...region, checkpoints: [3, 2, 1].map(checkpoint) })),
      };
    };
  });
  after(() => api.close());

  const numbers = async (query: string) => {
    const { regions } = (await api.get(`${at}${query}`)).json() as JobDetail;
    assert.ok(regions.length > 0);
    return regions.map(({ checkpoints }) => checkpoints.map(({ number }) => number).join());
  };

  it("has all checkpoints that are known of each region, or the newest ones that are asked for", async () => {
    assert.ok((await numbers("")).every((own) => own === "3,2,1"));
    assert.ok((await numbers("?checkpoints=1")).every((own) => own === "3"));
    assert.ok((await numbers("?checkpoints=0")).every((own) => own === ""));
  });

  it("refuses a number of checkpoints that is none", async () => {
    assert.equal((await api.get(`${at}?checkpoints=-1`)).statusCode, 400);
    assert.equal((await api.get(`${at}?checkpoints=some`)).statusCode, 400);
  });
});

function checkpoint(number: number): CheckpointDetail {
  const times = { triggeredMs: 1, endedMs: 2, durationMs: 1 };
  const what = { bytes: 1, actors: 1, attempt: 1, unaligned: false, asked: false };
  return { number, state: "COMMITTED", reason: "", ...times, ...what };
}
