/** The loop of `crypto-edge top`: looks, draws, waits, until the person has seen enough. */
import { messageOf } from "../../base/errors.ts";
import { askerOf, type EdgeAsker } from "../ask-edge.ts";
import type { Access } from "../context.ts";
import { parseSamples } from "./samples.ts";
import { coreView, edgeView, type Look } from "./view.ts";

export interface TopScreen {
  readonly access: Access;
  readonly intervalMs: number;
  /** Redraws until it is ended; else it prints once. */
  readonly isLive: boolean;
  readonly columns: () => number;
  readonly rows: () => number;
  readonly show: (text: string) => void;
  readonly enter: () => void;
  readonly leave: () => void;
}

export async function runTop(screen: TopScreen): Promise<void> {
  const asker = askerOf(screen.access);
  let before = await look(asker);
  if (!screen.isLive) {
    await sleep(screen.intervalMs);
    screen.show(fit(linesOf(await look(asker), before), screen));
    asker.close();
    return;
  }
  let ended = false;
  let wake = (): void => undefined;
  const end = (): void => {
    ended = true;
    wake();
  };
  const onKey = (key: Buffer): void => {
    // Ctrl-C comes as a byte while the terminal is raw.
    if (key.includes(3) || key.includes(0x71)) end();
  };
  let lines = ["looking…"];
  // A terminal of another size gets what is there at once, fitted to it.
  const redraw = (): void => screen.show(fit(lines, screen));
  screen.enter();
  process.on("SIGINT", end);
  process.on("SIGTERM", end);
  process.on("SIGWINCH", redraw);
  process.stdin.setRawMode?.(true);
  process.stdin.on("data", onKey);
  try {
    redraw();
    while (!ended) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, screen.intervalMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      if (ended) break;
      try {
        const now = await look(asker);
        lines = linesOf(now, before);
        before = now;
      } catch (error) {
        lines = [messageOf(error), "", "It is tried again."];
      }
      redraw();
    }
  } finally {
    process.stdin.off("data", onKey);
    process.stdin.setRawMode?.(false);
    process.stdin.pause();
    for (const [signal, listener] of [
      ["SIGINT", end],
      ["SIGTERM", end],
      ["SIGWINCH", redraw],
    ] as const)
      process.off(signal, listener);
    screen.leave();
    asker.close();
  }
}

async function look(asker: EdgeAsker): Promise<Look> {
  const [metrics, readiness] = await Promise.all([asker.text("/metrics"), asker.text("/readyz")]);
  return {
    atMs: performance.now(),
    samples: parseSamples(metrics),
    readiness: JSON.parse(readiness) as Look["readiness"],
  };
}

function linesOf(now: Look, before: Look): string[] {
  return now.samples.has("crypto_core_info") ? coreView(now, before) : edgeView(now, before);
}

/** Never wider or longer than the terminal: a line that wraps moves all the others. */
function fit(lines: readonly string[], { columns, rows }: TopScreen): string {
  return lines
    .slice(0, Math.max(1, rows() - 1))
    .map((line) => line.slice(0, columns()))
    .join("\n");
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
