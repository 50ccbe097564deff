/** Small parts that many pages share. */
import type { ComponentChildren } from "preact";
import type { Refused } from "../api.js";
import { percent } from "../format.js";

const GOOD = new Set(["RUNNING", "READY", "FINISHED", "COMMITTED", "up"]);
const BAD = new Set(["FAILED", "FAILING", "GIVEN_UP", "gone", "error"]);
const WAITS = new Set(["CANCELLED", "STOPPED", "paused", "warning"]);

/** A state in words, with a colour that is not needed to understand it. */
export function State({ of }: { readonly of: string }) {
  const kind = GOOD.has(of) ? "good" : BAD.has(of) ? "bad" : WAITS.has(of) ? "waits" : "way";
  return <span class={`state ${kind}`}>{of === "" ? "–" : of.toLowerCase().replaceAll("_", " ")}</span>;
}

/** How time is spent: busy, held up by what is behind it, idle. */
export function Shares({
  busy,
  backPressured,
  idle,
}: {
  readonly busy: number;
  readonly backPressured: number;
  readonly idle: number;
}) {
  const known = busy + backPressured + idle > 0;
  const text = known
    ? `busy ${percent(busy)}, back-pressured ${percent(backPressured)}, idle ${percent(idle)}`
    : "not known yet";
  return (
    <span class="shares" role="img" aria-label={text} title={text}>
      <span class="busy" style={{ width: percent(busy).replace(" ", "") }} />
      <span class="pressed" style={{ width: percent(backPressured).replace(" ", "") }} />
    </span>
  );
}

export function Progress({ done, of, label }: { readonly done: number; readonly of: number; readonly label: string }) {
  if (of === 0) return null;
  return <progress max={of} value={Math.min(done, of)} aria-label={label} title={label} />;
}

export interface Column<T> {
  readonly title: string;
  /** Numbers stand right. */
  readonly number?: boolean;
  readonly cell: (row: T) => ComponentChildren;
}

export function Table<T>(props: {
  readonly caption: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly keyOf: (row: T) => string;
  readonly empty: string;
}) {
  const { caption, columns, rows, keyOf, empty } = props;
  if (rows.length === 0) return <p class="empty">{empty}</p>;
  return (
    <div class="scrolls">
      <table>
        <caption class="hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ title, number }) => (
              <th key={title} scope="col" class={number ? "number" : ""}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ title, number, cell }) => (
                <td key={title} class={number ? "number" : ""} data-title={title}>
                  <div>{cell(row)}</div>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Steps through a long list. @param places where pages began that were left behind @param next where the one after begins */
export function Pages(props: {
  readonly places: readonly string[];
  readonly next: string | undefined;
  onPlaces(places: readonly string[]): void;
  readonly children?: ComponentChildren;
}) {
  const { places, next, onPlaces, children } = props;
  return (
    <>
      <span class="quiet">{children}</span>
      <button type="button" disabled={places.length === 0} onClick={() => onPlaces(places.slice(0, -1))}>
        Before
      </button>
      <button type="button" disabled={next === undefined} onClick={() => next && onPlaces([...places, next])}>
        After
      </button>
    </>
  );
}

export function Trouble({ error }: { readonly error: Refused | undefined }) {
  if (error === undefined) return null;
  return (
    <p class="trouble" role="alert">
      <strong>{error.code}</strong> {error.message}
    </p>
  );
}

/** What the page cannot show. That the coordinator does not answer is said once, at the top. */
export function Waiting({ error }: { readonly error: Refused | undefined }) {
  return error === undefined ? <p class="empty">Loading…</p> : <Trouble error={error} />;
}

export function Card({
  title,
  children,
  actions,
}: {
  readonly title: string;
  readonly children: ComponentChildren;
  readonly actions?: ComponentChildren;
}) {
  return (
    <section class="card" aria-label={title}>
      <header>
        <h2>{title}</h2>
        <div class="actions">{actions}</div>
      </header>
      {children}
    </section>
  );
}
