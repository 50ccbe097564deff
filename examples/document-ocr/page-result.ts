import type { TextLine } from "millrace/functions";

/** One page as it was read: a row of the job's output. */
export interface PageResult {
  readonly uri: string;
  /** Of the decoded page; the quads refer to it. */
  readonly width: number;
  readonly height: number;
  /** In reading order. */
  readonly lines: readonly TextLine[];
  /** The lines, one below the other. */
  readonly text: string;
}
