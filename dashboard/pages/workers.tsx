/** Machines and what runs on them. */
import { all, post, type Worker } from "../api.js";
import { ago, bytes, percent } from "../format.js";
import { usePolled } from "../live.js";
import { Card, type Column, State, Table, Waiting } from "../parts/basics.js";
import { HarmButton } from "../parts/dialogs.js";
import { link } from "../route.js";

type Process = Worker["processes"][number];

const PROCESSES: readonly Column<Process>[] = [
  { title: "Process", cell: ({ name }) => name },
  { title: "Kind", cell: ({ kind, service }) => (kind === "host" ? "host" : `instance of ${service}`) },
  { title: "Job", cell: ({ job }) => <a href={link("jobs", job)}>{job}</a> },
  { title: "State", cell: ({ state }) => <State of={state} /> },
  { title: "Memory", number: true, cell: ({ memoryBytes }) => (memoryBytes === 0 ? "–" : bytes(memoryBytes)) },
];

export function WorkersPage() {
  const { value, error, refresh } = usePolled("workers", (signal) => all<Worker>("/v1/workers", signal), 2_000);
  if (value === undefined) return <Waiting error={error} />;
  if (value.length === 0) return <p class="empty">No worker was heard of. Start one with millrace worker.</p>;
  return value.map((worker) => <WorkerCard key={worker.worker} worker={worker} onChange={refresh} />);
}

function WorkerCard({ worker, onChange }: { readonly worker: Worker; onChange(): void }) {
  const { worker: name, cpus, cpusUsed, memoryBytes, memoryUsedBytes, gpus, draining, heardMs, processes } = worker;
  return (
    <Card
      title={name}
      actions={
        <HarmButton
          disabled={draining}
          question={{
            title: `Drain ${name}?`,
            text: `It takes nothing new. Its ${processes.length} processes are moved elsewhere, as far as there is room, and it leaves.`,
            verb: "Drain it",
            act: async () => {
              await post(`/v1/workers/${encodeURIComponent(name)}/drain`);
              onChange();
            },
            done: `${name} drains.`,
          }}
        >
          {draining ? "Drains" : "Drain"}
        </HarmButton>
      }
    >
      <dl class="figures">
        <Meter name="Processors" used={cpusUsed} of={cpus} text={(value) => String(Math.round(value * 10) / 10)} />
        <Meter name="Memory" used={memoryUsedBytes} of={memoryBytes} text={bytes} />
        {gpus.map(({ uuid, kind, promisedThousandths, memoryBytes: own }) => (
          <Meter
            key={uuid}
            name={`${kind || "GPU"} ${uuid.slice(0, 12)}, ${bytes(own)}, promised`}
            used={promisedThousandths / 1000}
            of={1}
            text={percent}
          />
        ))}
        <div>
          <dt>Heard of</dt>
          <dd>{ago(heardMs)}</dd>
        </div>
      </dl>
      <Table
        caption={`Processes on ${name}`}
        columns={PROCESSES}
        rows={processes}
        keyOf={({ kind, name: process }) => `${kind} ${process}`}
        empty="Nothing runs there."
      />
    </Card>
  );
}

function Meter({
  name,
  used,
  of,
  text,
}: {
  readonly name: string;
  readonly used: number;
  readonly of: number;
  text(value: number): string;
}) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {used > 0 ? `${text(used)} of ${text(of)}` : text(of)}{" "}
        {used > 0 && of > 0 && <meter min={0} max={of} value={Math.min(used, of)} aria-label={`${name} in use`} />}
      </dd>
    </div>
  );
}
