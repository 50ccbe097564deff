/**
 * Faults planted one at a time in compiled files, to see that the simulator would find them. Each breaks a rule that a
 * module header or docs/guarantees.md states; `find` must be in the file exactly once, so that a change of the source that moves
 * the rule shows here.
 *
 * Not here, because no run can tell them from the real thing: a frame or a snapshot of an old attempt whose number is not looked
 * at (subjects contain the attempt, and numbers of checkpoints are used once), an enumerator that does not read its log (it meets
 * its own records, and takes them over), an answer that is left out of a snapshot (it is asked for again), a leader that meets a record of
 * a higher term and goes on (it asks the bucket next, and stops there; both together are in the list), a host that obeys what was meant
 * for an earlier attempt (numbers of checkpoints are used once, and a start that comes early is made good by the channels).
 *
 * Not here either, because 300 seeds did not find it; unit tests have to: frames of an earlier attempt on subjects that all attempts
 * share. It takes a host that was replaced, goes on, and sends just the numbers that a young attempt waits for.
 */
import type { ProfileName } from "../faults.js";

/** Each fault has to be found by one of these seeds. */
export const SEEDS_MAX = 300;

export interface Edit {
  /** Below `dist`. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  /** The rule that is broken, as what the system now does. */
  readonly name: string;
  readonly edits: readonly Edit[];
  readonly profile: ProfileName;
  /** The seed that found it last time: tried first. */
  readonly hint: number;
}

/** @param edits file below `src`, what is there, what is planted in its place */
function mutant(
  name: string,
  hint: number,
  ...edits: readonly (readonly [file: string, find: string, replace: string])[]
): Mutant {
  return {
    name,
    hint,
    profile: "recovery",
    edits: edits.map(([file, find, replace]) => ({ file: `src/${file}`, find, replace })),
  };
}

export const MUTANTS: readonly Mutant[] = [
  // Sinks
  mutant("a file sink publishes when it prepares (file-writer F1)", 1, [
    "connectors/growing-file.js",
    "await output.put(whole, encoder.finish());",
    "await output.put(whole.slice(whole.indexOf('-') + 1), encoder.finish());",
  ]),
  mutant("sinks publish a checkpoint when it is triggered, before its manifest exists (actor A3)", 1, [
    "actors/host.js",
    "actor.trigger(command.checkpoint, command.traceparent);",
    "actor.trigger(command.checkpoint, command.traceparent), void actor.complete(command.checkpoint);",
  ]),
  mutant("what a restored snapshot has pending is not published (output U3)", 12, [
    "connectors/file-writer.js",
    "await publish(output, prepared);\n                after",
    "after",
  ]),
  mutant("a restored output publishes under another name (rule 9)", 5, [
    "connectors/file-writer.js",
    "await publish(output, prepared);\n                after",
    "await publish(output, { ...prepared, to: 'again-' + prepared.to });\n                after",
  ]),
  mutant("what is pending is left out of later snapshots (output U1)", 12, [
    "actors/output.js",
    "const pending = [...this.#pending];",
    "const pending = this.#pending.slice(-1);",
  ]),

  // The log of a region
  mutant("an attempt is deployed without its fence (region C4)", 1, [
    "checkpoint/region.js",
    'return region.writing ? [] : [{ kind: "fence", number: region.newest + 1n }];',
    'return [{ kind: "enter", phase: "PLACING" }];',
  ]),
  mutant("a manifest overwrites what is in its place of the log (runner M1)", 1, [
    "coordinator/region-runner.js",
    "const made = await store.create(",
    "const made = { created: true }; await store.put(",
  ]),
  mutant("a checkpoint is committed when one actor has not acknowledged it (region C2)", 3, [
    "checkpoint/region.js",
    "if (late.size === 0)",
    "if (late.size <= 1 && members.filter((member) => !member.acknowledged).length < members.length)",
  ]),
  mutant("a restarted region begins from nothing (region C4)", 4, [
    "checkpoint/region.js",
    "checkpoint: region.committed }));",
    "checkpoint: 0n }));",
  ]),
  mutant("a process obeys a coordinator of a lower term (rule 9)", 23, [
    "bus/commands.js",
    "if (term < this.#term) {",
    "if (term < 0n) {",
  ]),
  mutant("a leader that has been deposed goes on writing logs (runner M2, M3)", 27, [
    "coordinator/region-runner.js",
    "return this.options.deposed(there.term); // M2\n            if (!(await this.options.leads()))\n                return; // M3",
    "{}",
  ]),
  mutant("a snapshot of an earlier checkpoint counts for the open one (region C7)", 59, [
    "coordinator/region-book.js",
    "attempt !== this.attempt || checkpoint !== open?.checkpoint || open.acknowledged.has(actor)",
    "attempt !== this.attempt || open === undefined || open.acknowledged.has(actor)",
  ]),
  mutant("a report of an earlier attempt counts for the newest one (region C7)", 124, [
    "coordinator/region-book.js",
    "if (report.attempt !== this.attempt)",
    "if (report.attempt > this.attempt)",
  ]),
  mutant("clean-up keeps one commit too few (retention H1)", 2, [
    "checkpoint/retention.js",
    "commits.length < commitsKept ? undefined : commits.at(-commitsKept).number",
    "commits.length < commitsKept ? undefined : (commits.at(1 - commitsKept) ?? commits.at(-1)).number",
  ]),
  mutant("clean-up deletes snapshots to which a kept commit refers (retention H1)", 2, [
    "checkpoint/retention.js",
    "checkpoint <= newest && !needed.has(key) && !pinned.has(key)",
    "checkpoint < newest && !pinned.has(key)",
  ]),

  mutant(
    "a leader begins where a listing says, whatever was deleted (region-log L1)",
    219,
    ["coordinator/region-log.js", "const floor = await log.floor();", "const floor = 0n;"],
    ["coordinator/region-log.js", "if ((await log.floor()) > from + BigInt(records.length))", "if (false)"],
  ),

  mutant("time in which a coordinator stood still counts as silence of others (coordinator K3)", 78, [
    "coordinator/coordinator.js",
    "const deafMs = Math.max(now - this.#beatMs - 2 * limits.heartbeatIntervalMs, 0); // K3",
    "const deafMs = 0;",
  ]),

  // Snapshots
  mutant("requests in flight are left out of the snapshot (infer I6)", 6, [
    "actors/infer-operator.js",
    "const entries = this.#entries.map((entry) => ({ ...entry }));",
    "const entries = this.#entries.filter(({ calls }) => calls.every(({ outcome }) => outcome !== undefined)).map((entry) => ({ ...entry }));",
  ]),
  mutant("parked batches are left out of the snapshot (actor A2)", 10, [
    "actors/actor.js",
    "parked: this.#parking.list,",
    "parked: [],",
  ]),
  mutant("a capture leaves out its last batch (handover V3)", 15, [
    "actors/channel-handover.js",
    "batches.slice(0, Number(upTo - from))",
    "batches.slice(0, Math.max(Number(upTo - from) - 1, 0))",
  ]),
  mutant("a source counts a batch only when it has been handed on (source-reader)", 10, [
    "actors/source-reader.js",
    "this.#state = { ...this.#state, batches: this.#state.batches + 1n, position: item.position };\n        this.runtime.counters.rowsRead += item.batch.numRows;\n        if (item.batch.numRows === 0)\n            return;\n        return this.emit(withLineage(ownBatch(item.batch), lineage));",
    "this.runtime.counters.rowsRead += item.batch.numRows;\n        return Promise.resolve(this.emit(withLineage(ownBatch(item.batch), lineage))).then(() => { this.#state = { ...this.#state, batches: this.#state.batches + 1n, position: item.position }; });",
  ]),
  mutant("a cut does not wait for the flows that are inside (gate G1)", 5, [
    "actors/gate.js",
    "if (this.#inside > 0) {",
    "if (this.#inside < 0) {",
  ]),

  mutant("`infer` notes what it has handed on only afterwards (infer I6)", 97, [
    "actors/infer-operator.js",
    "entry.done = to; // before it is handed on: from then on it is somebody else's (R1)\n                await this.emit(made);",
    "await this.emit(made);\n                entry.done = to;",
  ]),
  mutant("a snapshot of state by key goes on changing (keyed state Y1)", 205, [
    "actors/keyed-state.js",
    "if (this.#shared.delete(number))",
    "if (false)",
  ]),
  mutant("state by key is not restored (keyed state Y4)", 43, [
    "actors/keyed-state.js",
    "for (const one of groups) {\n            const keyBatch",
    "for (const one of []) {\n            const keyBatch",
  ]),

  // Durable exchanges
  mutant("a log is purged one entry too far (exchange X5)", 12, [
    "connectors/exchange-source.js",
    "await log.purgeBelow(exchangePositionFrame.decode(position).header.next);",
    "await log.purgeBelow(exchangePositionFrame.decode(position).header.next + 1n);",
  ]),
  mutant("an entry that comes again is handed on again (exchange X3)", 34, [
    "connectors/exchange-cursor.js",
    "if (isOld(writer.taken, header) || writer.held.some((entry) => isSame(entry.header, header)))\n            return;",
    "if (isOld(writer.taken, header)) { const batch = decodeBatch(this.#schemas.accept(header), payload); if (!header.end && !header.more) yield batch; return; }",
  ]),
  mutant("a writer of a durable exchange publishes before the commit (exchange X1)", 25, [
    "connectors/exchange-writer.js",
    "return encoded(header, cuts);",
    "return encoded(header, cuts).then((bytes) => { void this.commit(bytes).catch(() => {}); return bytes; });",
  ]),
  mutant("a restored writer forgets what it had not published (exchange X2)", 141, [
    "actors/output.js",
    "this.#pending = pending.map(",
    "this.#pending = [].map(",
  ]),

  // Savepoints
  mutant(
    "a savepoint asks writers of a durable exchange when it asks its readers, and they go on (savepoint V1, rule 3)",
    49,
    ["checkpoint/savepoint.js", "readers.every((reader) => taken.has(reader))", "readers.every(() => true)"],
    [
      "coordinator/savepoints.js",
      "region.held = open.stop ||",
      "region.held = (open.stop && !open.readers.has(action.region)) ||",
    ],
  ),
  mutant("batches under way are left out of what goes on from a savepoint (saved-state J1)", 17, [
    "actors/saved-state.js",
    'if (place.startsWith(">") === (into === "channel"))',
    "if (false)",
  ]),

  mutant(
    "what writers have prepared and not published is left out of a job that goes on from a savepoint (seeds J5)",
    103,
    ["actors/seed-exchange.js", "for (const prepared of pending) {", "for (const prepared of []) {"],
  ),
  mutant(
    "the range of a log that a savepoint keeps is one entry too short, and nobody looks whether it is whole (seeds J5, J6)",
    17,
    [
      "actors/seed-exchange.js",
      "for (const entry of unpackEntries(await read(object)).entries)",
      "for (const entry of unpackEntries(await read(object)).entries.slice(1))",
    ],
    ["actors/seed-exchange.js", "if (!whole)", "if (false)"],
  ),

  // Channels
  mutant("a barrier is handed on before the batches that precede it (handover V2)", 57, [
    "actors/channel-handover.js",
    "first?.sequence === this.#handed; first",
    "first !== undefined; first",
  ]),
  mutant("a barrier is not forwarded on one of several channels (rule 8)", 87, [
    "actors/actor.js",
    "output.barrier(checkpoint);",
    "if (output !== this.#graph.outputs[1]) output.barrier(checkpoint);",
  ]),
  mutant("what a receiver lacks is never sent again (sender H1)", 57, [
    "actors/channel-window.js",
    "this.#owed.add(sequence);",
    "continue;",
  ]),
  mutant("a frame that comes twice is handed on twice (arrivals A1)", 3, [
    "actors/channel-receiver.js",
    "else if (this.#data.add(sequence,",
    "else if (sequence < this.#data.next && this.#handover.add(decodeBatch(this.#schemaOf(read.header), read.payload), 0, read.header.barriers)) {}\n        else if (this.#data.add(sequence,",
  ]),
  mutant("a receiver forgets credit for every eighth frame (receiver I1)", 13, [
    "actors/channel-receiver.js",
    "this.#handedBytes += BigInt(bytes);",
    "if (this.#handover.handed % 8n !== 7n) this.#handedBytes += BigInt(bytes);",
  ]),
  mutant("a sender does not look at the credit it was granted (window W1)", 5, [
    "actors/channel-window.js",
    "return this.#sent < this.#grantedFrames && this.#sentBytes + BigInt(bytes) <= this.#grantedBytes;",
    "return true;",
  ]),
  mutant("a channel between two actors of one host leaks its credit (local-channel)", 3, [
    "actors/local-channel.js",
    "this.#batches -= 1;",
    "",
  ]),

  // Splits
  mutant("a split is told to its reader before it is recorded (enumerator D1)", 27, [
    "actors/split-enumerator.js",
    "await this.#record([...fresh.values()], done);",
    "for (const { reader, number, split } of fresh.values()) this.#assigned.set(nameOf(reader, number), split);\n            for (const question of questions) if (fresh.has(nameOf(question.reader, question.number))) this.#reply(question, undefined);\n            await this.#record([...fresh.values()], done);",
  ]),
  mutant("an enumerator that meets another's record goes on as if it were its own (enumerator D3)", 128, [
    "actors/split-log.js",
    "const there = made.created ? record : splitRecordFrame.decode(made.existing).header;",
    "const there = record;",
  ]),

  // Services
  mutant("rows that a service refused are dropped without a dead letter (infer I3)", 1, [
    "actors/infer-operator.js",
    "await this.#refuse(entry.batch, row, reason);",
    "",
  ]),
  mutant("a request that was lost is not sent again (client S7)", 1, [
    "services/client.js",
    "this.#queue.unshift(...lost);",
    "",
  ]),
  // What keeps them apart is that a client numbers its requests for its whole life, over all attempts. Numbered anew they meet where an actor
  // fails on a host that goes on, with a commit behind it and more under way than that commit has passed.
  mutant("an answer for an attempt that is over counts for one that goes on (client S4)", 97, [
    "services/client.js",
    "++this.#calls",
    "owner.runtime.subtask * 1000 + (owner.calls = (owner.calls ?? 0) + 1)",
  ]),
  mutant("an instance keeps no answers (desk N7)", 24, ["services/desk.js", "this.#journal.add(", "[].concat("]),
  mutant(
    "the journal is trimmed when rows are handed on, not when a checkpoint behind them is committed (infer I7)",
    176,
    ["actors/infer-operator.js", "this.#pass(call);", "this.client.release([{ ids: call.ids, by: undefined }]);"],
  ),
  mutant("a restored operator does not ask who holds its rows (holders S10)", 10, [
    "actors/infer-operator.js",
    "const ask = this.runtime.ports.clock.monotonicMs() < this.#askUntilMs;",
    "const ask = false;",
  ]),
  mutant("answers that are kept as objects are not looked for (holders S11)", 125, [
    "services/holders.js",
    "const findable = saved === undefined ? [] :",
    "const findable = true ? [] :",
  ]),
  mutant("the window of `infer` holds nothing back (infer I2)", 5, [
    "actors/window.js",
    "if (this.#rows > 0 && (this.#rows + rows > bound || this.#bytes + bytes > this.bytesMax))",
    "if (this.#rows < 0)",
  ]),

  // Content
  mutant("what is collected is decided without looking at commits (content Q2)", 16, [
    "checkpoint/content-collection.js",
    "for (const commitMs of commitsMs)",
    "for (const commitMs of [])",
  ]),
  mutant("what a savepoint refers to is collected (content Q5)", 176, [
    "coordinator/content-roots.js",
    "await this.#savepoints(flow);",
    "",
  ]),
];
