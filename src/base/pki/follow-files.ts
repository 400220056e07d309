/**
 * Credentials follow the disk: whatever a process reads of certificates, keys, authorities, revocation lists and secrets is taken up anew when
 * the files change, by whichever tool changed them. One piece of code for every role, of edge and Core.
 */
import { messageOf } from "../errors.ts";
import type { LogPort } from "../log-port.ts";
import type { Clock, Timer } from "../time/clock.ts";
import { type FilesState, watchFiles } from "./watch-files.ts";

export interface FollowedFiles<Credentials> {
  /** In the log: `listener https://0.0.0.0:7443`. */
  readonly role: string;
  readonly files: readonly string[];
  /** As they were before they were read first (`stateOfFiles`): one that was replaced between then and now is taken up too. */
  readonly since: FilesState;
  readonly clock: Clock;
  readonly log: Pick<LogPort, "info" | "warn">;
  /** Reads all of them and checks that they fit together. @throws Error that says what is wrong */
  readonly read: () => Credentials | Promise<Credentials>;
  /** Takes them into use. */
  readonly use: (credentials: Credentials) => void;
}

export interface Following {
  /** Reads and takes the files now. Rejects, leaving the old in use, where they are no good. */
  reload(): Promise<void>;
  close(): void;
}

/** What keeps files from being taken may pass without any of them changing: no descriptor was free, a certificate's time comes. */
const RETRY_MS = 30_000;

/**
 * Takes the files into use whenever they change and fit together. While they don't (a certificate was replaced, its key not yet), the
 * old ones stay in use and the log says why, once for each reason; they are tried again now and then.
 */
export function followFiles<Credentials>(followed: FollowedFiles<Credentials>): Following {
  const { role, files, since, clock, log, read, use } = followed;
  let closed = false;
  /** Of several reloads that overlap, the newest decides. */
  let newest = 0;

  async function reload(): Promise<void> {
    const turn = ++newest;
    const credentials = await read();
    if (!closed && turn === newest) use(credentials);
  }

  let retry: Timer | undefined;
  let told: string | undefined;

  async function takeUp(): Promise<void> {
    retry?.cancel();
    retry = undefined;
    try {
      await reload();
      told = undefined;
      log.info({ role }, "changed files were taken up");
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== told) log.warn({ role, reason }, "changed files are no good yet; the old ones stay in use");
      told = reason;
      if (!closed) retry = clock.schedule(RETRY_MS, () => void takeUp());
    }
  }

  const endWatch = watchFiles(files, clock, () => void takeUp(), since);

  return {
    reload,
    close() {
      closed = true;
      retry?.cancel();
      endWatch();
    },
  };
}
