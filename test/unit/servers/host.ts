/** A process that starts servers and never stops them; `running.test.ts` ends it in several ways. */
import { startNats } from "../../servers/index.js";

const nats = await startNats();
process.stdout.write(`${JSON.stringify({ port: nats.port, dataDir: nats.dataDir })}\n`);
if (process.argv[2] === "exit") process.exit(0);
if (process.argv[2] === "stay") process.stdin.resume();
