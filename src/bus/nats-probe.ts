/**
 * What a NATS server says of itself and of the account, for who checks a set-up: `millrace doctor`. Connects, asks, makes a stream of one's
 * own in memory, and deletes it. A bus does not need any of this.
 */
import { jetstreamManager, StorageType } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import { type NatsOptions, openNats } from "./nats-connect.js";
import { storageError } from "./nats-errors.js";

export interface NatsFacts {
  readonly version: string;
  readonly maxPayloadBytes: number;
  readonly roundTripMs: number;
  readonly jetStream: JetStreamFacts | { readonly error: MillraceError };
}

export interface JetStreamFacts {
  readonly storageBytes: number;
  /** Undefined: the account has no limit of its own. */
  readonly storageBytesMax: number | undefined;
  readonly streams: number;
  readonly streamsMax: number | undefined;
  /** The server's clock, RFC 3339, at some moment between these two of this machine's. */
  readonly serverTime: string;
  readonly afterMs: number;
  readonly beforeMs: number;
}

/** @throws {MillraceError} `MILL_BUS_UNREACHABLE`, `MILL_BUS_REFUSED`, `MILL_CONFIG` */
export async function probeNats(options: NatsOptions, ports: Ports): Promise<NatsFacts> {
  const { connection } = await openNats(options);
  try {
    const roundTripMs = await connection.rtt();
    const { version, max_payload: maxPayloadBytes } = connection.info!;
    const jetStream = await probeJetStream(connection, ports).catch((error: unknown) => ({
      error: storageError(error, "ask JetStream"),
    }));
    return { version, maxPayloadBytes, roundTripMs, jetStream };
  } finally {
    await connection.close();
  }
}

async function probeJetStream(connection: NatsConnection, { clock, random }: Ports): Promise<JetStreamFacts> {
  const manager = await jetstreamManager(connection, { timeout: limits.busRequestTimeoutMs });
  const { storage, streams, limits: account } = await manager.getAccountInfo();
  // As the logs of durable exchanges are called, so that an account which may make those may make this.
  const name = `MR_LOG_doctor-${random.id(12)}`;
  const afterMs = clock.nowMs();
  const { created } = await manager.streams.add({
    name,
    subjects: [`mr_log.${name.slice("MR_LOG_".length)}`],
    storage: StorageType.Memory,
    max_bytes: 1_024,
  });
  const beforeMs = clock.nowMs();
  await manager.streams.delete(name);
  const limited = (max: number | undefined) => (max === undefined || max < 0 ? undefined : max);
  return {
    storageBytes: storage,
    storageBytesMax: limited(account.max_storage),
    streams,
    streamsMax: limited(account.max_streams),
    serverTime: String(created),
    afterMs,
    beforeMs,
  };
}
