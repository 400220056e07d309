/**
 * Whether the files of a SQLite database are those that were opened. SQLite holds on to a file that was moved, deleted or replaced: what
 * is committed there then, a revocation too, is in no database that anyone will open.
 */
import { type BigIntStats, statSync } from "node:fs";
import type { Fitness } from "./fitness.ts";

export class DatabaseFiles {
  readonly #fitness: Fitness;
  readonly #opened: readonly { readonly path: string; readonly stat: BigIntStats | undefined }[];

  /** All are there. */
  constructor(paths: readonly string[], fitness: Fitness) {
    this.#fitness = fitness;
    this.#opened = paths.map((path) => ({ path, stat: look(path) }));
  }

  /** Some microseconds a file. @throws StoreUnfit from the first time on that one is another */
  check(): void {
    this.#fitness.check();
    for (const { path, stat } of this.#opened) {
      const now = look(path);
      if (now !== undefined && now.ino === stat?.ino && now.dev === stat.dev) continue;
      this.#fitness.lose(
        `the database's file ${path} was ${now === undefined ? "moved or deleted" : "replaced"} while this Core ran: stop it, put the right file there with the -wal that belongs to it, and start it again`,
      );
      this.#fitness.check();
    }
  }
}

function look(path: string): BigIntStats | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false });
}
