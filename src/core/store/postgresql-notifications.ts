/**
 * Hears at once of what other Cores commit. A notification is only a reason to look: anyone with an account at the database can send
 * one, and whoever must be sure polls too. That they arrive is checked by some of its own: a connection may be cut without a word,
 * and a pooler in transaction mode takes LISTEN and passes nothing on.
 */
import { randomBytes } from "node:crypto";
import { messageOf } from "../../base/errors.ts";
import { backoffMs } from "../../base/time/backoff.ts";
import { type Clock, sleep } from "../../base/time/clock.ts";
import { classify, openPool, type PostgresqlConnectionOptions } from "./postgresql-database.ts";
import type { Sql } from "./sql.ts";

const CHANNEL = "crypto_edge_events";
const NOTIFY = "SELECT pg_notify($1, $2)";
const CHECK_MS = 5_000;
/** The time that a check may take, beside that of the statement which sends it. */
const ARRIVAL_MS = 5_000;
const CHECK = "check ";

export interface NotificationOptions {
  readonly connection: PostgresqlConnectionOptions;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Runs a statement on another connection. */
  readonly run: (text: string, ...values: string[]) => Promise<void>;
  /** Notifications don't arrive (why), or arrive again. */
  readonly onChange?: (late: string | undefined) => void;
}

/** Notifies every Core of an event, at the commit of the transaction that `sql` is. */
export function notify(sql: Sql, seq: number): Promise<void> {
  return sql.run(NOTIFY, CHANNEL, String(seq));
}

export class PostgresqlNotifications {
  readonly #options: NotificationOptions;
  #late: string | undefined;

  constructor(options: NotificationOptions) {
    this.#options = options;
  }

  /** Why events of other Cores are heard of by polling only; undefined while they are told. */
  get late(): string | undefined {
    return this.#late;
  }

  /** Calls `listener` at each notification, and whenever some may have been missed. Resolves once `signal` has aborted. */
  async listen(listener: () => void, signal: AbortSignal): Promise<void> {
    const { connection, clock, timeoutMs } = this.#options;
    for (let failures = 0; !signal.aborted; failures++) {
      const over = new AbortController();
      const ended = Promise.withResolvers<void>();
      const end = (): void => {
        over.abort();
        ended.resolve();
      };
      const pool = openPool({ connection, maxConnections: 1, timeoutMs }, end);
      signal.addEventListener("abort", end, { once: true });
      const own = `${CHECK}${randomBytes(8).toString("hex")}`;
      let heard = false;
      const take = (payload: string): void => {
        if (payload === own) heard = true;
        // Those of the other Cores.
        else if (!payload.startsWith(CHECK)) listener();
      };
      try {
        await Promise.race([
          pool.listen(CHANNEL, take, () => {
            // What was committed while nobody listened.
            listener();
          }),
          ended.promise,
        ]);
        while (!over.signal.aborted) {
          heard = false;
          if (await this.#send(own)) {
            await Promise.race([this.#until(() => heard, over.signal), ended.promise]);
            if (over.signal.aborted) break;
            if (!heard) {
              this.#tell(
                "the database's notifications do not arrive: the connection is cut, or a pooler that shares connections between transactions stands between",
              );
              break;
            }
            failures = 0;
            this.#tell(undefined);
          }
          await sleep(clock, CHECK_MS, over.signal);
        }
      } catch (error) {
        // Tried again: meanwhile the poll hears of events.
        if (!signal.aborted)
          this.#tell(`the database's notifications can't be listened to: ${messageOf(classify(error))}`);
      }
      over.abort();
      signal.removeEventListener("abort", end);
      await pool.close({ timeout: 0 }).catch(() => undefined);
      await sleep(clock, backoffMs({ firstMs: 100, maxMs: 2_000 }, failures, Math.random), signal);
    }
  }

  /** Whether it was sent: a database that is away is told of elsewhere. */
  async #send(payload: string): Promise<boolean> {
    return this.#options.run(NOTIFY, CHANNEL, payload).then(
      () => true,
      () => false,
    );
  }

  async #until(isSo: () => boolean, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const endMs = clock.monotonicMs() + ARRIVAL_MS;
    while (!isSo() && clock.monotonicMs() < endMs && !signal.aborted) await sleep(clock, 50, signal);
  }

  #tell(late: string | undefined): void {
    if (late === this.#late) return;
    this.#late = late;
    this.#options.onChange?.(late);
  }
}
