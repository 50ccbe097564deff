/** Finds who subscribes to a subject: exact subjects by a map, patterns one by one (there are few of them). */
import { hasWildcard, matches } from "./syntax.js";

interface Patterned<T> {
  readonly tokens: readonly string[];
  readonly item: T;
}

export class SubjectIndex<T> {
  private readonly exact = new Map<string, T[]>();
  private patterned: Patterned<T>[] = [];

  add(pattern: string, item: T): void {
    if (hasWildcard(pattern)) {
      this.patterned.push({ tokens: pattern.split("."), item });
      return;
    }
    const items = this.exact.get(pattern);
    if (items === undefined) this.exact.set(pattern, [item]);
    else items.push(item);
  }

  remove(pattern: string, item: T): void {
    if (hasWildcard(pattern)) {
      this.patterned = this.patterned.filter((entry) => entry.item !== item);
      return;
    }
    const items = this.exact.get(pattern)?.filter((other) => other !== item) ?? [];
    if (items.length === 0) this.exact.delete(pattern);
    else this.exact.set(pattern, items);
  }

  /** A new array, so that a later `add` or `remove` does not change it. */
  find(subject: string): T[] {
    const found = [...(this.exact.get(subject) ?? [])];
    if (this.patterned.length > 0) {
      const tokens = subject.split(".");
      for (const entry of this.patterned) if (matches(entry.tokens, tokens)) found.push(entry.item);
    }
    return found;
  }
}
