/**
 * Asks for short slices; prints, as JSON, the slices in nanoseconds of this thread (before, and then), of a thread and of a process that it
 * makes afterwards, and its scheduling policy. A thread of another policy than the ordinary ones has null.
 */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { askForShortSlices } from "../../../src/base/system/short-slices.ts";

const SLICE = /^se\.slice\s*:\s*(\d+)/m;
const sliceIn = (text: string): number => Number(SLICE.exec(text)?.[1]);
const threads = (): string[] => readdirSync("/proc/self/task");

const before = sliceIn(readFileSync("/proc/self/sched", "utf8"));
await askForShortSlices();
const earlier = new Set(threads());
const worker = new Worker("setInterval(() => {}, 1_000)", { eval: true });
await new Promise((resolve) => worker.once("online", resolve));
const made = threads().filter((thread) => !earlier.has(thread));
const policy = Number(/^policy\s*:\s*(\d+)/m.exec(readFileSync("/proc/self/sched", "utf8"))?.[1]);
console.log(
  JSON.stringify({
    policy,
    before,
    own: sliceIn(readFileSync("/proc/self/sched", "utf8")),
    threads: [...new Set(made.map((thread) => sliceIn(readFileSync(`/proc/self/task/${thread}/sched`, "utf8"))))],
    child: sliceIn(spawnSync("cat", ["/proc/self/sched"], { encoding: "utf8" }).stdout),
  }),
);
process.exit(0);
