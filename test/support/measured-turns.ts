/** The longest turn of the event loop of a server in a process of its own, in processor time of that one thread: other work does not count. */
import { expect } from "bun:test";
import { resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");
const TURN_MS_MAX = 20;
const TRIES = 8;

/** Tells what it has to tell at the start, and at each line on standard input the longest turn since the last, in milliseconds. */
const METER = `
let longest = 0;
const used = () => { const { user, system } = process.threadCpuUsage(); return (user + system) / 1000; };
let before = used();
const turn = () => {
  const now = used();
  longest = Math.max(longest, now - before);
  before = now;
  setImmediate(turn);
};
turn();
process.stdin.on("data", () => { console.log(String(longest)); longest = 0; });
console.log(JSON.stringify(told));
`;

export interface MeasuredServer<Told> {
  readonly told: Told;
  /** Runs `run` until the longest turn is short, at most eight times, and expects that the best of them is shorter than 20 ms. */
  measure(what: string, run: () => Promise<void>): Promise<void>;
  kill(): void;
}

/** `source`: code that starts the server, and leaves what callers need in `told`; `ROOT` in it is the checkout. */
export async function startMeasured<Told>(source: string): Promise<MeasuredServer<Told>> {
  const child = Bun.spawn([process.execPath, "-e", source.replaceAll("ROOT", root) + METER], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
    cwd: root,
  });
  const lines = linesOf(child.stdout);
  const next = async (): Promise<string> => (await lines.next()).value as string;
  async function longestTurn(): Promise<number> {
    child.stdin.write("\n");
    await child.stdin.flush();
    return Number(await next());
  }
  return {
    told: JSON.parse(await next()) as Told,
    async measure(what, run) {
      const turns: number[] = [];
      // Compiled and warm first.
      await run();
      for (let tries = 0; tries < TRIES; tries++) {
        await longestTurn();
        await run();
        turns.push(await longestTurn());
        if (turns.at(-1)! < TURN_MS_MAX / 2) break;
      }
      const best = Math.min(...turns);
      console.log(`${what}: ${best.toFixed(1)} ms`);
      expect([what, best < TURN_MS_MAX]).toEqual([what, true]);
    },
    kill: () => child.kill("SIGKILL"),
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of stream) {
    text += Buffer.from(chunk).toString();
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}
