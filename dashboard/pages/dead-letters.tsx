/** Records that operators refused: why, what they are, and what to do with them. */
import { useState } from "preact/hooks";
import { get, jobPath, type Page, post } from "../api.js";
import { count, moment } from "../format.js";
import { usePolled } from "../live.js";
import { Card, type Column, Table, Trouble, Waiting } from "../parts/basics.js";
import { Content } from "../parts/content.js";
import { ask, HarmButton } from "../parts/dialogs.js";
import { link } from "../route.js";
import "./dead-letters.css";

const STATES = ["open", "replayed", "discarded"] as const;
type LetterState = (typeof STATES)[number];

interface Summary {
  readonly id: string;
  readonly operator: string;
  readonly code: string;
  readonly message: string;
  readonly atMs: number;
  readonly state: LetterState;
  /** Job that replays it. */
  readonly job: string;
  readonly by: string;
}

interface Letter extends Summary {
  readonly record: Readonly<Record<string, unknown>>;
  readonly replayable: boolean;
  readonly hindrance: string;
  readonly contents: readonly { path: string; uri: string; mediaType: string; sizeBytes: number }[];
}

interface Filter {
  readonly operator?: string;
  readonly code?: string;
}

const PAGE = 100;

export function DeadLettersTab({ job }: { readonly job: string }) {
  const [filter, setFilter] = useState<Filter>({});
  const [state, setState] = useState<LetterState>("open");
  /** Where the pages before this one ended. */
  const [before, setBefore] = useState<readonly string[]>([]);
  const [chosen, setChosen] = useState<string>();
  const after = before.at(-1);
  const query = new URLSearchParams({
    ...filter,
    state,
    limit: String(PAGE),
    ...(after === undefined ? {} : { after }),
  });
  const at = `${jobPath(job)}/dead-letters`;
  const page = usePolled(`${at}?${query}`, (signal) => get<Page<Summary>>(`${at}?${query}`, signal), 5_000);
  const letters = page.value?.items ?? [];
  const first = () => {
    setBefore([]);
    setChosen(undefined);
  };
  const changed = () => {
    setChosen(undefined);
    page.refresh();
  };
  return (
    <div class="letters">
      <Card
        title="Dead letters"
        actions={state === "open" && letters.length > 0 && <ManyButtons at={at} filter={filter} onChange={changed} />}
      >
        <form
          class="filters"
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            const [operator, code] = [String(form.get("operator")).trim(), String(form.get("code")).trim()];
            setFilter({ ...(operator === "" ? {} : { operator }), ...(code === "" ? {} : { code }) });
            first();
          }}
        >
          <label>
            Operator
            <input name="operator" autocomplete="off" />
          </label>
          <label>
            Code
            <input name="code" autocomplete="off" />
          </label>
          <label>
            State
            <select
              name="state"
              value={state}
              onChange={(event) => {
                setState(event.currentTarget.value as LetterState);
                first();
              }}
            >
              {STATES.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </label>
          <button type="submit">Filter</button>
        </form>
        {page.value === undefined ? (
          <Waiting error={page.error} />
        ) : (
          <>
            <Trouble error={page.error} />
            <Table
              caption="Dead letters, newest first"
              columns={columns(state, chosen, setChosen)}
              rows={letters}
              keyOf={({ id }) => id}
              empty={page.value.next === undefined ? "There is none." : "None among those looked at so far."}
            />
          </>
        )}
        <p class="actions">
          {before.length > 0 && (
            <button type="button" onClick={() => setBefore(before.slice(0, -1))}>
              Newer
            </button>
          )}
          {page.value?.next !== undefined && (
            <button type="button" onClick={() => setBefore([...before, page.value!.next!])}>
              Older
            </button>
          )}
        </p>
      </Card>
      {chosen !== undefined && <LetterCard key={chosen} at={`${at}/${chosen}`} onChange={changed} />}
    </div>
  );
}

function columns(
  state: LetterState,
  chosen: string | undefined,
  choose: (id: string | undefined) => void,
): readonly Column<Summary>[] {
  const decided: Column<Summary> = {
    title: state === "replayed" ? "Replay" : "By",
    cell: ({ job, by }) => (state === "replayed" ? <a href={link("jobs", job)}>{job}</a> : by),
  };
  return [
    { title: "When", cell: ({ atMs }) => moment(atMs) },
    { title: "Operator", cell: ({ operator }) => operator },
    { title: "Code", cell: ({ code }) => <code>{code}</code> },
    { title: "Reason", cell: ({ message }) => message },
    ...(state === "open" ? [] : [decided]),
    {
      title: "",
      cell: ({ id, operator }) => (
        <button
          type="button"
          class="small"
          aria-expanded={chosen === id}
          aria-label={`${chosen === id ? "Close" : "Open"} the record that ${operator} refused`}
          onClick={() => choose(chosen === id ? undefined : id)}
        >
          {chosen === id ? "Close" : "Open"}
        </button>
      ),
    },
  ];
}

interface Replays {
  readonly replays: readonly { job: string; records: number }[];
  readonly left: number;
  readonly more: boolean;
}

/** @throws {Error} what people should know */
async function replay(path: string, body?: unknown): Promise<void> {
  const { replays, left, more } = (await (await post(path, body)).json()) as Replays;
  const records = replays.reduce((sum, one) => sum + one.records, 0);
  if (left > 0) throw new Error(`${count(records)} are replayed; ${count(left)} cannot be: open one to see why.`);
  if (more) throw new Error(`The first ${count(records)} are replayed. Replay again for the others.`);
}

function ManyButtons({ at, filter, onChange }: { at: string; filter: Filter; onChange(): void }) {
  const parts = Object.entries(filter).map(([name, value]) => `${name} ${value}`);
  const which = parts.length === 0 ? "all dead letters of the job" : `all with ${parts.join(" and ")}`;
  const done = (work: Promise<unknown>) => work.finally(onChange);
  return (
    <>
      <button
        type="button"
        class="small"
        onClick={() =>
          ask({
            title: "Replay them?",
            text: `This gives ${which} back to the operators that refused them, in a job of its own, which writes to the same outputs.`,
            verb: "Replay",
            act: () => done(replay(`${at}/replay`, { filter })),
            done: "They are replayed.",
          })
        }
      >
        Replay all
      </button>
      <HarmButton
        small
        question={{
          title: "Discard them?",
          text: `This sets ${which} aside for good. The published files stay as they are.`,
          verb: "Discard",
          act: () => done(post(`${at}/discard`, { filter })),
          done: "They are discarded.",
        }}
      >
        Discard all
      </HarmButton>
    </>
  );
}

function LetterCard({ at, onChange }: { at: string; onChange(): void }) {
  const { value: letter, error } = usePolled(at, (signal) => get<Letter>(at, signal), 60_000);
  if (letter === undefined) return <Waiting error={error} />;
  const { operator, code, message, atMs, state, replayable, hindrance, contents, record } = letter;
  const inside = (name: string) => contents.filter(({ path }) => path === name || path.startsWith(`${name}.`));
  const after = async (work: Promise<unknown>) => {
    await work;
    onChange();
  };
  return (
    <Card
      title={`Refused by ${operator}`}
      actions={
        state === "open" && (
          <>
            <button
              type="button"
              class="small main"
              disabled={!replayable}
              onClick={() =>
                ask({
                  title: "Replay this record?",
                  text: `It goes back to operator "${operator}", in a job of its own, which writes to the same outputs.`,
                  verb: "Replay",
                  act: () => after(replay(`${at}/replay`)),
                  done: "It is replayed.",
                })
              }
            >
              Replay
            </button>
            <HarmButton
              small
              question={{
                title: "Discard this record?",
                text: "This sets it aside for good. The published file stays as it is.",
                verb: "Discard",
                act: () => after(post(`${at}/discard`)),
                done: "It is discarded.",
              }}
            >
              Discard
            </HarmButton>
          </>
        )
      }
    >
      <p>
        <code>{code}</code> {message} <span class="quiet">{moment(atMs)}</span>
      </p>
      {state === "open" && !replayable && <p class="quiet">It cannot be replayed: {hindrance}</p>}
      <dl>
        {Object.entries(record).map(([name, value]) => (
          <div key={name} style="display: contents">
            <dt>{name}</dt>
            <dd>
              {inside(name).map(({ path, uri, mediaType, sizeBytes }) => (
                <div key={path}>
                  <Content path={`${at}/content/${encodeURIComponent(path)}`} name={path} sizeBytes={sizeBytes} />
                  <p class="quiet">{[uri, mediaType].filter(Boolean).join(", ")}</p>
                </div>
              ))}
              {!inside(name).some(({ path }) => path === name) && text(value)}
            </dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}

function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 1);
}
