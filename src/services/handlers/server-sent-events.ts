/** The `data` of server-sent events, as they come. Comments, names and ids of events are passed over. */

/** @param tooLong makes the error for a line of more than `lineCharsMax` characters, which is no event */
export async function* eventData(
  pieces: AsyncIterable<Uint8Array>,
  lineCharsMax: number,
  tooLong: () => Error,
): AsyncGenerator<string> {
  const decoder = new TextDecoder(); // a character may be cut between two pieces
  let rest = "";
  let data: string[] = [];
  for await (const piece of pieces) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    if (rest.length > lineCharsMax) throw tooLong();
    for (const line of lines) {
      if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line === "" && data.length > 0) {
        yield data.join("\n");
        data = [];
      }
    }
  }
  // An event that no empty line ends is cut off, and not given.
}
