/**
 * One run after another of the same topology in this process: each with what its file has become.
 *
 *   R1  An error of a round ends that round alone.
 *   R2  What a round wrote, later rounds replace; what was there before, and at places that a change has brought, only with `--overwrite`.
 *   R3  With `keepState` a round begins where the one before was stopped, and adds to its outputs. Where that cannot be, it says why and
 *       begins anew.
 */
import { MillraceError } from "../../base/errors.js";
import type { Ports } from "../../base/ports.js";
import { MemoryStore } from "../../storage/memory-store.js";
import type { JobReport } from "../../wire/control.js";
import { runEmbedded } from "../embedded.js";
import type { JobHandle } from "../job-handle.js";
import type { LogLevel } from "../logging.js";
import { type OutputPlace, outputsOf, withOutputs } from "../outputs.js";
import { showProgress } from "../progress.js";
import { type Beginning, beginFrom } from "../savepoints.js";
import type { S3Settings } from "../settings.js";
import type { Submission } from "../submission.js";
import { summary } from "../watch-job.js";

export interface RoundOptions {
  readonly ports: Ports;
  readonly logLevel: LogLevel;
  readonly s3: S3Settings;
  readonly outputRoot: string;
  readonly overwrite: boolean;
  readonly keepState: boolean;
  /** A message for whoever watches. */
  say(text: string): void;
}

/** Thrown into a round that is stopped, so that its outputs are treated as those of a job that did not finish. */
const STOPPED = Symbol("stopped");

/** `<job>/<savepoint>` of the round before. */
type Kept = string | undefined;

interface Done {
  readonly kept: Kept;
  /** What came of it. */
  readonly text: string;
}

export class Rounds {
  /** Of all rounds: what one has saved, the next one reads. */
  readonly #store = new MemoryStore();
  readonly #own = new Set<string>();
  #round: { readonly ended: Promise<Kept>; stop(): void } | undefined;

  constructor(private readonly options: RoundOptions) {}

  get isRunning(): boolean {
    return this.#round !== undefined;
  }

  /** Stops the round that runs, and begins another. Resolves when that has begun. */
  async next(submission: Submission): Promise<void> {
    const kept = await this.#stop(this.options.keepState);
    const stopping = new AbortController();
    const ended = this.#run(submission, kept, stopping.signal).finally(() => {
      if (this.#round?.ended === ended) this.#round = undefined;
    });
    this.#round = { ended, stop: () => stopping.abort() };
  }

  async stop(): Promise<void> {
    await this.#stop(false);
  }

  #keepNext = false;

  async #stop(keep: boolean): Promise<Kept> {
    const round = this.#round;
    this.#keepNext = keep;
    round?.stop();
    return await round?.ended;
  }

  async #run(submission: Submission, kept: Kept, signal: AbortSignal): Promise<Kept> {
    const { say } = this.options;
    try {
      const beginning = await this.#beginningOf(kept, submission);
      const work = () => this.#job(submission, beginning, signal);
      const { kept: next, text } = await this.#withOutputs(submission, beginning !== undefined, work);
      // Once the outputs are as they stay.
      if (text !== "") say(text);
      return next;
    } catch (error) {
      if (error !== STOPPED) say(errorText(error)); // R1
      return undefined;
    }
  }

  /** R3 */
  async #beginningOf(kept: Kept, submission: Submission): Promise<Beginning | undefined> {
    if (kept === undefined) return undefined;
    try {
      return await beginFrom(kept, submission, this.#store, false);
    } catch (error) {
      this.options.say(`${errorText(error)}\nits state cannot be kept, so the job begins anew`);
      return undefined;
    }
  }

  /** R2 @param adds whether what earlier rounds wrote stays */
  #withOutputs<T>({ topology }: Submission, adds: boolean, work: () => Promise<T>): Promise<T> {
    const { outputRoot, overwrite, s3, ports } = this.options;
    const places = outputsOf(topology, outputRoot);
    const isOwn = ({ url }: OutputPlace) => this.#own.has(url);
    const others = places.filter((place) => !isOwn(place));
    return withOutputs(adds ? [] : places.filter(isOwn), { overwrite: true, s3, ports }, () =>
      withOutputs(others, { overwrite, s3, ports }, () => {
        for (const { url } of others) this.#own.add(url);
        return work();
      }),
    );
  }

  async #job(submission: Submission, beginning: Beginning | undefined, signal: AbortSignal): Promise<Done> {
    const { ports, logLevel, s3, outputRoot } = this.options;
    const { topology } = submission;
    const begin = beginning === undefined ? {} : { beginning };
    const job = await runEmbedded(submission, { ports, logLevel, s3, outputRoot, store: this.#store, ...begin });
    const sinks = topology.operators.filter((node) => node.kind === "sink").length;
    const progress = showProgress(topology.unit, sinks, process.stderr.isTTY === true);
    let stopped: Promise<Kept> | undefined;
    const stop = () => {
      stopped = this.#stopJob(job);
    };
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    try {
      const report: JobReport = await job.ended((now) => progress.update(now));
      progress.update(report);
      progress.stop();
      return { kept: undefined, text: summary(job, report, topology, outputRoot).trimEnd() };
    } catch (error) {
      progress.stop();
      if (!signal.aborted) throw error;
      const kept = await stopped;
      if (kept === undefined) throw STOPPED;
      return { kept, text: "" };
    } finally {
      signal.removeEventListener("abort", stop);
      progress.stop();
      await job.close();
    }
  }

  async #stopJob(job: JobHandle): Promise<Kept> {
    if (this.#keepNext) {
      try {
        await job.savepoint("kept", true);
        return `${job.job}/kept`;
      } catch (error) {
        this.options.say(`${errorText(error)}\nthe job's state cannot be kept`);
      }
    }
    // One that has ended by itself meanwhile is no error.
    await job.cancel().catch(() => {});
    return undefined;
  }
}

export function errorText(cause: unknown): string {
  const error = MillraceError.from(cause);
  const stack = error.code === "MILL_INTERNAL" ? `\n${(error.cause as Error)?.stack ?? error.stack}` : "";
  return `${error.code}: ${error.message}${stack}`;
}
