/** Ids of rows, the newest that were added: where no checkpoint comes for long the oldest are forgotten. */
export class KeptIds {
  #ids = new Set<string>();

  constructor(private readonly most: number) {}

  add(ids: Iterable<string>): void {
    for (const id of ids) this.#ids.add(id);
    for (const oldest of this.#ids) {
      if (this.#ids.size <= this.most) break;
      this.#ids.delete(oldest);
    }
  }

  get isEmpty(): boolean {
    return this.#ids.size === 0;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** @returns those of the ids that were there */
  take(ids: readonly string[]): string[] {
    return ids.filter((id) => this.#ids.delete(id));
  }
}
