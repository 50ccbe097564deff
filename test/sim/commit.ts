/** Which source a run was made of: a seed means the same run only together with it. */
import { execFileSync } from "node:child_process";

/** The commit, with a note when files differ from it; without git, "unknown". */
export function commitOf(): string {
  const git = (...args: string[]) =>
    execFileSync("git", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  try {
    const changed = git("status", "--porcelain", "--", "src", "test/sim", "schemas") !== "";
    return `${git("rev-parse", "--short=12", "HEAD")}${changed ? " with changes that are not committed" : ""}`;
  } catch {
    return "unknown";
  }
}
