/** Operators of a job, each over all its parallel instances. */
import type { Job, Operator } from "../api.js";
import { bytes, count, percent, rate } from "../format.js";
import { Card, type Column, Shares, Table } from "../parts/basics.js";
import { link } from "../route.js";

export function OperatorsTab({ job, chosen }: { readonly job: Job; readonly chosen: string | undefined }) {
  const columns: readonly Column<Operator>[] = [
    {
      title: "Operator",
      cell: ({ operator }) => (operator === chosen ? <strong aria-current="true">{operator}</strong> : operator),
    },
    { title: "Kind", cell: ({ kind }) => kind },
    { title: "Parallel", number: true, cell: ({ parallelism }) => parallelism },
    { title: "Time", cell: (one) => <Shares {...one} /> },
    { title: "Busiest", number: true, cell: ({ busyMax }) => percent(busyMax) },
    { title: "In", number: true, cell: ({ rowsIn, rowsInPerSecond }) => `${count(rowsIn)} · ${rate(rowsInPerSecond)}` },
    {
      title: "Out",
      number: true,
      cell: ({ rowsOut, rowsOutPerSecond }) => `${count(rowsOut)} · ${rate(rowsOutPerSecond)}`,
    },
    {
      title: "Waiting",
      number: true,
      cell: ({ queuedBytes, queuedBatches }) =>
        queuedBatches === 0 ? "–" : `${queuedBatches} batches, ${bytes(queuedBytes)}`,
    },
    { title: "In flight", number: true, cell: ({ rowsInFlight }) => (rowsInFlight === 0 ? "–" : count(rowsInFlight)) },
    {
      title: "Service",
      cell: ({ service }) =>
        service === "" ? "–" : <a href={link("jobs", job.job, "services", service)}>{service}</a>,
    },
  ];
  return (
    <Card title="Operators">
      <Table
        caption="Operators"
        columns={columns}
        rows={job.operators}
        keyOf={({ operator }) => operator}
        empty="The job has no operators."
      />
    </Card>
  );
}
