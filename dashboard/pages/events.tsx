/** What has happened, as it happens. */
import { useEffect, useState } from "preact/hooks";
import { type Event, follow, get, type Page } from "../api.js";
import { clock } from "../format.js";
import { Card, type Column, State, Table } from "../parts/basics.js";
import { link } from "../route.js";

const SHOWN_MAX = 500;

const columns = (withJob: boolean): readonly Column<Event>[] => [
  { title: "When", cell: ({ atMs }) => clock(atMs) },
  { title: "What", cell: ({ kind }) => kind },
  ...(withJob
    ? [{ title: "Job", cell: ({ job }: Event) => (job === "" ? "–" : <a href={link("jobs", job)}>{job}</a>) }]
    : []),
  { title: "About", cell: ({ about }) => about || "–" },
  {
    title: "",
    cell: ({ severity, code, message }) => (
      <>
        {severity !== "info" && <State of={severity} />} {code} {message}
      </>
    ),
  },
];

export function EventsPage() {
  return <EventList />;
}

export function EventList({ job }: { readonly job?: string }) {
  const [events, setEvents] = useState<readonly Event[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    const filter = job === undefined ? "" : `job=${encodeURIComponent(job)}`;
    const known = new Map<string, Event>();
    const add = (more: readonly Event[]) => {
      for (const event of more) known.set(event.event, event);
      const newest = [...known.values()].sort(
        (a, b) => b.atMs - a.atMs || b.event.localeCompare(a.event, "en", { numeric: true }),
      );
      setEvents(newest.slice(0, SHOWN_MAX));
    };
    setEvents([]);
    void get<Page<Event>>(`/v1/events?limit=1000&${filter}`, stop.signal)
      .then(({ items }) => add(items))
      .catch(() => {});
    void follow(`/v1/events/stream?${filter}`, (event) => add([event]), stop.signal);
    return () => stop.abort();
  }, [job]);
  return (
    <Card title="Events">
      <Table
        caption="Events"
        columns={columns(job === undefined)}
        rows={events}
        keyOf={({ event }) => event}
        empty="Nothing has happened yet."
      />
    </Card>
  );
}
