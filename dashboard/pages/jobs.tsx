/** All jobs. */
import { all, type JobSummary } from "../api.js";
import { ago, count, duration } from "../format.js";
import { usePolled } from "../live.js";
import { Card, type Column, Progress, State, Table, Waiting } from "../parts/basics.js";
import { link } from "../route.js";
import { SubmitButton } from "./submit.js";

const COLUMNS: readonly Column<JobSummary>[] = [
  { title: "Job", cell: ({ job }) => <a href={link("jobs", job)}>{job}</a> },
  {
    title: "State",
    cell: ({ state, message }) => (
      <>
        <State of={state} /> <span class="quiet">{message}</span>
      </>
    ),
  },
  {
    title: "Read",
    cell: ({ rowsRead, rowsTotal }) => (
      <>
        <Progress done={rowsRead} of={rowsTotal} label={`${rowsRead} of ${rowsTotal} rows read`} />{" "}
        <span class="quiet">
          {count(rowsRead)}
          {rowsTotal > 0 && ` of ${count(rowsTotal)}`}
        </span>
      </>
    ),
  },
  { title: "Written", number: true, cell: ({ rowsWritten }) => count(rowsWritten) },
  { title: "In flight", number: true, cell: ({ rowsInFlight }) => count(rowsInFlight) },
  {
    title: "Dead letters",
    number: true,
    cell: ({ deadLetters, job }) =>
      deadLetters > 0 ? <a href={link("jobs", job, "dead-letters")}>{count(deadLetters)}</a> : 0,
  },
  { title: "Instances", number: true, cell: ({ counts }) => `${counts.instancesReady}/${counts.instancesWanted}` },
  { title: "Restarts", number: true, cell: ({ counts }) => counts.restarts },
  {
    title: "Time",
    number: true,
    cell: ({ startedMs, finishedMs, submittedMs }) =>
      startedMs === 0 ? `sent ${ago(submittedMs)}` : duration((finishedMs || Date.now()) - startedMs),
  },
];

export function JobsPage() {
  const { value, error, refresh } = usePolled("jobs", (signal) => all<JobSummary>("/v1/jobs", signal));
  const newest = [...(value ?? [])].sort((a, b) => b.submittedMs - a.submittedMs);
  return (
    <Card title="Jobs" actions={<SubmitButton onDone={refresh} />}>
      {value === undefined ? (
        <Waiting error={error} />
      ) : (
        <Table
          caption="Jobs"
          columns={COLUMNS}
          rows={newest}
          keyOf={({ job }) => job}
          empty="No job runs. Submit a topology here, or with millrace submit."
        />
      )}
    </Card>
  );
}
