/** draft */
import { loadOf, type Work } from "./balance-load.js";
import { ours } from "./balance-ours.js";
import { oracle, random, roundRobin, twoChoices } from "./balance-policies.js";
import { percentile } from "./embedded-job.js";
for (const work of ["equal", "exponential"] as Work[]) for (const seed of [1,2]) {
const load = loadOf({seed, requests: 20000, clients: Number(process.argv[2] ?? 4), slowness: [1,1,1,1,1,1,1,4], workMs: 20, work, utilisation: 0.8});
const p = (v: number[]) => [0.5,0.9,0.99].map(q => percentile(v.slice(2000), q).toFixed(1)).join(" ");
console.log(work, seed, "rr", p(roundRobin(load, 1)), "| random", p(random(load,1)), "| two", p(twoChoices(load,1)), "| oracle", p(oracle(load,1)));
const from = performance.now();
console.log("   ours", p(await ours(load, 1)), (performance.now()-from).toFixed(0)+"ms");
}
