/** Colours, for people at a terminal only: never in a file, a pipe, or where `NO_COLOR` is set. */
import { styleText } from "node:util";

export type Paint = (colour: "green" | "yellow" | "red" | "bold" | "dim" | "inverse", text: string) => string;

/** What Node knows of a stream's terminal, `NO_COLOR`, `FORCE_COLOR` and `TERM`. */
interface Screen {
  readonly isTTY?: boolean;
  hasColors?(env?: object): boolean;
}

export function paintFor(stream: Screen): Paint {
  const colourful = stream.isTTY === true && stream.hasColors?.() === true;
  return colourful ? (colour, text) => styleText(colour, text) : (_, text) => text;
}
