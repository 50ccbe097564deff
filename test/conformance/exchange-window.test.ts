/**
 * A durable exchange does not rely on JetStream's duplicate window: here it is as small as the server allows, and what
 * was published is published again after it has passed.
 */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection, nanos } from "@nats-io/transport-node";
import { realPorts } from "../../src/base/real/ports.js";
import type { Bus } from "../../src/bus/bus.js";
import { connectNats } from "../../src/bus/nats-bus.js";
import { type NatsServer, startNats } from "../servers/index.js";
import { within } from "./bus-support.js";
import { batchOf, checkRows, nothingTaken, readLife, rowsOfCheckpoint, untilEqual } from "./exchange.js";
import { ExchangePlace, PARTITIONS } from "./exchange-support.js";
import { Guard } from "./sink-guard.js";

const WINDOW_MS_MIN = 100;

describe("conformance/exchange: JetStream with the smallest duplicate window", () => {
  let server: NatsServer;
  let bus: Bus;
  let client: NatsConnection;
  before(async () => {
    server = await startNats();
    bus = await connectNats({ servers: server.url, name: "exchange-window" }, realPorts());
    client = await connect({ servers: server.url });
  });
  after(async () => {
    await client.close();
    await bus.close();
    await server.stop();
  });

  /** A stream like those of the bus, but for its window. */
  async function stream(name: string, subject: string): Promise<void> {
    const manager = await jetstreamManager(client);
    await manager.streams.add({ name, subjects: [subject], duplicate_window: nanos(WINDOW_MS_MIN) });
  }

  /** Resolves when the server has forgotten what it saw before the call. */
  async function windowPassed(): Promise<void> {
    await stream("WINDOW", "window");
    const js = jetstream(client);
    const publish = () => js.publish("window", "", { msgID: "seen" });
    await publish();
    await untilEqual("the server to take the same id again", async () => (await publish()).duplicate, false);
  }

  it("hands on each entry once when all of it is published again after the window (X3, rule 4)", async () => {
    const place = new ExchangePlace(bus);
    for (let partition = 0; partition < PARTITIONS; partition++) {
      await stream(`MR_LOG_${place.logName(partition)}`, `mr_log.${place.logName(partition)}`);
    }
    const writer = await place.writer();
    const taken = nothingTaken();
    const reading = readLife(place, 1, taken, new Guard());
    const prepared: Uint8Array[] = [];
    for (const checkpoint of [1, 2]) {
      await writer.write(batchOf(rowsOfCheckpoint(0, checkpoint)));
      prepared.push(await writer.prepare(BigInt(checkpoint)));
      await writer.commit(prepared.at(-1)!);
    }
    const log = await place.log(1);
    await untilEqual("the reader to let go of both checkpoints", () => log.first(), 3n);
    await windowPassed();
    const next = await place.writer();
    await next.recover(prepared);
    await writer.commit(prepared[0]!);
    await next.write(batchOf(rowsOfCheckpoint(0, 3)));
    next.end?.();
    await next.commit(await next.prepare(4n));
    await within("the reader to end", reading);
    checkRows(taken.rows, 1, 1, "published again after the window");
  });
});
