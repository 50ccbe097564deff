/** NATS: whether it answers, and whether JetStream has room and rights for what Millrace keeps there. */
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { Ports } from "../../base/ports.js";
import { type JetStreamFacts, type NatsFacts, probeNats } from "../../bus/nats-probe.js";
import { sizeText } from "../../topology/resources.js";
import type { NatsSettings } from "../settings.js";
import { type Check, fail, ok, warn } from "./check.js";
import type { ClockReading } from "./clock.js";

export interface Found {
  readonly checks: readonly Check[];
  readonly clock?: ClockReading;
}

/** What the tests of the bus run on; older ones were not tried. */
const VERSION_MIN = [2, 9] as const;
/** The server's own default. Smaller ones work, in more messages. */
const PAYLOAD_BYTES_MIN = 1_048_576;

/** @param named whether somebody said where it is: who runs jobs in one process needs none */
export async function checkNats(settings: NatsSettings, named: boolean, ports: Ports): Promise<Found> {
  const { servers } = settings;
  try {
    const facts = await probeNats({ ...settings, name: "doctor" }, ports);
    return { checks: judgeNats(servers.join(", "), facts), ...clockOf(facts) };
  } catch (cause) {
    const { message, code } = MillraceError.from(cause);
    const mend = `${MENDS[code] ?? "Start NATS, or correct --nats or MILLRACE_NATS."} \`run\` needs none.`;
    if (!named) return { checks: [warn("nats", `not reachable, and nobody has named one: ${message}`, mend)] };
    return { checks: [fail("nats", code === "MILL_CONFIG" ? 2 : 3, message, mend)] };
  }
}

const MENDS: Readonly<Record<string, string>> = {
  MILL_BUS_REFUSED:
    "Set MILLRACE_NATS_USER and MILLRACE_NATS_PASSWORD, or MILLRACE_NATS_TOKEN, to what the server takes.",
};

export function judgeNats(servers: string, facts: NatsFacts): Check[] {
  const { version, roundTripMs, maxPayloadBytes, jetStream } = facts;
  const found = `${servers}: version ${version}, answers in ${roundTripMs} ms, messages of up to ${sizeText(maxPayloadBytes)}`;
  return [judgeServer(found, version, maxPayloadBytes), judgeJetStream(jetStream)];
}

function judgeServer(found: string, version: string, maxPayloadBytes: number): Check {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  const old = major < VERSION_MIN[0] || (major === VERSION_MIN[0] && minor < VERSION_MIN[1]);
  if (old)
    return warn(
      "nats",
      found,
      `Use nats-server ${VERSION_MIN.join(".")} or later; Millrace was not tried on this one.`,
    );
  if (maxPayloadBytes >= PAYLOAD_BYTES_MIN) return ok("nats", found);
  return warn("nats", found, "Set max_payload of the server to 1MB or more: larger messages go in fewer parts.");
}

function judgeJetStream(facts: NatsFacts["jetStream"]): Check {
  const name = "jetstream";
  if ("error" in facts) {
    const mend =
      "Start the server with -js, enable JetStream for the account, and let it make streams MR_LOG_* and KV_*.";
    return fail(name, 3, facts.error.message, mend);
  }
  const { storageBytes, storageBytesMax, streams, streamsMax } = facts;
  const of = storageBytesMax === undefined ? ", no limit of the account" : ` of ${sizeText(storageBytesMax)}`;
  const limit = streamsMax === undefined ? "" : ` of ${streamsMax}`;
  const found = `${sizeText(storageBytes)}${of} reserved or used, ${streams}${limit} streams; streams can be made`;
  const log = sizeText(limits.exchangeLogBytesMax);
  if (storageBytesMax !== undefined && storageBytesMax - storageBytes < limits.exchangeLogBytesMax)
    return warn(
      name,
      found,
      `Each partition of a durable exchange sets ${log} aside (its bytesMax): give the account more storage.`,
    );
  if (streamsMax !== undefined && streamsMax - streams < 2)
    return warn(name, found, "Each partition of a durable exchange is a stream: give the account more of them.");
  return ok(name, found);
}

function clockOf({ jetStream }: NatsFacts): { readonly clock?: ClockReading } {
  if ("error" in jetStream) return {};
  const { serverTime, afterMs, beforeMs }: JetStreamFacts = jetStream;
  return { clock: { server: "nats", serverMs: Date.parse(serverTime), coarseMs: 0, afterMs, beforeMs } };
}
