/** Services of a job: a row for each instance, and what can be done with it. */
import { type Instance, type Job, type JobWishes, jobPath, patch, post, type Service } from "../api.js";
import { ago, bytes, count, measured, rate, several } from "../format.js";
import { Card, type Column, State, Table } from "../parts/basics.js";
import { act, ask, HarmButton } from "../parts/dialogs.js";

const OVER = new Set(["STOPPED", "FAILED"]);

interface Props {
  readonly job: Job;
  readonly wishes: JobWishes | undefined;
  readonly chosen: string | undefined;
  onChange(): void;
}

export function ServicesTab({ job, wishes, chosen, onChange }: Props) {
  const first = [...job.services].sort((a, b) => Number(b.service === chosen) - Number(a.service === chosen));
  if (first.length === 0) return <p class="empty">The job calls no services.</p>;
  return first.map((service) => (
    <ServiceCard key={service.service} job={job.job} service={service} wishes={wishes} onChange={onChange} />
  ));
}

function ServiceCard({
  job,
  service,
  wishes,
  onChange,
}: {
  readonly job: string;
  readonly service: Service;
  readonly wishes: JobWishes | undefined;
  onChange(): void;
}) {
  const { service: name, instancesWanted, instances, counts, callers } = service;
  const at = `${jobPath(job)}/services/${encodeURIComponent(name)}`;
  const scale = (to: number) =>
    act(`${name} is to have ${several(to, "instance")}.`, async () => {
      await patch(at, { instances: to });
      onChange();
    });
  const living = instances.filter(({ state }) => !OVER.has(state));
  const ended = instances.filter(({ state }) => OVER.has(state));
  return (
    <Card
      title={name}
      actions={
        wishes && (
          <span class="stepper" role="group" aria-label={`Instances of ${name}`}>
            <button
              type="button"
              aria-label="One less"
              disabled={instancesWanted === 0}
              onClick={() =>
                instancesWanted === 1
                  ? ask({
                      title: `No instance for ${name}?`,
                      text: "Requests wait until it has one again.",
                      verb: "Scale to none",
                      harm: true,
                      act: () => scale(0),
                      done: `${name} is to have no instance.`,
                    })
                  : void scale(instancesWanted - 1)
              }
            >
              −
            </button>
            <output>{instancesWanted} wanted</output>
            <button type="button" aria-label="One more" onClick={() => void scale(instancesWanted + 1)}>
              +
            </button>
          </span>
        )
      }
    >
      <p class="quiet">
        Called by {callers.join(", ") || "nobody"}.{" "}
        {counts &&
          `${count(counts.rows)} rows answered in ${count(counts.calls)} requests; ${count(counts.retries)} tried again, ${count(counts.duplicateCalls)} rows worked on twice, ${count(counts.refusedRows)} refused.`}
      </p>
      <Table
        caption={`Instances of ${name}`}
        columns={columns(at, wishes, onChange)}
        rows={living}
        keyOf={({ instance }) => instance}
        empty="It has no instance."
      />
      {ended.length > 0 && (
        <details>
          <summary>{ended.length} ended</summary>
          <Table
            caption={`Ended instances of ${name}`}
            columns={ENDED}
            rows={[...ended].reverse()}
            keyOf={({ instance }) => instance}
            empty=""
          />
        </details>
      )}
    </Card>
  );
}

const ENDED: readonly Column<Instance>[] = [
  { title: "Instance", cell: ({ instance }) => instance },
  { title: "State", cell: ({ state }) => <State of={state} /> },
  { title: "When", cell: ({ sinceMs }) => ago(sinceMs) },
  { title: "Why", cell: ({ code, message }) => `${code} ${message}`.trim() || "–" },
];

function columns(at: string, wishes: JobWishes | undefined, onChange: () => void): readonly Column<Instance>[] {
  const quarantined = new Set(wishes?.quarantined);
  return [
    { title: "Instance", cell: ({ instance }) => instance },
    {
      title: "State",
      cell: ({ state, message, instance, aside }) => (
        <>
          <State of={state} /> {quarantined.has(instance) && <State of="warning" />}{" "}
          <span class="quiet">
            {quarantined.has(instance)
              ? "in quarantine"
              : aside > 0
                ? `put aside by ${several(aside, "client")}`
                : message}
          </span>
        </>
      ),
    },
    { title: "Worker", cell: ({ worker }) => worker || "–" },
    { title: "Queued", number: true, cell: ({ queuedRows }) => count(queuedRows) },
    { title: "In flight", number: true, cell: ({ runningRows }) => count(runningRows) },
    { title: "p50", number: true, cell: ({ callMsP50 }) => measured(callMsP50) },
    { title: "p99", number: true, cell: ({ callMsP99 }) => measured(callMsP99) },
    { title: "Rate", number: true, cell: ({ rowsPerSecond }) => rate(rowsPerSecond) },
    { title: "Errors", number: true, cell: ({ errors }) => count(errors) },
    { title: "Memory", number: true, cell: ({ memoryBytes }) => (memoryBytes === 0 ? "–" : bytes(memoryBytes)) },
    { title: "Since", cell: ({ sinceMs }) => ago(sinceMs) },
    {
      title: "",
      cell: ({ instance }) =>
        wishes && (
          <InstanceButtons
            at={`${at}/instances/${encodeURIComponent(instance)}`}
            instance={instance}
            quarantined={quarantined.has(instance)}
            onChange={onChange}
          />
        ),
    },
  ];
}

function InstanceButtons({
  at,
  instance,
  quarantined,
  onChange,
}: {
  readonly at: string;
  readonly instance: string;
  readonly quarantined: boolean;
  onChange(): void;
}) {
  const after = async (path: string) => {
    await post(`${at}/${path}`);
    onChange();
  };
  return (
    <span class="buttons">
      <button
        type="button"
        class="small"
        onClick={() =>
          void act(quarantined ? `${instance} gets requests again.` : `${instance} gets no requests.`, () =>
            after(quarantined ? "release" : "quarantine"),
          )
        }
      >
        {quarantined ? "Release" : "Quarantine"}
      </button>
      <HarmButton
        small
        question={{
          title: `Drain ${instance}?`,
          text: "It finishes or hands over what it has, and ends. Another takes its place, and has to load first.",
          verb: "Drain it",
          act: () => after("drain"),
          done: `${instance} drains.`,
        }}
      >
        Drain
      </HarmButton>
    </span>
  );
}
