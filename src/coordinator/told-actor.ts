/**
 * What an actor has told of its attempt. Ten thousand actors tell it five times a second, and little of it is new: it is written over
 * in place, because what is kept of each report until the next one is what makes collecting garbage expensive.
 */
import type { ActorLoad, ActorReport, ActorState } from "../wire/control.js";
import { type Change, RateWindow } from "./rate-window.js";

/** Of a report that says how the actor spends its time. */
export interface ToldLoad {
  readonly rowsRead: number;
  readonly rowsWritten: number;
  readonly load: ActorLoad;
}

/** What an actor has told of its load: last, and what changed over some seconds; that of one that does not run any more says nothing. */
export interface Loads {
  readonly newest: ToldLoad | undefined;
  readonly change: Change<ToldLoad> | undefined;
}

export class ToldActor {
  state: ActorState | undefined;
  code = "";
  message = "";
  published = 0n;
  sinksPublished = 0n;
  rowsRead = 0;
  rowsWritten = 0;
  rowsInFlight = 0;
  deadLetters = 0;
  #window: RateWindow<ToldLoad> | undefined;

  constructor(readonly actor: string) {}

  /** @returns whether anything that decisions rest on has changed */
  hear(report: ActorReport): boolean {
    const { state, published, sinksPublished, load } = report;
    this.rowsRead = Number(report.rowsRead);
    this.rowsWritten = Number(report.rowsWritten);
    this.rowsInFlight = Number(report.rowsInFlight);
    this.deadLetters = Number(report.deadLetters);
    if (load !== null) {
      this.#window ??= new RateWindow<ToldLoad>();
      this.#window.add({ rowsRead: this.rowsRead, rowsWritten: this.rowsWritten, load }, load.forMs);
    }
    if (report.code !== this.code) this.code = report.code;
    if (report.message !== this.message) this.message = report.message;
    if (this.state === state && this.published === published && this.sinksPublished === sinksPublished) return false;
    Object.assign(this, { state, published, sinksPublished });
    return true;
  }

  get loads(): Loads {
    const window = this.#window;
    return { newest: window?.newest, change: this.state === "RUNNING" ? window?.change : undefined };
  }
}
