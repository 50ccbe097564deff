/** Actors of a job: asked for page by page, so that ten thousand of them are no more work than a hundred. */
import { useState } from "preact/hooks";
import { type Actor, get, jobPath, type Page } from "../api.js";
import { bytes, count } from "../format.js";
import { usePolled } from "../live.js";
import { Card, type Column, Pages, Shares, State, Table, Waiting } from "../parts/basics.js";

const COLUMNS: readonly Column<Actor>[] = [
  { title: "Actor", cell: ({ actor }) => actor },
  {
    title: "State",
    cell: ({ state, message }) => (
      <>
        <State of={state} /> <span class="quiet">{message}</span>
      </>
    ),
  },
  { title: "Region", cell: ({ region, attempt }) => `${region} (attempt ${attempt})` },
  { title: "Worker", cell: ({ worker }) => worker || "–" },
  { title: "Time", cell: (one) => <Shares {...one} /> },
  { title: "Read", number: true, cell: ({ rowsRead }) => count(rowsRead) },
  { title: "Written", number: true, cell: ({ rowsWritten }) => count(rowsWritten) },
  { title: "In flight", number: true, cell: ({ rowsInFlight }) => count(rowsInFlight) },
  { title: "Waiting", number: true, cell: ({ queuedBytes }) => bytes(queuedBytes) },
];

export function ActorsTab({ job }: { readonly job: string }) {
  const [places, setPlaces] = useState<readonly string[]>([]);
  const after = places.at(-1);
  const url = `${jobPath(job)}/actors?limit=100${after === undefined ? "" : `&after=${encodeURIComponent(after)}`}`;
  const { value, error } = usePolled(url, (signal) => get<Page<Actor>>(url, signal), 2_000);
  return (
    <Card title="Actors" actions={<Pages places={places} next={value?.next} onPlaces={setPlaces} />}>
      {value === undefined ? (
        <Waiting error={error} />
      ) : (
        <Table
          caption="Actors"
          columns={COLUMNS}
          rows={value.items}
          keyOf={({ actor }) => actor}
          empty="The job has no actors any more."
        />
      )}
    </Card>
  );
}
