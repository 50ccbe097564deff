/**
 * The end of a stream: hands batches to a transactional writer and counts them.
 *
 * Invariants:
 *   N1  A writer takes one batch after another, in the order in which they came, whichever input they came from.
 *   N2  A batch that waits for its turn, or for room, is parked: no checkpoint waits for it.
 *   N3  The writer hears of the end of its input before the cut that says that the actor is finished.
 *   N4  What is written holds no content above the limit of the topology: only references to it, whatever the operators before did.
 */
import type { RecordBatch } from "apache-arrow";
import type { SinkWriter } from "../topology/endpoints.js";
import { type MoveOut, staysAsItIs } from "./content-mover.js";
import type { Operator, OperatorRuntime } from "./operator.js";
import { type OutputContent, TransactionalOutput } from "./output.js";
import type { OutputTelemetry } from "./output-telemetry.js";

export class SinkOperator implements Operator {
  readonly output: TransactionalOutput;
  /** Batches that have come and are not written, oldest first, by an object of their own; the first may be with the writer. */
  #line: object[] = [];
  #writing = false;
  #waiting: (() => void)[] = [];

  constructor(
    openWriter: () => Promise<SinkWriter>,
    private readonly runtime: Pick<OperatorRuntime, "park" | "counters">,
    /** What it writes is read in another region of the job. */
    readonly durable = false,
    private readonly moveOut: MoveOut = staysAsItIs,
    content?: OutputContent,
    private readonly telemetry?: OutputTelemetry,
  ) {
    this.output = new TransactionalOutput(openWriter, content, (checkpoint) => telemetry?.published(checkpoint));
  }

  async open(): Promise<void> {
    await this.output.open();
  }

  async process(batch: RecordBatch): Promise<void> {
    const place = {};
    const span = this.telemetry?.writing(batch);
    const moving = this.moveOut(batch);
    const moved = moving instanceof Promise ? moving : undefined;
    let ready = moving instanceof Promise ? undefined : moving;
    const readied = moved?.then((made) => {
      ready = made;
    });
    readied?.catch(() => {}); // met by whoever waits for it
    this.#line.push(place);
    const take = () => {
      if (ready === undefined || this.#writing || this.#line[0] !== place) return false;
      if (this.output.room() !== undefined) return false;
      this.#writing = true;
      return true;
    };
    const changed = () => (ready === undefined ? readied! : this.#changed(place));
    const saved = moved && { rows: () => moved };
    try {
      if (!take()) await this.runtime.park(batch, take, changed, saved);
      await this.output.write(ready!);
      this.runtime.counters.rowsWritten += batch.numRows;
      if (span !== undefined) this.telemetry?.written(span);
    } finally {
      if (this.#line[0] === place) this.#writing = false;
      this.#line.splice(this.#line.indexOf(place), 1);
      for (const wake of this.#waiting.splice(0)) wake();
    }
  }

  /** N3 */
  end(): void {
    this.output.end();
  }

  cut(checkpoint: bigint): ReturnType<TransactionalOutput["cut"]> {
    this.telemetry?.cut(checkpoint);
    return this.output.cut(checkpoint);
  }

  /** What the batch waits for: its turn, then room. */
  #changed(place: object): Promise<void> {
    const room = this.#line[0] === place && !this.#writing ? this.output.room() : undefined;
    return room ?? new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}
