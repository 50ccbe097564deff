/**
 * Real servers for tests and benchmarks, on random loopback ports, each with its own data folder.
 *
 *   before(async () => { nats = await startNats(); });
 *   after(async () => { await nats.stop(); });
 *
 * That is all a test has to write. Where the server cannot be had, `startNats` throws `ServerUnavailableError`; the
 * mocha plugin (hooks.ts) turns that into "not run" for the suite or test, lists it at the end with the command that
 * would get the server, and ignores the suite's `after` hooks, which would find nothing to stop. With `CI=true` it stays
 * an error. Outside mocha (benchmarks) it is an ordinary error. A server that nobody stopped ends with the process.
 *
 * A test that lacks something else (an interpreter, a package) calls `skipBecause(this, reason)`, never `this.skip()`.
 */
export { ServerUnavailableError } from "./find.js";
export { type MinioOptions, type MinioServer, startMinio } from "./minio.js";
export { type NatsOptions, type NatsServer, startNats } from "./nats.js";
export { skipBecause } from "./not-run.js";
