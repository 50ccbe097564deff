/** Events: those that the leader still knows, and those to come as server-sent events, from whichever coordinator is asked. */
import { PassThrough } from "node:stream";
import Type from "typebox";
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import { clusterSubjects } from "../../bus/subjects.js";
import { EVENT_KINDS } from "../../coordinator/events.js";
import { type ClusterEvent, eventFrame } from "../../wire/control.js";
import { pageOf } from "../paging.js";
import type { Routes } from "../routing.js";
import { answers, Id, listQuery, OneOf, pageOfItems, Text, TimeMs } from "../schemas/basics.js";

const SEVERITIES = ["info", "warning", "error"] as const;
/** A comment at that pace keeps proxies from closing a quiet stream. */
const PING_MS = 15_000;

const EventView = Type.Object(
  {
    event: Text("Its id, which grows with every event of a cluster."),
    atMs: TimeMs("When it happened."),
    kind: Text("What has happened."),
    severity: OneOf(SEVERITIES, "How bad it is."),
    job: Text("The job that it is about."),
    about: Text("The region, instance, worker or savepoint that it is about."),
    code: Text("Error code."),
    message: Text("For people."),
  },
  { title: "Event" },
);

const Filters = {
  job: Type.Optional(Id("Only of this job.")),
  kind: Type.Optional(OneOf(EVENT_KINDS, "Only of this kind.")),
  severity: Type.Optional(OneOf(SEVERITIES, "Only of this severity.")),
};
const FilterQuery = Type.Object(Filters);
type Filter = Type.Static<typeof FilterQuery>;

const fits = (event: ClusterEvent, { job, kind, severity }: Filter): boolean =>
  (job === undefined || event.job === job) &&
  (kind === undefined || event.kind === kind) &&
  (severity === undefined || event.severity === severity);

const viewOf = (event: ClusterEvent): Type.Static<typeof EventView> => ({ ...event, atMs: Number(event.atMs) });

/** Ids sort as events happened. */
function orderOf(id: string): string {
  const [term = "", number = ""] = id.split("-");
  return `${term.padStart(20, "0")}-${number.padStart(12, "0")}`;
}

export const eventRoutes: Routes = (app, { bus, namespace, leader, ports }) => {
  let streams = 0;

  app.get(
    "/v1/events",
    {
      config: { role: "viewer", leader: true },
      schema: {
        operationId: "listEvents",
        tags: ["cluster"],
        summary: "The last events that the leader knows, oldest first",
        querystring: listQuery(Filters),
        response: answers({ 200: pageOfItems(EventView) }),
      },
    },
    async ({ query }) => {
      const some = leader()!.events.kept.filter((event) => fits(event, query));
      const { items, ...rest } = pageOf(some, ({ event }) => orderOf(event), query);
      return { items: items.map(viewOf), ...rest };
    },
  );

  app.get(
    "/v1/events/stream",
    {
      config: { role: "viewer" },
      schema: {
        operationId: "streamEvents",
        tags: ["cluster"],
        summary: "Events from now on, as server-sent events",
        description:
          "After a break, the browser's own `Last-Event-ID` brings what was missed, as far as the leader still knows it.",
        querystring: FilterQuery,
        headers: Type.Object({ "last-event-id": Type.Optional(Type.String({ pattern: "^\\d{1,20}-\\d{1,12}$" })) }),
        produces: ["text/event-stream"],
      },
    },
    async (request, reply) => {
      const { query, headers } = request;
      if (streams >= limits.apiEventStreamsMax) {
        const message = `${streams} clients follow the events of this coordinator, which is the most it takes. Close some, or ask another coordinator.`;
        throw new MillraceError("MILL_REQUEST_TOO_MANY", message);
      }
      const out = new PassThrough({ highWaterMark: limits.apiEventBytesMax });
      let newest = headers["last-event-id"] === undefined ? "" : orderOf(headers["last-event-id"]);
      const send = (event: ClusterEvent) => {
        if (orderOf(event.event) <= newest || !fits(event, query)) return;
        newest = orderOf(event.event);
        // A client that does not read is let go: it comes again with the last id that it has seen.
        if (!out.write(`id: ${event.event}\nevent: ${event.kind}\ndata: ${JSON.stringify(viewOf(event))}\n\n`))
          out.destroy();
      };
      const waiting: ClusterEvent[] = [];
      let caughtUp = false;
      const subscription = await bus.subscribe(clusterSubjects(namespace).events, ({ payload }) => {
        const { header } = eventFrame.decode(payload);
        if (caughtUp) send(header);
        else waiting.push(header);
      });
      streams++;
      const ping = () => {
        out.write(": still here\n\n");
        timer = ports.clock.after(PING_MS, ping);
      };
      let timer = ports.clock.after(PING_MS, ping);
      out.once("close", () => {
        streams--;
        timer.cancel();
        subscription.unsubscribe();
      });
      request.raw.once("close", () => out.destroy());
      out.write("retry: 1000\n\n");
      if (headers["last-event-id"] !== undefined) for (const event of leader()?.events.kept ?? []) send(event);
      caughtUp = true;
      for (const event of waiting) send(event);
      return reply.header("x-accel-buffering", "no").type("text/event-stream").send(out);
    },
  );
};
