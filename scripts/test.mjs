/**
 * `npm test`: runs the tests in two processes of mocha at a time, because most of those that start real processes wait for them. Arguments
 * go to both. What the second one prints comes when it has ended.
 *
 * Invariants:
 *   W1  The last line is `N passed, N failed, N skipped`, added up from what both say at their ends; there is none where one of them has said nothing.
 *   W2  The exit status is 0 only where both exit with 0, and both have counted.
 *   W3  What failed stands before the last line: that of the first is printed again behind what the second prints.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const COUNTS = /^(\d+) passed, (\d+) failed, (\d+) skipped$/;
const FAILING = /^\s*(?:\x1b\[\d+m)*\s*\d+ failing/;
const MOCHA = fileURLToPath(import.meta.resolve("mocha/bin/mocha.js"));
const FILES = [["dist/test/e2e/**/*.test.js"], ["dist/test/!(e2e)/**/*.test.js"]];

const [lanes, rest] = given(process.argv.slice(2));
if (process.env.CI === "true") await getServers();
const colour = process.stdout.isTTY ? ["--color"] : [];
const ended = await Promise.all(
  lanes.map((lane, i) => {
    const held = [];
    let failing = false;
    const say = (line) => {
      failing ||= FAILING.test(line);
      if (i === 0) console.log(line);
      if (i !== 0 || failing) held.push(line);
    };
    return run([...lane, ...colour, ...rest], say).then((result) => ({ ...result, held }));
  }),
);
for (const { held } of ended.toReversed()) for (const line of held) console.log(line);
const counted = ended.every(({ counts }) => counts !== undefined);
process.exitCode = counted ? (ended.find(({ status }) => status !== 0)?.status ?? 0) : 1;
if (counted) {
  const [passed, failed, skipped] = [0, 1, 2].map((i) => ended.reduce((sum, { counts }) => sum + counts[i], 0));
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
}

/** Tests give programs of their own instead of mocha, each after a `--lane`. */
function given(args) {
  const programs = args.flatMap((arg, i) => (args[i - 1] === "--lane" ? [[arg]] : []));
  return programs.length > 0 ? [programs, []] : [FILES.map((files) => [MOCHA, ...files]), args];
}

/** Building them takes minutes, and is for one process to do. */
async function getServers() {
  const { findServer } = await import("./servers.mjs");
  for (const server of ["nats", "minio"]) await findServer(server, { install: true });
}

/** @returns {Promise<{ status: number, counts: number[] | undefined }>} */
function run(args, say) {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let counts;
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => {
    const match = COUNTS.exec(line);
    if (match === null) say(line);
    else counts = match.slice(1).map(Number);
  });
  return Promise.all([once(child, "close"), once(lines, "close")]).then(([[status]]) => ({ status: status ?? 1, counts }));
}
