/** What the name of a published file says: `<operator>-<subtask>-<checkpoint>[-<index>].<extension>`. */

export interface PublishedName {
  readonly operator: string;
  readonly subtask: number;
  readonly checkpoint: number;
  readonly index: number;
}

/** Undefined: it is not published, but staged. */
export function publishedName(name: string): PublishedName | undefined {
  if (name.startsWith("_")) return undefined;
  const [, operator, subtask, checkpoint, index] = /^(.+?)-(\d+)-(\d+)(?:-(\d+))?\.[a-z]+$/.exec(name) ?? [];
  if (operator === undefined) throw new Error(`the published file ${name} has no name that a reader could order`);
  return { operator, subtask: Number(subtask), checkpoint: Number(checkpoint), index: Number(index ?? 0) };
}
