/** One job: its graph, and what it is made of. */
import { useMemo } from "preact/hooks";
import { all, get, type Job, type JobWishes, jobPath, post, type Sample } from "../api.js";
import { bytes, count, duration, rate } from "../format.js";
import { JobGraph } from "../graph/job-graph.js";
import { usePolled } from "../live.js";
import { Card, Progress, State, Trouble, Waiting } from "../parts/basics.js";
import { Chart } from "../parts/chart.js";
import { act, HarmButton } from "../parts/dialogs.js";
import { go, link } from "../route.js";
import { ActorsTab } from "./actors.js";
import { CheckpointsTab } from "./checkpoints.js";
import { DeadLettersTab } from "./dead-letters.js";
import { EventList } from "./events.js";
import { OperatorsTab } from "./operators.js";
import { ServicesTab } from "./services.js";

const TABS = [
  ["graph", "Graph"],
  ["operators", "Operators"],
  ["services", "Services"],
  ["checkpoints", "Checkpoints"],
  ["actors", "Actors"],
  ["dead-letters", "Dead letters"],
  ["events", "Events"],
] as const;
const ENDED = new Set(["FINISHED", "FAILED", "CANCELLED"]);

export function JobPage({
  job: name,
  tab,
  about,
}: {
  readonly job: string;
  readonly tab: string;
  readonly about: string | undefined;
}) {
  const {
    value: job,
    error,
    refresh,
  } = usePolled(name, (signal) =>
    // The checkpoints of hundreds of regions are megabytes; their own page asks for them, some regions at a time.
    get<Job>(`${jobPath(name)}?checkpoints=0`, signal),
  );
  const ended = job !== undefined && ENDED.has(job.state);
  const wishes = usePolled(
    `${name} wishes ${ended}`,
    async (signal) => (ended ? undefined : await get<JobWishes>(`${jobPath(name)}/wishes`, signal)),
    2_000,
  );
  const changed = () => {
    refresh();
    wishes.refresh();
  };
  if (job === undefined) return <Waiting error={error} />;
  return (
    <>
      <Head job={job} wishes={ended ? undefined : wishes.value} onChange={changed} />
      <Trouble error={error?.status === 0 ? undefined : error} />
      <nav class="tabs" aria-label={`Job ${name}`}>
        {TABS.map(([id, title]) => (
          <a key={id} href={link("jobs", name, id)} aria-current={id === tab ? "page" : undefined}>
            {title}
            {id === "dead-letters" && job.deadLetters > 0 && (
              <>
                {" "}
                <span class="badge">{count(job.deadLetters)}</span>
              </>
            )}
          </a>
        ))}
      </nav>
      {tab === "graph" && <Overview job={job} />}
      {tab === "operators" && <OperatorsTab job={job} chosen={about} />}
      {tab === "services" && <ServicesTab job={job} wishes={wishes.value} chosen={about} onChange={changed} />}
      {tab === "checkpoints" && <CheckpointsTab job={job} />}
      {tab === "actors" && <ActorsTab job={name} />}
      {tab === "dead-letters" && <DeadLettersTab job={name} />}
      {tab === "events" && <EventList job={name} />}
    </>
  );
}

function Head({
  job,
  wishes,
  onChange,
}: {
  readonly job: Job;
  readonly wishes: JobWishes | undefined;
  onChange(): void;
}) {
  const { job: name, state, message, code, rowsRead, rowsTotal, unit, startedMs, finishedMs } = job;
  const at = jobPath(name);
  const ended = ENDED.has(state);
  const tookMs = startedMs === 0 ? 0 : (finishedMs || Date.now()) - startedMs;
  const shown = wishes?.paused && state === "RUNNING" ? "paused" : state;
  const after = async (work: Promise<unknown>) => {
    await work;
    onChange();
  };
  return (
    <header class="job">
      <div>
        <h1>{name}</h1>
        <p>
          <State of={shown} /> {code !== "" && <strong class="bad">{code}</strong>} {message}
        </p>
      </div>
      <dl class="figures">
        <Figure
          name={`${unit} read`}
          value={rowsTotal > 0 ? `${count(rowsRead)} of ${count(rowsTotal)}` : count(rowsRead)}
        >
          <Progress done={rowsRead} of={rowsTotal} label="Progress" />
        </Figure>
        <Figure name="Written" value={count(job.rowsWritten)} />
        {ended ? (
          <Figure name="Mean" value={tookMs === 0 ? "–" : rate((job.rowsWritten / tookMs) * 1_000)} />
        ) : (
          <>
            <Figure name="Now" value={rate(job.rowsWrittenPerSecond)} />
            <Figure name="In flight" value={count(job.rowsInFlight)} />
          </>
        )}
        <Figure name="Time" value={tookMs === 0 ? "–" : duration(Math.round(tookMs / 1_000) * 1_000)} />
      </dl>
      {wishes && (
        <div class="actions">
          {wishes.paused ? (
            <button
              type="button"
              disabled={wishes.stopping}
              onClick={() => void act("The job goes on.", () => after(post(`${at}/resume`)))}
            >
              Resume
            </button>
          ) : (
            <button
              type="button"
              onClick={() => void act("The job pauses behind its next checkpoints.", () => after(post(`${at}/pause`)))}
            >
              Pause
            </button>
          )}
          <button
            type="button"
            disabled={wishes.paused}
            onClick={() => void act("A savepoint is being taken.", () => after(post(`${at}/savepoints`, {})))}
          >
            Savepoint
          </button>
          <HarmButton
            question={{
              title: `Stop ${name}?`,
              text: "It commits what is done and ends. It does not go on from there; a savepoint would let another job do so.",
              verb: "Stop it",
              act: () => after(post(`${at}/stop`)),
              done: "The job stops behind its next checkpoints.",
            }}
          >
            Stop
          </HarmButton>
          <HarmButton
            question={{
              title: `Cancel ${name}?`,
              text: "It ends at once. What no checkpoint holds is not published.",
              verb: "Cancel it",
              act: () => after(post(`${at}/cancel`)),
              done: "The job is cancelled.",
            }}
          >
            Cancel
          </HarmButton>
        </div>
      )}
    </header>
  );
}

function Figure({
  name,
  value,
  children,
}: {
  readonly name: string;
  readonly value: string;
  readonly children?: preact.ComponentChildren;
}) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value} {children}
      </dd>
    </div>
  );
}

function Overview({ job }: { readonly job: Job }) {
  const { value: samples } = usePolled(
    `${job.job} samples`,
    (signal) => all<Sample>(`${jobPath(job.job)}/samples`, signal),
    5_000,
  );
  // Drawn when there are new samples, not with every number of the graph.
  const charts = useMemo(() => <Charts samples={samples ?? []} />, [samples]);
  return (
    <>
      <Card title="Topology">
        <JobGraph
          job={job}
          onOperator={(operator) => go("jobs", job.job, "operators", operator)}
          onService={(service) => go("jobs", job.job, "services", service)}
        />
        <p class="legend">
          <span class="busy">busy</span> <span class="pressed">back-pressured</span>{" "}
          <span class="outline">region: fails and starts again together</span>
        </p>
      </Card>
      {charts}
    </>
  );
}

function Charts({ samples }: { readonly samples: readonly Sample[] }) {
  const atMs = samples.map((sample) => sample.atMs);
  const line = (label: string, colour: string, of: (sample: Sample) => number) => ({
    label,
    colour,
    values: samples.map(of),
  });
  return (
    <Card title="Last 30 minutes">
      <div class="charts">
        <Chart
          title="Rows a second"
          atMs={atMs}
          lines={[
            line("read", "--line-1", (one) => one.rowsReadPerSecond),
            line("written", "--line-2", (one) => one.rowsWrittenPerSecond),
          ]}
          text={rate}
        />
        <Chart
          title="Rows under way"
          atMs={atMs}
          lines={[
            line("in flight", "--line-1", (one) => one.rowsInFlight),
            line("at instances", "--line-2", (one) => one.instanceRows),
          ]}
          text={count}
        />
        <Chart
          title="Waiting on channels"
          atMs={atMs}
          lines={[line("bytes", "--line-3", (one) => one.queuedBytes)]}
          text={bytes}
        />
        <Chart
          title="Longest checkpoint"
          atMs={atMs}
          lines={[line("time", "--line-4", (one) => one.checkpointMs)]}
          text={duration}
        />
      </div>
    </Card>
  );
}
