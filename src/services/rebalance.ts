/**
 * How many of its queued rows an instance gives back, so that clients route them anew. Pure; every instance decides for
 * itself from the load reports of all, so no third party has to be there.
 *
 * Invariants:
 *   B1  Only READY instances have a share. A share is in proportion to speed; unknown speeds count as the mean of the known ones.
 *   B2  Nothing is given back unless it is more than one call and more than a quarter of the own queue: a report is old when it is read.
 *   B3  If every instance gave back at once what this says, and clients filled up the others, all would wait equally long.
 */
export interface QueueLoad {
  readonly ready: boolean;
  readonly queuedRows: number;
  /** Service time of a row in ms; 0: not known. */
  readonly rowMs: number;
}

export function rowsToReturn(own: QueueLoad, others: Iterable<QueueLoad>, rowsOfCall: number): number {
  const ready = [own, ...others].filter((load) => load.ready);
  const known = ready.filter(({ rowMs }) => rowMs > 0).map(({ rowMs }) => 1 / rowMs);
  const mean = known.length === 0 ? 1 : known.reduce((sum, speed) => sum + speed, 0) / known.length;
  const speedOf = ({ rowMs }: QueueLoad) => (rowMs > 0 ? 1 / rowMs : mean);
  const speeds = ready.reduce((sum, load) => sum + speedOf(load), 0);
  const queued = ready.reduce((sum, load) => sum + load.queuedRows, 0);
  const excess = own.queuedRows - Math.ceil((queued * speedOf(own)) / speeds);
  return excess > rowsOfCall && excess > own.queuedRows / 4 ? excess : 0;
}
