/** `crypto-edge top`: an edge, or a Core's watchers' listener, live in the terminal. */
import type { Command } from "commander";
import { callingEdge, type EdgeOptions, edgeAccess } from "./context.ts";
import { write } from "./print.ts";

interface TopOptions extends EdgeOptions {
  readonly interval: string;
  readonly once?: boolean;
}

const CLEAR = "\x1b[H\x1b[J";
/** The other screen, without a cursor: what was there before comes back at the end. */
const ENTER = "\x1b[?1049h\x1b[?25l";
const LEAVE = "\x1b[?25h\x1b[?1049l";

export function registerTop(program: Command): void {
  callingEdge(
    program
      .command("top")
      .description("an edge, or a Core's metrics listener, live: rates, latency, leases, revocations, refusals"),
  )
    .option("-i, --interval <seconds>", "how often it looks", "1")
    .option("--once", "look twice, print once and end: for scripts, and for terminals that are none")
    .addHelpText(
      "after",
      "\nExamples:\n  crypto-edge top\n  crypto-edge top --edge http://127.0.0.1:8444 --once   # a Core's `metrics.listen`\n\nCtrl-C or q ends it.",
    )
    .action(async (options: TopOptions) => {
      const seconds = Number(options.interval);
      if (!(seconds >= 0.2 && seconds <= 3_600)) program.error("error: --interval takes seconds from 0.2 to 3600");
      const { runTop } = await import("./top/run-top.ts");
      const isLive = process.stdout.isTTY === true && options.once !== true;
      await runTop({
        access: edgeAccess(options),
        intervalMs: seconds * 1_000,
        isLive,
        columns: () => process.stdout.columns ?? 80,
        rows: () => process.stdout.rows ?? 24,
        show: (text) => void write(isLive ? CLEAR + text : `${text}\n`),
        enter: () => void write(ENTER),
        leave: () => void write(LEAVE),
      });
    });
}
