/** Checkpoints of a job as a timeline, region by region, and its savepoints. */
import { useMemo, useState } from "preact/hooks";
import { all, type Checkpoint, get, type Job, jobPath, type Page, type Region, type Savepoint } from "../api.js";
import { bytes, clock, duration, measured, moment } from "../format.js";
import { usePolled } from "../live.js";
import { Card, type Column, Pages, State, Table, Waiting } from "../parts/basics.js";

const WIDTH = 1240;
const ROW = 26;
const LABEL = 200;
/** Of a page. */
const REGIONS_MAX = 20;

export function CheckpointsTab({ job }: { readonly job: Job }) {
  const savepoints = usePolled(
    `${job.job} savepoints`,
    (signal) => all<Savepoint>(`${jobPath(job.job)}/savepoints`, signal),
    5_000,
  );
  const [places, setPlaces] = useState<readonly string[]>([]);
  const after = places.length === 0 ? "" : `&after=${encodeURIComponent(places.at(-1)!)}`;
  const url = `${jobPath(job.job)}/regions?limit=${REGIONS_MAX}${after}`;
  const { value, error } = usePolled(url, (signal) => get<Page<Region>>(url, signal), 2_000);
  const regions = value?.items ?? [];
  // Drawn anew when there is a checkpoint more, which is seldom beside how often is asked.
  const timeline = useMemo(
    () => <Timeline regions={regions} />,
    [regions.map(({ region, checkpoints }) => `${region} ${checkpoints[0]?.number}`).join()],
  );
  const newest = regions
    .flatMap((region) => region.checkpoints.map((checkpoint) => ({ region: region.region, ...checkpoint })))
    .sort((a, b) => b.endedMs - a.endedMs)
    .slice(0, 50);
  return (
    <>
      <Card
        title="Timeline"
        actions={
          job.regions.length > REGIONS_MAX && (
            <Pages places={places} next={value?.next} onPlaces={setPlaces}>
              {`${regions.length} of ${job.regions.length} regions`}
            </Pages>
          )
        }
      >
        {value === undefined ? <Waiting error={error} /> : timeline}
      </Card>
      <Card title="Newest checkpoints">
        <Table
          caption="Newest checkpoints"
          columns={COLUMNS}
          rows={newest}
          keyOf={({ region, number }) => `${region} ${number}`}
          empty={
            job.checkpointIntervalMs === 0
              ? "The job takes one checkpoint, at its end."
              : `There is none yet; one is taken every ${duration(job.checkpointIntervalMs)}.`
          }
        />
      </Card>
      <Card title="Savepoints">
        <Table
          caption="Savepoints"
          columns={SAVEPOINTS}
          rows={savepoints.value ?? []}
          keyOf={({ name }) => name}
          empty="None was taken. A savepoint lets another job go on from here."
        />
      </Card>
    </>
  );
}

/** A bar is a checkpoint: its length is its time, its height its size among those of the same region. */
function Timeline({ regions }: { readonly regions: readonly Region[] }) {
  const ends = regions.flatMap(({ checkpoints }) => checkpoints.map(({ endedMs }) => endedMs));
  const begins = regions.flatMap(({ checkpoints }) =>
    checkpoints.map(({ triggeredMs, endedMs }) => triggeredMs || endedMs),
  );
  if (ends.length === 0) return <p class="empty">There is none yet.</p>;
  const to = Math.max(...ends);
  const from = Math.max(Math.min(...begins), to - 30 * 60_000);
  const x = (ms: number) => LABEL + ((ms - from) / Math.max(to - from, 1)) * (WIDTH - LABEL - 10);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => from + (to - from) * share);
  return (
    <div class="scrolls">
      <svg
        class="timeline"
        viewBox={`0 0 ${WIDTH} ${regions.length * ROW + 30}`}
        role="img"
        aria-label={`Checkpoints of ${regions.length} regions from ${clock(from)} to ${clock(to)}`}
      >
        {ticks.map((ms) => (
          <g key={ms}>
            <line x1={x(ms)} x2={x(ms)} y1="0" y2={regions.length * ROW} class="tick" />
            <text x={x(ms)} y={regions.length * ROW + 18} class={`tick ${ms === to ? "last" : ""}`}>
              {clock(ms)}
            </text>
          </g>
        ))}
        {regions.map(({ region, checkpoints }, row) => {
          const most = Math.max(1, ...checkpoints.map((one) => one.bytes));
          return (
            <g key={region}>
              <text x="0" y={row * ROW + 17} class="name">
                {region.length > 24 ? `${region.slice(0, 23)}…` : region}
              </text>
              {checkpoints
                .filter(({ endedMs }) => endedMs >= from)
                .map((one) => {
                  const begin = Math.max(one.triggeredMs || one.endedMs, from);
                  const height = 5 + 13 * (one.bytes / most);
                  return (
                    <rect
                      key={one.number}
                      class={one.asked ? "asked" : one.state.toLowerCase()}
                      x={x(begin)}
                      width={Math.max(x(one.endedMs) - x(begin), 2)}
                      y={row * ROW + 21 - height}
                      height={height}
                      rx="1"
                    >
                      <title>{`${one.number} ${one.state.toLowerCase()} ${one.reason}\n${duration(one.durationMs)}, ${bytes(one.bytes)}, ${clock(one.endedMs)}`}</title>
                    </rect>
                  );
                })}
            </g>
          );
        })}
      </svg>
    </div>
  );
}

const COLUMNS: readonly Column<Checkpoint & { region: string }>[] = [
  { title: "Region", cell: ({ region }) => region },
  { title: "Number", number: true, cell: ({ number }) => number },
  {
    title: "State",
    cell: ({ state, reason, asked, unaligned }) => (
      <>
        <State of={state} />{" "}
        <span class="quiet">
          {[reason, asked ? "asked for" : "", unaligned ? "unaligned" : ""].filter(Boolean).join(", ")}
        </span>
      </>
    ),
  },
  { title: "Time", number: true, cell: ({ durationMs }) => measured(durationMs) },
  { title: "Size", number: true, cell: (one) => bytes(one.bytes) },
  { title: "Actors", number: true, cell: ({ actors }) => actors },
  { title: "When", cell: ({ endedMs }) => clock(endedMs) },
];

const SAVEPOINTS: readonly Column<Savepoint>[] = [
  { title: "Name", cell: ({ job, name }) => <code>{`${job}/${name}`}</code> },
  { title: "Taken", cell: ({ createdMs }) => moment(createdMs) },
  { title: "Size", number: true, cell: (one) => bytes(one.bytes) },
  { title: "Actors", number: true, cell: ({ actors }) => actors },
];
