/** The shell of the page: where one is, who one is, and what is shown. */
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { get, token } from "./api.js";
import { usePolled } from "./live.js";
import { EventsPage } from "./pages/events.js";
import { JobPage } from "./pages/job.js";
import { JobsPage } from "./pages/jobs.js";
import { WorkersPage } from "./pages/workers.js";
import { Dialogs } from "./parts/dialogs.js";
import { link, useRoute } from "./route.js";
import "./main.css";

interface Cluster {
  readonly namespace: string;
  readonly version: string;
  readonly term: number;
  readonly workers: number;
  readonly jobs: Readonly<Record<string, number>>;
}

const PLACES = [
  ["jobs", "Jobs"],
  ["workers", "Workers"],
  ["events", "Events"],
] as const;

function Page({ route }: { readonly route: readonly string[] }) {
  const [place = "jobs", ...rest] = route;
  if (place === "jobs")
    return rest[0] === undefined ? <JobsPage /> : <JobPage job={rest[0]} tab={rest[1] ?? "graph"} about={rest[2]} />;
  if (place === "workers") return <WorkersPage />;
  if (place === "events") return <EventsPage />;
  return <p class="empty">There is nothing here. Choose a place above.</p>;
}

function toContent(): void {
  document.querySelector<HTMLElement>("main")?.focus();
}

function App() {
  const route = useRoute();
  useEffect(() => {
    document.title = [...route.slice(1, 3).reverse(), "Millrace"].join(" · ");
  }, [route]);
  const cluster = usePolled("cluster", (signal) => get<Cluster>("/v1/cluster", signal), 2_000);
  if (cluster.error?.status === 401) return <SignIn onToken={cluster.refresh} refused={token.get() !== ""} />;
  const { namespace, version, term, workers } = cluster.value ?? {};
  return (
    <>
      <button type="button" class="skip" onClick={toContent}>
        To the content
      </button>
      <header class="top">
        <a class="brand" href={link("jobs")}>
          Millrace
        </a>
        <nav aria-label="Places">
          {PLACES.map(([place, title]) => (
            <a key={place} href={link(place)} aria-current={(route[0] ?? "jobs") === place ? "page" : undefined}>
              {title}
            </a>
          ))}
          <a href="/docs">API</a>
        </nav>
        {token.get() !== "" && (
          <button
            type="button"
            class="out"
            onClick={() => {
              token.set("");
              location.reload();
            }}
          >
            Sign out
          </button>
        )}
        <p class="about">
          {cluster.error !== undefined && cluster.value === undefined
            ? cluster.error.message
            : cluster.value &&
              `${namespace} · ${workers} ${workers === 1 ? "worker" : "workers"} · term ${term} · ${version}`}
        </p>
        {cluster.error?.status === 0 && cluster.value !== undefined && (
          <p class="away" role="alert">
            The coordinator does not answer; jobs go on. Trying again…
          </p>
        )}
      </header>
      <main tabIndex={-1}>
        <Page route={route} />
      </main>
      <Dialogs />
    </>
  );
}

function SignIn({ onToken, refused }: { onToken(): void; readonly refused: boolean }) {
  return (
    <main class="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          token.set(String(new FormData(event.currentTarget).get("token") ?? "").trim());
          onToken();
        }}
      >
        <h1>Millrace</h1>
        <label>
          Access token
          <input name="token" type="password" autocomplete="off" required />
        </label>
        {refused && (
          <p class="trouble" role="alert">
            This token is not known, or not any more.
          </p>
        )}
        <button type="submit" class="main">
          Sign in
        </button>
        <p class="quiet">
          It is kept for this tab alone. Whoever runs the cluster makes one with <code>millrace token</code>.
        </p>
      </form>
    </main>
  );
}

render(<App />, document.querySelector("#app")!);
