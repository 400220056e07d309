/**
 * Writes down each long turn of the event loop of the edge that loads it: an audit sink that throws its events away. A timer of one
 * millisecond says how long the turn before it took, by at most that much too long.
 */
import { appendFileSync, openSync, readSync } from "node:fs";
import { type AuditSink, contribution, definePlugin, Path, Section } from "crypto-edge/plugin";

const EVERY_MS = 1;
/** Shorter ones are not worth a line. */
const TURN_MS_MIN = 5;

/** A line of the file, in milliseconds. */
export interface LongTurn {
  /** Of the clock on the wall, when it was over. */
  readonly atMs: number;
  readonly wallMs: number;
  /** The thread's processor time in it. */
  readonly processorMs: number;
  /** How long the thread was ready to run, and another had its core. */
  readonly preemptedMs: number;
}

const text = Buffer.alloc(128);

/** The main thread's processor time, and its time in the queue for a core, in nanoseconds. */
function scheduled(descriptor: number): readonly [number, number] {
  const length = readSync(descriptor, text, 0, text.length, 0);
  const [processor = "0", queue = "0"] = text.toString("latin1", 0, length).split(" ");
  return [Number(processor), Number(queue)];
}

function createMeter({ file }: { readonly file: string }): AuditSink {
  const descriptor = openSync(`/proc/self/task/${process.pid}/schedstat`, "r");
  let atMs = performance.now();
  let [processor, queue] = scheduled(descriptor);
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const [processorNow, queueNow] = scheduled(descriptor);
    if (nowMs - atMs >= TURN_MS_MIN) {
      const turn: LongTurn = {
        atMs: Date.now(),
        wallMs: nowMs - atMs,
        processorMs: (processorNow - processor) / 1e6,
        preemptedMs: (queueNow - queue) / 1e6,
      };
      appendFileSync(file, `${JSON.stringify(turn)}\n`);
    }
    [atMs, processor, queue] = [nowMs, processorNow, queueNow];
  }, EVERY_MS);
  return {
    name: "turn-meter",
    async write() {},
    async close() {
      clearInterval(timer);
    },
  };
}

export default definePlugin({
  name: "turn-meter",
  apiVersion: 1,
  auditSinks: {
    "turn-meter": contribution({
      configuration: Section({ file: Path({ description: "Where the long turns are written to." }) }),
      create: createMeter,
    }),
  },
});
