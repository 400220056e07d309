import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { systemClock } from "../../src/base/time/system-clock.ts";
import { startCore } from "../../src/core/core.ts";
import { rotateMasterKey } from "../../src/core/keys/rotate-master-key.ts";
import { Fitness } from "../../src/core/store/fitness.ts";
import { openStore, type PostgresqlOptions, parsePostgresqlUrl } from "../../src/core/store/open-store.ts";
import { PostgresqlDatabase } from "../../src/core/store/postgresql-database.ts";
import { PostgresqlNotifications } from "../../src/core/store/postgresql-notifications.ts";
import { StoreUnavailable } from "../../src/core/store/store.ts";
import { readinessOf } from "../../src/core/watch-listener.ts";
import { orderOfSchema2 } from "../core/support/first-schema.ts";
import { openRegistry } from "../core/support/registry.ts";
import { testStore } from "../core/support/store-contract.ts";
import { freePort } from "../support/free-port.ts";
import { eventually } from "../support/until.ts";
import { startCutProxy } from "./support/cut-proxy.ts";
import { type PostgresqlServer, startPostgresql } from "./support/postgresql.ts";

setDefaultTimeout(60_000);

let server: PostgresqlServer;
const databases = new Map<string, PostgresqlOptions>();
const databaseOf = async (name: string): Promise<PostgresqlOptions> => {
  const known = databases.get(name) ?? (await server.database(name));
  databases.set(name, known);
  // The tests' time limits are for the store; a busy machine has its own.
  return { ...known, timeoutMs: 20_000 };
};

testStore({
  name: "PostgreSQL",
  start: async () => {
    server = await startPostgresql();
  },
  stop: () => server[Symbol.asyncDispose](),
  database: databaseOf,
  shared: true,
});

describe("a store in PostgreSQL", () => {
  let own: PostgresqlServer;
  const masterKey = randomBytes(32);
  beforeAll(async () => {
    own = await startPostgresql();
  }, 300_000);
  afterAll(() => own[Symbol.asyncDispose](), 60_000);

  test("is made once by whichever of many Cores comes first, and each finds the others' events", async () => {
    const database = { ...(await own.database("together")), timeoutMs: 20_000 };
    const opened = await Promise.all(Array.from({ length: 5 }, () => openRegistry({ database, masterKey })));
    const logs = new Set(await Promise.all(opened.map(async ({ store }) => (await store.position()).log)));
    expect(logs.size).toBe(1);
    let told = 0;
    for (const { store } of opened) store.onCommit(() => told++);
    await eventually(() => told >= 5, "every one listening");
    const before = told;
    await opened[0]!.registry.createService("tenant-a", "billing");
    await opened[1]!.registry.rotate("tenant-a", "billing");
    await eventually(() => told >= before + 5, "the event at every one");
    for (const one of opened) await one.close();
  });

  test("a lock that another session holds refuses the change alone: leases go on, and the refusal says where to look", async () => {
    const database = { ...(await own.database("held")), timeoutMs: 6_000 };
    const { store, registry, close } = await openRegistry({ database, masterKey });
    await registry.createService("tenant-a", "billing");
    const other = new Bun.SQL({ ...database, adapter: "postgres", max: 1, tls: false });
    const letGo = Promise.withResolvers<void>();
    const holding = Promise.withResolvers<void>();
    const held = other.begin(async (sql) => {
      await sql`SELECT 1 FROM event_log FOR UPDATE`;
      holding.resolve();
      await letGo.promise;
    });
    await holding.promise;
    const failure = await registry.rotate("tenant-a", "billing").catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StoreUnavailable);
    expect((failure as Error).message).toContain("pg_stat_activity");
    expect(store.health.away).toBeUndefined();
    expect((await store.leasable("tenant-a", "billing", undefined, 1))?.versions).toHaveLength(1);
    letGo.resolve();
    await held;
    await registry.rotate("tenant-a", "billing");
    await other.close();
    await close();
  });

  test("says that notifications do not arrive where the connection is cut without a word, and when they do again", async () => {
    const database = await own.database("notifications");
    const way = await startCutProxy(own.port);
    const lates: (string | undefined)[] = [];
    let told = 0;
    const notifications = new PostgresqlNotifications({
      connection: { ...database, port: way.port },
      timeoutMs: 20_000,
      clock: systemClock,
      // The others of its connections are not cut: it is this one that is silent.
      run: async (text, ...values) => {
        await direct.unsafe(text, values);
      },
      onChange: (late) => lates.push(late),
    });
    const direct = new Bun.SQL({ ...database, adapter: "postgres", max: 1, tls: false });
    const closing = new AbortController();
    const listening = notifications.listen(() => told++, closing.signal);
    await eventually(() => told > 0, "listening");
    await direct.unsafe("SELECT pg_notify('crypto_edge_events', '7')");
    await eventually(() => told > 1, "the first notification");
    way.cut();
    await eventually(() => notifications.late !== undefined, "the silence being noticed");
    expect(lates).toEqual([expect.stringContaining("do not arrive")]);
    way.heal();
    const before = told;
    await eventually(() => notifications.late === undefined, "notifications arriving again");
    // What was missed meanwhile is asked for.
    expect(told).toBeGreaterThan(before);
    closing.abort();
    await listening;
    await direct.close();
    way.close();
  });

  test("a Core that was away while the master key was rotated says that it can grant no lease", async () => {
    const database = { ...(await own.database("rotated")), timeoutMs: 20_000 };
    const logged: string[] = [];
    const core = await startCore({
      listen: { hostname: "127.0.0.1", port: 0 },
      tls: (await createThrowAwayPki("example.org")).core,
      database,
      masterKey,
      log: (_level, message) => logged.push(message),
    });
    const ready = () => readinessOf({ core, expiry: undefined as never, clock: systemClock });
    expect(ready()).toMatchObject({ ready: true });
    const rotating = await openRegistry({ database, masterKey: randomBytes(32), formerMasterKey: masterKey });
    await rotateMasterKey(rotating.store, rotating.hierarchy);
    await eventually(() => !core.hasMasterKey, "the Core noticing");
    expect(ready()).toMatchObject({ ready: false, reasons: [expect.stringContaining("master key")] });
    expect(logged).toContainEqual(expect.stringContaining("give it the new one"));
    await rotating.close();
    await core.close();
  });

  test("a pooler between the Core and the database is named as what is wrong", async () => {
    const database = await own.database("pooled");
    const folder = mkdtempSync(join(tmpdir(), "pooler-"));
    chmodSync(folder, 0o777);
    const port = await freePort();
    writeFileSync(
      join(folder, "pooler.ini"),
      `[databases]
pooled = host=127.0.0.1 port=${own.port} dbname=pooled user=core
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
auth_type = any
pool_mode = transaction
unix_socket_dir =
logfile = ${folder}/log
`,
    );
    // It refuses to run as root.
    const asUser =
      process.getuid?.() === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];
    const pooler = Bun.spawn([...asUser, "/usr/sbin/pgbouncer", join(folder, "pooler.ini")], {
      stdio: ["ignore", "ignore", "ignore"],
    });
    try {
      await eventually(async () => {
        const failure = await openStore({
          database: { ...database, port },
          retainedEvents: 10,
          clock: systemClock,
        }).then(
          () => "opened",
          (error: Error) => error.message,
        );
        // Before that it does not listen yet.
        return failure.includes("a pooler that shares connections between transactions stands between");
      }, "the pooler being named");
    } finally {
      pooler.kill();
      await pooler.exited;
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("still knows the orders that a Core of before has carried out, and keeps them", async () => {
    const database = { ...(await own.database("orders")), timeoutMs: 20_000 };
    await (await openRegistry({ database, masterKey })).close();
    const sql = new Bun.SQL({ ...database, adapter: "postgres", max: 1, tls: false });
    for (const statement of orderOfSchema2("postgresql")) await sql.unsafe(statement);
    await sql.unsafe("UPDATE schema_versions SET version = 2 WHERE part = 'keys'");
    await sql.close();
    const { store, close } = await openRegistry({ database, masterKey });
    await store.change(async (change) => {
      await change.forgetDoneOrders("2030-01-01T00:00:00.000Z");
      expect(await change.doneOrder("governance 1")).toEqual({ at: "2026-01-01T00:00:00.000Z", seqs: [3, 4] });
    });
    await close();
  });

  test("that is killed is away at once, and comes back by itself", async () => {
    const database = { ...(await own.database("killed-server")), timeoutMs: 3_000 };
    const { store, registry, close } = await openRegistry({ database, masterKey });
    await registry.createService("tenant-a", "billing");
    let told = 0;
    store.onCommit(() => told++);
    await eventually(() => told > 0, "listening");
    await own.kill();
    const read = () => registry.openVersions("tenant-a", "billing", undefined, 0);
    await eventually(async () => (await failureOf(read())) instanceof StoreUnavailable, "the store being away");
    expect(store.health.away).toBeString();
    // Fails at once: nobody waits for a server that was found away.
    const failures = await Promise.all(Array.from({ length: 50 }, () => failureOf(read())));
    for (const failure of failures) expect(failure).toBeInstanceOf(StoreUnavailable);
    await own.start();
    await eventually(async () => (await failureOf(read())) === undefined, "the store being back");
    expect(store.health.away).toBeUndefined();
    const before = told;
    await eventually(async () => {
      await registry.rotate("tenant-a", "billing").catch(() => undefined);
      return told > before;
    }, "a notification after the restart");
    await close();
  });

  test("works off what comes at once: many changes hold up no lease, and a fleet's leases are all answered", async () => {
    const database = { ...(await own.database("burst")), timeoutMs: 20_000, maxConnections: 4 };
    const { store, registry, close } = await openRegistry({ database, masterKey });
    await registry.createService("tenant-a", "billing");
    const changes = Promise.allSettled(Array.from({ length: 100 }, () => registry.rotate("tenant-a", "billing")));
    const lease = () => registry.openVersions("tenant-a", "billing", undefined, 2);
    for (let index = 0; index < 20; index++) expect((await lease()).versions).not.toBeEmpty();
    expect((await changes).filter(({ status }) => status === "rejected")).toEqual([]);
    const leases = await Promise.allSettled(Array.from({ length: 2_000 }, lease));
    for (const outcome of leases) {
      // On a busy machine some are told to come back, and nothing worse.
      if (outcome.status === "rejected") expect(outcome.reason.message).toBe("too many calls wait for the database");
    }
    expect(store.health.away).toBeUndefined();
    expect((await lease()).revocationSeq).toBe(100);
    await close();
  });

  test("refuses a wrong address or database with a sentence", async () => {
    const database = await own.database("wrong");
    const open = (change: Partial<PostgresqlOptions>) =>
      openStore({ database: { ...database, ...change }, retainedEvents: 10, clock: systemClock });
    expect((await failureOf(open({ port: 1 })))?.message).toContain("can't be used");
    expect((await failureOf(open({ database: "nothing" })))?.message).toContain("can't be used");
  });

  test("a variable of the environment stands in for nothing", async () => {
    const database = await own.database("environment");
    const child = Bun.spawn(
      [
        process.execPath,
        "-e",
        `const { openStore } = await import("${import.meta.dir}/../../src/core/store/open-store.ts");
         const { systemClock } = await import("${import.meta.dir}/../../src/base/time/system-clock.ts");
         const store = await openStore({ database: ${JSON.stringify(database)}, retainedEvents: 10, clock: systemClock });
         console.log((await store.position()).lastSeq); await store.close();`,
      ],
      {
        env: {
          ...process.env,
          PGHOST: "192.0.2.1",
          PGPORT: "1",
          PGDATABASE: "other",
          PGUSER: "x",
          PGPASSWORD: "y",
          DATABASE_URL: "postgres://x@192.0.2.1/y",
          PGSSLMODE: "verify-full",
        },
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    expect(await new Response(child.stderr).text()).toBe("");
    expect(await new Response(child.stdout).text()).toBe("0\n");
  });
});

describe("the address of a database", () => {
  test("is a URL; TLS with the server's certificate checked, unless it is this machine or the URL says otherwise", () => {
    expect(parsePostgresqlUrl("postgres://core:p%40ss@db.example/core")).toEqual({
      hostname: "db.example",
      port: 5432,
      username: "core",
      password: "p@ss",
      database: "core",
      tls: "verify-full",
    });
    expect(parsePostgresqlUrl("postgres://core@127.0.0.1:5433/core")).toMatchObject({ port: 5433, tls: "disable" });
    expect(parsePostgresqlUrl("postgres://core@[::1]/core")).toMatchObject({ hostname: "::1", tls: "disable" });
    expect(parsePostgresqlUrl("postgres://core@db/core?sslmode=require")).toMatchObject({ tls: "require" });
    expect(parsePostgresqlUrl("postgres://core@localhost/core?host=/run/postgresql")).toMatchObject({
      socket: "/run/postgresql",
    });
    for (const bad of [
      "core.db",
      "mysql://a@b/c",
      "postgres://db/core",
      "postgres://a@b",
      "postgres://a@b/c?sslmode=maybe",
      "postgres://a@b/c?x=1",
    ]) {
      expect(() => parsePostgresqlUrl(bad)).toThrow();
    }
  });
});

async function failureOf(call: Promise<unknown>): Promise<Error | undefined> {
  return call.then(
    () => undefined,
    (error: Error) => error,
  );
}

describe("the connection to a database by TLS", () => {
  let secured: PostgresqlServer;
  let pki: Awaited<ReturnType<typeof createThrowAwayPki>>;
  beforeAll(async () => {
    pki = await createThrowAwayPki("example.org");
    secured = await startPostgresql(["ssl=on", "ssl_ca_file=clients.pem"], {
      "server.crt": pki.core.cert,
      "server.key": pki.core.key,
      "clients.pem": pki.core.clientCa,
      // The user `shown` has to show a certificate.
      "pg_hba.conf": "hostssl all shown all trust clientcert=verify-ca\nhost all core all trust\n",
    });
  }, 300_000);
  afterAll(() => secured[Symbol.asyncDispose](), 60_000);

  const position = async (options: PostgresqlOptions): Promise<string> => {
    const opened = await openStore({ database: options, retainedEvents: 10, clock: systemClock }).catch(
      (error: Error) => error,
    );
    if (opened instanceof Error) return opened.message;
    await opened.close();
    return "opened";
  };

  test("trusts the authority of the time: one that is replaced counts for the next connections", async () => {
    let ca = (await createThrowAwayPki("example.org")).core.clientCa;
    const connection = { ...(await secured.database("renewed")), hostname: "localhost", tls: "verify-full" as const };
    const sql = new PostgresqlDatabase({
      connection: { ...connection, credentials: () => ({ ca }) },
      maxConnections: 2,
      timeoutMs: 10_000,
      clock: systemClock,
      fitness: new Fitness(),
    });
    try {
      const failure = await failureOf(sql.all("SELECT 1 AS one"));
      expect(failure).toBeInstanceOf(StoreUnavailable);
      expect(failure?.message).toMatch(
        /^the database's certificate can't be trusted \(.+, [A-Z_]+\): give the authority's/,
      );
      expect(sql.away).toBe(failure!.message);
      ca = pki.core.clientCa;
      await eventually(async () => (await failureOf(sql.all("SELECT 1 AS one"))) === undefined, "an answer");
    } finally {
      await sql.close();
    }
  });

  test("checks the server's authority and name, unless it is told not to", async () => {
    const credentials = { ca: pki.core.clientCa };
    const other = { ca: (await createThrowAwayPki("example.org")).core.clientCa };
    const database: PostgresqlOptions = { ...(await secured.database("secured")), timeoutMs: 10_000 };
    expect(await position({ ...database, hostname: "localhost", tls: "verify-full", credentials })).toBe("opened");
    expect(await position({ ...database, tls: "require" })).toBe("opened");
    const untrusted = "can't be used: the database's certificate can't be trusted";
    expect(await position({ ...database, hostname: "localhost", tls: "verify-full", credentials: other })).toContain(
      untrusted,
    );
    expect(await position({ ...database, hostname: "localhost", tls: "verify-full" })).toContain(untrusted);
    expect(await position({ ...database, hostname: "127.0.0.2", tls: "verify-full", credentials })).toContain(
      "can't be used: the database's certificate is of another name",
    );
    const sql = new Bun.SQL({ ...database, adapter: "postgres", tls: "require", max: 1 });
    const [row] = await sql.unsafe("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    expect(row.ssl).toBe(true);
    await sql.close();
  });

  const asUserWhoShows = async (name: string): Promise<PostgresqlOptions> => {
    const database = await secured.database(name);
    const sql = new Bun.SQL({ ...database, adapter: "postgres", tls: false, max: 1 });
    await sql.unsafe(
      "DO $$ BEGIN CREATE ROLE shown LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    );
    await sql.close();
    return { ...database, hostname: "localhost", username: "shown", tls: "verify-full", timeoutMs: 10_000 };
  };

  test("shows a client's certificate where it has one, and says what is wrong where the server wants another", async () => {
    const ca = pki.core.clientCa;
    const database = await asUserWhoShows("shows");
    const [own, stranger] = [await pki.edge("edge-1"), await (await createThrowAwayPki("example.org")).edge("edge-1")];
    expect(await position({ ...database, credentials: { ca, cert: own.cert, key: own.key } })).toBe("opened");
    expect(await position({ ...database, tls: "require", credentials: { cert: own.cert, key: own.key } })).toBe(
      "opened",
    );
    expect(await position({ ...database, credentials: { ca } })).toContain("requires a valid client certificate");
    expect(await position({ ...database, credentials: { ca, cert: stranger.cert, key: stranger.key } })).toContain(
      "can't be used: the database refused the TLS connection",
    );
  });

  test("a client's certificate that is renewed counts for the next connections, and for each of the store's parts", async () => {
    const ca = pki.core.clientCa;
    const database = await asUserWhoShows("renews");
    const [own, stranger] = [await pki.edge("edge-1"), await (await createThrowAwayPki("example.org")).edge("edge-1")];
    let credentials = { ca, cert: own.cert, key: own.key };
    const told: (string | undefined)[] = [];
    const store = await openStore({
      database: { ...database, credentials: () => credentials },
      retainedEvents: 10,
      clock: systemClock,
      onChange: (away) => told.push(away),
    });
    const admin = new Bun.SQL({ ...database, username: "core", adapter: "postgres", tls: "require", max: 1 });
    const cut = () => admin.unsafe("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shown'");
    try {
      const heard: number[] = [];
      store.onCommit(() => heard.push(1));
      await eventually(() => heard.length > 0, "notifications");
      credentials = { ca, cert: stranger.cert, key: stranger.key };
      await cut();
      await eventually(async () => {
        await failureOf(store.position());
        return store.health.away?.includes("refused the TLS connection") === true;
      }, "why it is away");
      credentials = { ca, cert: own.cert, key: own.key };
      await eventually(async () => (await failureOf(store.position())) === undefined, "the store's answer");
      await eventually(async () => (await failureOf(store.others())) === undefined, "the answer to who uses it");
      await eventually(() => store.health.late === undefined, "notifications again");
      expect(told.at(-1)).toBeUndefined();
    } finally {
      await admin.close();
      await store.close();
    }
  });

  test("a password that is no longer right is told as the database being away, and why", async () => {
    const database = await secured.database("password");
    const sql = new PostgresqlDatabase({
      connection: { ...database, username: "nobody" },
      maxConnections: 1,
      timeoutMs: 10_000,
      clock: systemClock,
      fitness: new Fitness(),
    });
    try {
      expect(await failureOf(sql.all("SELECT 1 AS one"))).toBeInstanceOf(StoreUnavailable);
      expect(sql.away).toContain("nobody");
    } finally {
      await sql.close();
    }
  });
});
