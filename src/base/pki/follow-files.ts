/**
 * Credentials follow the disk: whatever a process reads of certificates, keys, authorities and revocation lists is taken up anew when
 * the files change, by whichever tool changed them. One piece of code for every role, of edge and Core.
 */
import { messageOf } from "../errors.ts";
import type { LogPort } from "../log-port.ts";
import type { Clock } from "../time/clock.ts";
import { watchFiles } from "./watch-files.ts";

export interface FollowedFiles<Credentials> {
  /** In the log: `listener https://0.0.0.0:7443`. */
  readonly role: string;
  readonly files: readonly string[];
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

/**
 * Takes the files into use whenever they change and fit together. While they don't (a certificate was replaced, its key not yet), the
 * old ones stay in use and the log says why, once for each state of the files.
 */
export function followFiles<Credentials>(followed: FollowedFiles<Credentials>): Following {
  const { role, files, clock, log, read, use } = followed;
  let closed = false;
  /** Of several reloads that overlap, the newest decides. */
  let newest = 0;

  async function reload(): Promise<void> {
    const turn = ++newest;
    const credentials = await read();
    if (!closed && turn === newest) use(credentials);
  }

  const endWatch = watchFiles(files, clock, () => {
    reload().then(
      () => log.info({ role }, "changed certificates, keys or revocation lists were taken up"),
      (error: unknown) =>
        log.warn({ role, reason: messageOf(error) }, "changed files are no good yet; the old ones stay in use"),
    );
  });

  return {
    reload,
    close() {
      closed = true;
      endWatch();
    },
  };
}
