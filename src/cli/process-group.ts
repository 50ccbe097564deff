/** Children that are groups of their own, and all that these have started in turn, but for what has made a group of its own. */
import type { ChildProcess } from "node:child_process";

/** By force: the child, if it is there still, and what is left of its group. @param child started with `detached` */
export function endGroup(child: ChildProcess): void {
  const { pid } = child;
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    child.kill("SIGKILL"); // its group has gone, or there are no groups here
  }
}

/** By force: this process, and what it has started if it is a group of its own. */
export function endOwnGroup(): void {
  try {
    process.kill(-process.pid, "SIGKILL");
  } catch {
    process.kill(process.pid, "SIGKILL");
  }
}
