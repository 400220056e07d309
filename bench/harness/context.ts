import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Row } from "./row.ts";

/** What a part of the bench exports: `about` and `run`, in a file of its own in `bench/`, found by its name. */
export interface Part {
  /** One line for the list of parts. */
  readonly about: string;
  /** Part of the shortened run that guards the ratios; keep it to some seconds then (`context.isGuard`). */
  readonly guards?: boolean;
  run(context: BenchContext): Promise<Row[]>;
}

export interface BenchContext {
  /** True in the shortened run: fewer rounds, shorter ones, wide margins when judged. */
  readonly isGuard: boolean;
  /** How many interleaved rounds. */
  readonly rounds: number;
  /** How long one sample takes. */
  readonly sampleMs: number;
  /** The root of the repository. */
  readonly root: string;
  /** A fresh directory for sockets and files, removed after the part. */
  readonly directory: string;
  /** Tells the person who waits what is going on (standard error). */
  say(line: string): void;
  /** Called after the part, also when it failed; last in, first out. Everything that was started is ended here. */
  cleanUp(undo: () => unknown): void;
}

/** Runs one part in a context of its own and cleans up after it. */
export async function runPart(part: Part, options: ContextOptions): Promise<Row[]> {
  const directory = mkdtempSync(join(tmpdir(), "crypto-edge-bench-"));
  const undos: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
  try {
    return await part.run({ ...options, directory, cleanUp: (undo) => undos.push(undo) });
  } finally {
    for (const undo of undos.reverse()) await undo();
  }
}

export type ContextOptions = Omit<BenchContext, "directory" | "cleanUp">;
