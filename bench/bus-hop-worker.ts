/** The second process of `bus-hop.ts`: serves both sides, each on its own connection and subjects. */
import { connect } from "@nats-io/transport-node";
import { realPorts } from "../src/base/real/ports.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { decodeBatch, SchemaReceiver, SchemaSender } from "../src/wire/arrow.js";
import { dataFrame } from "../src/wire/frames.js";
import { frameOf, hopSubjects } from "./bus-hop-frames.js";

const url = process.argv[2] ?? "";

const bus = await connectNats({ servers: url, name: "bus-hop-worker" }, realPorts());
const receiver = new SchemaReceiver();
let sender: SchemaSender | undefined;
let sequence = 0;
await bus.subscribe(hopSubjects.oursIn, ({ payload: bytes }) => {
  const { header, payload } = dataFrame.decode(bytes);
  const batch = decodeBatch(receiver.accept(header), payload);
  if (typeof batch.getChild("score")?.get(0) !== "number") throw new Error("the column is not there");
  sender ??= new SchemaSender(batch.schema);
  void bus.publish(hopSubjects.oursOut, frameOf(batch, sender, sequence++));
});

const connection = await connect({ servers: url, name: "bus-hop-worker" });
connection.subscribe(hopSubjects.rawIn, {
  callback: (_, message) => connection.publish(hopSubjects.rawOut, message.data),
});
await connection.flush();

process.on("disconnect", () => process.exit());
process.send?.("ready");
