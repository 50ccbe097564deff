/**
 * The actors of one region that this host holds, in one attempt, with the channels between them.
 *
 * Invariants:
 *   T1  `deployed` resolves when every subscription of its actors is known to the server, asked once or again.
 *   T4  A snapshot is told to the coordinator when it is durable: in the message itself, or as an object that it names.
 */
import { MillraceError } from "../base/errors.js";
import type { ActorId, ChannelId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import { clusterSubjects, jobSubjects } from "../bus/subjects.js";
import type { ServiceClient } from "../services/client.js";
import { jobKeys } from "../storage/keys.js";
import { type Deploy, snapshotFrame } from "../wire/control.js";
import { type ActorCheckpoint, regionRecordFrame } from "../wire/stored.js";
import { Actor } from "./actor.js";
import type { Cut, Restored } from "./actor-options.js";
import type { ChannelReceiver, ChannelSender } from "./channel.js";
import { BusChannelReceiver } from "./channel-receiver.js";
import { BusChannelSender } from "./channel-sender.js";
import type { HostOptions } from "./host-options.js";
import { LocalChannel } from "./local-channel.js";
import { sha256Of } from "./snapshot-chunks.js";

export class RegionActors {
  readonly actors = new Map<ActorId, Actor>();
  readonly deployed: Promise<void>;
  #local = new Map<ChannelId, LocalChannel>();
  #started = false;
  #stopped = false;
  #broken = false;

  constructor(
    private readonly options: HostOptions,
    private readonly command: Deploy,
    private readonly clientFor: (service: string) => ServiceClient,
    private readonly onChange: () => void,
  ) {
    this.deployed = this.#open();
    this.deployed.catch(() => {
      this.#broken = true; // met by whoever asked for it
    });
  }

  get attempt(): number {
    return this.command.attempt;
  }

  /** It could not be deployed; trying again may help. */
  get broken(): boolean {
    return this.#broken;
  }

  start(): void {
    if (this.#started || this.#stopped) return;
    this.#started = true;
    for (const actor of this.actors.values()) void actor.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.deployed.catch(() => {});
    await Promise.all([...this.actors.values()].map((actor) => actor.stop()));
  }

  async #open(): Promise<void> {
    const { plan, namespace, job } = this.options;
    const { actors, region } = this.command;
    const mine = plan.actors.filter((actor) => actor.region === region && actors.includes(actor.id));
    const unknown = actors.find((id) => !mine.some((actor) => actor.id === id));
    if (unknown !== undefined) {
      throw new MillraceError("MILL_PLAN_MISMATCH", `the plan has no actor "${unknown}" in region "${region}".`);
    }
    const restored = await this.#load();
    const here = new Set<string>(actors);
    for (const actor of mine) {
      this.actors.set(
        actor.id,
        new Actor({
          ...this.options,
          actor,
          attempt: this.attempt,
          restored: restored.get(actor.id),
          subjects: jobSubjects(namespace, job),
          clientFor: this.clientFor,
          seedFor: (...seed) => this.options.store.get(jobKeys(job).exchangeSeed(...seed)),
          senderFor: (channel) => this.#channel(channel as ChannelId, here).sender,
          receiverFor: (channel) => this.#channel(channel as ChannelId, here).receiver,
          acknowledge: (cut) => this.#acknowledge(cut),
          onChange: this.onChange,
        }),
      );
    }
    await Promise.all([...this.actors.values()].map((actor) => actor.open()));
  }

  /** Snapshots of these actors in the checkpoint that the command names. */
  async #load(): Promise<Map<string, Restored>> {
    const { store, job } = this.options;
    const { region, checkpoint, actors } = this.command;
    const found = new Map<string, Restored>();
    if (checkpoint === 0n) return found;
    const record = regionRecordFrame.decode(await store.get(jobKeys(job).regionRecord(region, checkpoint))).header;
    await Promise.all(
      record.actors
        .filter(({ actor }) => actors.includes(actor))
        .map(async (one) => {
          found.set(one.actor, { checkpoint, finished: one.finished, snapshot: [await this.#snapshotOf(one)] });
        }),
    );
    const missing = actors.find((actor) => !found.has(actor));
    if (missing === undefined) return found;
    throw new MillraceError(
      "MILL_STORE_CORRUPT",
      `checkpoint ${checkpoint} of region "${region}" has no snapshot of actor "${missing}". It was written by another plan.`,
    );
  }

  async #snapshotOf({ actor, key, inline, sha256 }: ActorCheckpoint): Promise<Uint8Array> {
    if (key === "") return inline;
    const bytes = await this.options.store.get(key);
    if ((await sha256Of([bytes], this.options.ports.clock)) === sha256) return bytes;
    throw new MillraceError(
      "MILL_STORE_CORRUPT",
      `the snapshot of actor "${actor}" at ${key} is not what was written. Restore the object, or start from a savepoint.`,
      { key, actor },
    );
  }

  /** T4 */
  async #acknowledge({ actor, checkpoint, finished, unaligned, snapshot }: Cut): Promise<void> {
    const { bus, store, job, namespace } = this.options;
    const { region, attempt } = this.command;
    const bytes = snapshot.reduce((sum, chunk) => sum + chunk.length, 0);
    const base = { job, region, attempt, checkpoint, actor, finished, unaligned, sizeBytes: BigInt(bytes) };
    let told = { ...base, inline: snapshot[0]!, key: "", sha256: "" };
    if (bytes > limits.snapshotInlineBytesMax) {
      const key = jobKeys(job).snapshot(region, checkpoint, attempt, actor);
      const sha256 = await sha256Of(snapshot, this.options.ports.clock);
      await store.put(key, snapshot, { sha256 }); // which signs it, where it goes in one piece
      told = { ...base, inline: new Uint8Array(), key, sha256 };
    }
    if (this.#stopped) return;
    await bus.publish(clusterSubjects(namespace).coordinatorReport, snapshotFrame.encode(told));
  }

  /** Both ends in this host: by reference. Else the end that is here, over the bus. */
  #channel(id: ChannelId, here: ReadonlySet<string>): { sender: ChannelSender; receiver: ChannelReceiver } {
    const { plan, topology, bus, ports, namespace, job } = this.options;
    const channel = plan.channels.find((candidate) => candidate.id === id)!;
    if (here.has(channel.from.actor) && here.has(channel.to.actor)) {
      const local = this.#local.get(id) ?? new LocalChannel(id);
      this.#local.set(id, local);
      return local;
    }
    const { columns } = topology.operators.find((node) => node.id === channel.from.operator)!;
    const { attempt } = this;
    const subjects = jobSubjects(namespace, job).channel(id, attempt);
    const options = { bus, ports, channel: id, attempt, subjects, columns, operator: channel.to.operator };
    return { sender: new BusChannelSender(options), receiver: new BusChannelReceiver(options) };
  }
}
