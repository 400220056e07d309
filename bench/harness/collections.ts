/** The pauses of the collector, as the runtime's own log tells them (`BUN_JSC_logGC=1`). */
import { closeSync, openSync, readFileSync, truncateSync } from "node:fs";

export interface Collections {
  /** Of each young collection, in milliseconds. */
  readonly pausesMs: readonly number[];
}

const EDEN = /=> EdenCollection,.*? p=([0-9.]+)ms/g;

/** A file that a process writes its log of collections to. */
export class CollectionLog {
  readonly #path: string;
  /** For `startServer`. */
  readonly settings: { readonly environment: Readonly<Record<string, string>>; readonly errors: number };

  constructor(path: string) {
    this.#path = path;
    this.settings = { environment: { BUN_JSC_logGC: "1" }, errors: openSync(path, "a") };
  }

  /** Forgets what was written so far. */
  restart(): void {
    truncateSync(this.#path);
  }

  read(): Collections {
    return parseCollections(readFileSync(this.#path, "latin1"));
  }

  close(): void {
    closeSync(this.settings.errors);
  }
}

export function parseCollections(text: string): Collections {
  return { pausesMs: [...text.matchAll(EDEN)].map(([, pause]) => Number(pause)) };
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
