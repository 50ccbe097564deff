/**
 * How hosts and instances keep memory. What they hold themselves is small; what they handle are batches and payloads of some megabytes, each
 * for a moment only. Left to themselves, V8 looks at all of its memory for every few of them, and malloc gives their pages back to the
 * system after each, to ask for new ones at once, which the system has to clear and map.
 *
 * Costs up to 128 MiB of each that it would not keep otherwise. Not for a user's own process (embedded jobs): it cannot be told any more.
 */

/** Of V8, in MiB: room for garbage before all is first looked at; of the space in which objects begin, so that rows under way are not taken for lasting. */
export const CHILD_FLAGS: readonly string[] = ["--initial-old-space-size=128", "--max-semi-space-size=32"];

/** Of glibc's malloc, in bytes; others do not know them. Blocks below the first are kept, until the second is free at the end. What a user has set counts. */
export const CHILD_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_MMAP_THRESHOLD_: String(32 * 1024 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(128 * 1024 * 1024),
};
