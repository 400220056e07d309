/** A Core, its console, and a database of a fleet that has used it for long: for tests of what holds up its other callers. */
import { Database } from "bun:sqlite";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClientFiles } from "../../src/base/pki/throw-away.ts";
import { EdgeInstances } from "../../src/core/edge-instances.ts";
import { unwrapKey, wrapKey } from "../../src/core/keys/envelope.ts";
import { KeyHierarchy } from "../../src/core/keys/hierarchy.ts";
import { startCoreWorld } from "./core-world.ts";
import { startWorldConsole } from "./world-console.ts";

export interface FilledCore {
  readonly url: string;
  readonly consoleUrl: string;
  readonly administrator: ClientFiles;
  /** The path of its keys, each tenant's under the former master key: `core rotate-master-key` is due. */
  readonly database: string;
}

const MANY = 10_000;
const MANY_MORE = 100_000;
/** Has as many services as there are tenants. */
export const LARGE = "large";
/** Others like it, to be destroyed; their names are far from one another. */
export const MORE_LARGE = Array.from({ length: 9 }, (_, index) => `tenant-${index + 1}000-large`);

export async function startFilledCore(): Promise<FilledCore> {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-filled-core-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const database = join(folder, "core.db");
  const empty = await startCoreWorld({ database, createOnFirstUse: true });
  await empty.core.admin.createService(LARGE, "service-1");
  const { core: name } = await empty.core.admin.status();
  await empty[Symbol.asyncDispose]();
  fillKeys(database, empty.options.masterKey);
  const masterKeys = { masterKey: randomBytes(32), formerMasterKey: empty.options.masterKey };
  const hierarchy = new KeyHierarchy(masterKeys.masterKey, masterKeys.formerMasterKey);
  fillUsage(`${database}-usage`, name, hierarchy.masterKeyIds);
  const world = await startCoreWorld({ database, ...masterKeys, createOnFirstUse: true });
  const { url: consoleUrl } = await startWorldConsole(world);
  return { url: world.core.url, consoleUrl, administrator: await world.pki.admin(), database };
}

/** Numbers from 1 to a bound, as a table `many (n)`. */
const numbers = (count: number): string =>
  `WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < ${count})`;

function fillKeys(path: string, masterKey: Uint8Array): void {
  using db = new Database(path, { strict: true });
  const now = new Date().toISOString();
  const fill = (statement: string, count = MANY): void => void db.run(`${statement.replace("MANY", numbers(count))}`);
  db.run("BEGIN");
  fill(`INSERT INTO tenants (tenant, state, l2, created_at) MANY
    SELECT 'tenant-' || n, 'active', (SELECT l2 FROM tenants WHERE tenant = '${LARGE}'), '${now}' FROM many`);
  const key = `(SELECT l3 FROM service_keys WHERE tenant = '${LARGE}')`;
  for (const name of MORE_LARGE) {
    db.run(`INSERT INTO tenants SELECT '${name}', state, l2, created_at FROM tenants WHERE tenant = '${LARGE}'`);
  }
  for (const [tenant, service] of [
    ["'tenant-' || n", "'service-1'"],
    ...[LARGE, ...MORE_LARGE].map((name) => [`'${name}'`, "'service-' || (n + 1)"] as const),
  ]) {
    fill(
      `INSERT INTO services (tenant, service, state, created_at) MANY SELECT ${tenant}, ${service}, 'active', '${now}' FROM many`,
    );
    fill(`INSERT INTO service_keys (tenant, service, version, state, l3, created_at, changed_at) MANY
      SELECT ${tenant}, ${service}, 1, 'active', ${key}, '${now}', '${now}' FROM many`);
  }
  fill(`INSERT INTO service_keys (tenant, service, version, state, l3, created_at, changed_at) MANY
    SELECT 'tenant-1', 'service-1', n + 1, 'deprecated', ${key}, '${now}', '${now}' FROM many`);
  fill(`INSERT INTO events (seq, event) MANY SELECT n, json_object('type', 'revoke', 'log', (SELECT log FROM event_log), 'seq', n,
    'at', '${now}', 'tenant', 'tenant-' || n, 'service', 'service-1', 'version', 1, 'state', 'compromised', 'reason', 'a key of this version leaked') FROM many`);
  db.run(`UPDATE event_log SET last_seq = ${MANY}`);
  wrapTenantKeys(db, masterKey);
  db.run("COMMIT");
}

/** Each tenant's under its own name, as a Core would have made it. */
function wrapTenantKeys(db: Database, masterKey: Uint8Array): void {
  const tenants = db.query<{ tenant: string; l2: Uint8Array }, []>("SELECT tenant, l2 FROM tenants").all();
  const { l2 } = tenants.find(({ tenant }) => tenant === LARGE)!;
  const key = unwrapKey(masterKey, ["l2", LARGE], l2);
  const update = db.query("UPDATE tenants SET l2 = $1 WHERE tenant = $2");
  for (const { tenant } of tenants) update.run(wrapKey(masterKey, ["l2", tenant], key), tenant);
}

/** Half of the edges called the Core of this name last. */
function fillUsage(path: string, core: string, masterKeyIds: readonly string[]): void {
  using db = new Database(path, { strict: true });
  const nowMs = Date.now();
  const now = new Date(nowMs).toISOString();
  db.run("BEGIN");
  db.run(`INSERT INTO audit_events (edge, received_at, event) ${numbers(MANY_MORE)} SELECT 'edge-' || (n % ${MANY}), '${now}',
    json_object('time', '${now}', 'principal', 'spiffe://example.org/client/application-' || (n % 100), 'operation', 'decrypt', 'outcome', 'ok',
      'tenant', 'tenant-' || (n % ${MANY}), 'service', 'service-1', 'version', 1, 'request_id', 'request-' || n, 'door', 'native', 'count', 1) FROM many`);
  db.run(`INSERT INTO usage_counts (edge, tenant, service, version, operation, outcome, principal, count, first_at, last_at) ${numbers(MANY_MORE)}
    SELECT 'edge-' || (n % ${MANY}), 'tenant-' || n, 'service-1', 1, 'decrypt', 'ok', 'spiffe://example.org/client/application-1', n, '${now}', '${now}' FROM many`);
  const slot = new Date(Math.floor(nowMs / 300_000) * 300_000).toISOString();
  db.run(`INSERT INTO recent_use (tenant, service, version, slot, edge, count) ${numbers(MANY_MORE)}
    SELECT '${LARGE}', 'service-' || (n / ${MANY} + 1), 1, '${slot}', 'edge-' || (n % ${MANY}), n FROM many`);
  const edge =
    db.query(`INSERT INTO edges (edge, core, last_seen_at, lease_calls, recent_calls, usage_batches, streams, seq, version, certificate_ends_at, instances)
    VALUES ($1, $2, $3, 100, 0, 20, 1, 5, '0.1.0', $3, $4)`);
  for (let index = 1; index <= MANY; index++)
    edge.run(`edge-${index}`, index % 2 === 0 ? core : "another", now, instancesOf(index, nowMs));
  db.query("INSERT INTO cores (core, seen_at, version, master_keys, seq) VALUES ('another', $1, '0.1.0', $2, 5)").run(
    now,
    masterKeyIds.join(" "),
  );
  db.run("COMMIT");
}

/** Of one process, which holds leases of ten services. */
function instancesOf(index: number, nowMs: number): string {
  const instances = new EdgeInstances(3_600_000);
  const id = `process-${index}`;
  instances.see(id, nowMs);
  const leases = instances.leasesOf(id)!;
  for (let service = 1; service <= 10; service++) {
    const asked = leases.asks(LARGE, `service-${service}`, nowMs);
    leases.granted(asked, [1], false, nowMs);
  }
  return JSON.stringify(instances.list());
}
