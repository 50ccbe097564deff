/** `millrace plan`: what a topology file comes to, without running it. */
import { describePlan } from "../../plan/describe.js";
import { cacheFolder } from "../settings.js";
import { readSubmission } from "../submission.js";

export interface PlanFlags {
  readonly param: Readonly<Record<string, string>>;
  readonly parallelism: number;
  readonly json?: boolean;
}

export async function planCommand(file: string, flags: PlanFlags): Promise<void> {
  const options = { params: flags.param, parallelism: flags.parallelism, cache: cacheFolder(process.env) };
  const { topology, plan, bundle } = await readSubmission(file, options);
  if (flags.json) {
    process.stdout.write(`${JSON.stringify({ ...plan, bundle: bundle.sha256, external: bundle.external }, null, 2)}\n`);
    return;
  }
  process.stdout.write(describePlan(topology, plan));
  process.stdout.write(
    `\nbundle ${bundle.sha256.slice(0, 12)}   ${bundle.code.length} bytes, outside of it: ${bundle.external.join(", ") || "nothing"}\n`,
  );
}
