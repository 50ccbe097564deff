/** Union-find. Members keep the order in which they were given, so that results do not depend on how sets were joined. */
export class DisjointSets<T> {
  #parent = new Map<T, T>();

  constructor(members: Iterable<T>) {
    for (const member of members) this.#parent.set(member, member);
  }

  join(a: T, b: T): void {
    this.#parent.set(this.#root(a), this.#root(b));
  }

  /** Every set, by first member. */
  sets(): T[][] {
    const byRoot = new Map<T, T[]>();
    for (const member of this.#parent.keys()) {
      const root = this.#root(member);
      const set = byRoot.get(root);
      if (set === undefined) byRoot.set(root, [member]);
      else set.push(member);
    }
    return [...byRoot.values()];
  }

  #root(member: T): T {
    let at = member;
    for (let up = this.#parent.get(at)!; up !== at; up = this.#parent.get(at)!) at = up;
    return at;
  }
}
