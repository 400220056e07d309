/** A change of the `Store` in SQL that SQLite and PostgreSQL both speak. */
import { yieldToEventLoop } from "../../base/time/turns.ts";
import type { LoggedEvent } from "../protocol/events.ts";
import { SqlReader } from "./sql-reader.ts";
import type { DoneOrder, SigningKeyRow, StoreChange } from "./store.ts";

/** Changed in one go, in about a millisecond. */
const ROWS_AT_ONCE = 500;

export class SqlChange extends SqlReader implements StoreChange {
  async insertTenant(tenant: string, wrappedKey: Uint8Array, at: string): Promise<void> {
    await this.sql.run(
      "INSERT INTO tenants (tenant, state, l2, created_at) VALUES ($1, 'active', $2, $3)",
      tenant,
      wrappedKey,
      at,
    );
  }

  async setTenantKey(tenant: string, wrappedKey: Uint8Array): Promise<void> {
    await this.sql.run("UPDATE tenants SET l2 = $1 WHERE tenant = $2 AND l2 IS NOT NULL", wrappedKey, tenant);
  }

  async setTenantState(tenant: string, state: "active" | "compromised"): Promise<void> {
    await this.sql.run("UPDATE tenants SET state = $1 WHERE tenant = $2", state, tenant);
  }

  async destroyTenant(tenant: string, at: string): Promise<void> {
    await this.sql.run("UPDATE tenants SET state = 'destroyed', l2 = NULL WHERE tenant = $1", tenant);
    await this.#inTurns(
      `UPDATE services SET state = 'destroyed' WHERE (tenant, service) IN (
         SELECT tenant, service FROM services WHERE tenant = $1 AND state <> 'destroyed' LIMIT $2
       ) RETURNING service`,
      tenant,
    );
    await this.#destroyKeys(at, "tenant = $2", tenant);
  }

  async insertService(tenant: string, service: string, at: string): Promise<void> {
    await this.sql.run(
      "INSERT INTO services (tenant, service, state, created_at) VALUES ($1, $2, 'active', $3)",
      tenant,
      service,
      at,
    );
  }

  async setServiceState(tenant: string, service: string, state: "active" | "compromised"): Promise<void> {
    await this.sql.run("UPDATE services SET state = $1 WHERE tenant = $2 AND service = $3", state, tenant, service);
  }

  async destroyService(tenant: string, service: string, at: string): Promise<void> {
    await this.sql.run("UPDATE services SET state = 'destroyed' WHERE tenant = $1 AND service = $2", tenant, service);
    await this.#destroyKeys(at, "tenant = $2 AND service = $3", tenant, service);
  }

  async insertVersion(
    tenant: string,
    service: string,
    version: number,
    wrappedKey: Uint8Array,
    at: string,
  ): Promise<void> {
    await this.sql.run(
      `UPDATE service_keys SET state = 'deprecated', changed_at = $1
       WHERE tenant = $2 AND service = $3 AND state = 'active'`,
      at,
      tenant,
      service,
    );
    await this.sql.run(
      `INSERT INTO service_keys (tenant, service, version, state, l3, created_at, changed_at)
       VALUES ($1, $2, $3, 'active', $4, $5, $5)`,
      tenant,
      service,
      version,
      wrappedKey,
      at,
    );
  }

  async setVersionState(
    tenant: string,
    service: string,
    version: number,
    state: "compromised" | "destroyed",
    at: string,
  ): Promise<void> {
    const changes =
      state === "destroyed"
        ? "state_before = NULL, state = 'destroyed', l3 = NULL"
        : "state_before = state, state = 'compromised'";
    await this.sql.run(
      `UPDATE service_keys SET ${changes}, changed_at = $1 WHERE tenant = $2 AND service = $3 AND version = $4`,
      at,
      tenant,
      service,
      version,
    );
  }

  async restoreVersion(tenant: string, service: string, version: number, at: string): Promise<void> {
    await this.sql.run(
      `UPDATE service_keys SET state_before = NULL, changed_at = $1,
         state = CASE WHEN state_before = 'active' AND NOT EXISTS (
           SELECT 1 FROM service_keys o WHERE o.tenant = $2 AND o.service = $3 AND o.state = 'active'
         ) THEN 'active' ELSE 'deprecated' END
       WHERE tenant = $2 AND service = $3 AND version = $4`,
      at,
      tenant,
      service,
      version,
    );
  }

  async appendEvent(make: (log: string, seq: number) => LoggedEvent): Promise<LoggedEvent> {
    const [row] = await this.sql.all<{ log: string; last_seq: number | string }>(
      "UPDATE event_log SET last_seq = last_seq + 1 RETURNING log, last_seq",
    );
    if (row === undefined) throw new Error("the database is not a Core's: it names no event log");
    const event = make(row.log, Number(row.last_seq));
    await Promise.all([
      this.sql.run("INSERT INTO events (seq, event) VALUES ($1, $2)", event.seq, JSON.stringify(event)),
      this.sql.run("DELETE FROM events WHERE seq <= $1", event.seq - this.retainedEvents),
      this.tell(event),
    ]);
    return event;
  }

  /** Tells other processes, at the commit. */
  protected async tell(_event: LoggedEvent): Promise<void> {}

  async insertSigningKey(key: Omit<SigningKeyRow, "retiredAt">, at: string, forgetBefore: string): Promise<void> {
    await this.sql.run("UPDATE signing_keys SET retired_at = $1 WHERE retired_at IS NULL", at);
    await this.sql.run("DELETE FROM signing_keys WHERE retired_at < $1", forgetBefore);
    await this.sql.run(
      "INSERT INTO signing_keys (kid, public_key, private_key, created_at) VALUES ($1, $2, $3, $4)",
      key.kid,
      key.publicKey,
      key.wrappedPrivateKey,
      at,
    );
  }

  async setSigningKey(kid: string, wrappedPrivateKey: Uint8Array): Promise<void> {
    await this.sql.run("UPDATE signing_keys SET private_key = $1 WHERE kid = $2", wrappedPrivateKey, kid);
  }

  async setSetting(name: string, value: Uint8Array): Promise<void> {
    await this.sql.run(
      "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
      name,
      value,
    );
  }

  async doneOrder(id: string): Promise<DoneOrder | undefined> {
    const [row] = await this.sql.all<{ at: string; seqs: string }>(
      "SELECT at, seqs FROM orders_done WHERE id = $1",
      id,
    );
    return row && { at: row.at, seqs: JSON.parse(row.seqs) as number[] };
  }

  async insertDoneOrder(id: string, { at, seqs }: DoneOrder, kept: boolean): Promise<void> {
    await this.sql.run(
      "INSERT INTO orders_done (id, at, seqs, kept) VALUES ($1, $2, $3, $4)",
      id,
      at,
      JSON.stringify(seqs),
      kept ? 1 : 0,
    );
  }

  async forgetDoneOrders(before: string): Promise<void> {
    await this.sql.run("DELETE FROM orders_done WHERE kept = 0 AND at < $1", before);
  }

  async beginHistory(log: string, versionMargin: number): Promise<void> {
    await this.sql.run("DELETE FROM events");
    await this.sql.run("UPDATE event_log SET log = $1", log);
    // A margin that was set by an earlier restore counts as versions that may have been used.
    const newest = `(SELECT max(version) FROM service_keys k
      WHERE k.tenant = services.tenant AND k.service = services.service)`;
    const from = `(CASE WHEN COALESCE(lost_to, 0) > ${newest} THEN lost_to ELSE ${newest} END)`;
    await this.sql.run(
      `UPDATE services SET lost_from = COALESCE(lost_from, ${newest} + 1), lost_to = ${from} + $1`,
      versionMargin,
    );
  }

  #destroyKeys(at: string, where: string, ...names: readonly string[]): Promise<void> {
    return this.#inTurns(
      `UPDATE service_keys SET state = 'destroyed', state_before = NULL, l3 = NULL, changed_at = $1
       WHERE (tenant, service, version) IN (
         SELECT tenant, service, version FROM service_keys WHERE ${where} AND state <> 'destroyed' LIMIT $${names.length + 2}
       ) RETURNING version`,
      at,
      ...names,
    );
  }

  /** A statement that changes so many rows at most, its last value, and returns each: again until none is left, with others' calls in between. */
  async #inTurns(statement: string, ...values: readonly string[]): Promise<void> {
    while ((await this.sql.all(statement, ...values, ROWS_AT_ONCE)).length === ROWS_AT_ONCE) await yieldToEventLoop();
  }
}
