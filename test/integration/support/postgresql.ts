/** Debian's PostgreSQL in a folder of its own, on a free port; stopped, killed and started again as a test likes. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PostgresqlOptions } from "../../../src/core/store/open-store.ts";
import { freePort } from "../../support/free-port.ts";

export interface PostgresqlServer {
  readonly port: number;
  /** A new, empty database. */
  database(name: string): Promise<PostgresqlOptions>;
  start(): Promise<void>;
  /** SIGKILL to the postmaster: its other processes end by themselves. */
  kill(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface PostgresqlStandby extends PostgresqlServer {
  /** Makes it the primary, once it has what it was sent. */
  promote(): Promise<void>;
}

const PROGRAMS = "/usr/lib/postgresql";

export function isPostgresqlInstalled(): boolean {
  return existsSync(PROGRAMS);
}

/** `settings` as in its configuration; `files` lie in its data folder, and that in `parent`. */
export async function startPostgresql(
  settings: readonly string[] = [],
  files: Readonly<Record<string, string>> = {},
  parent = tmpdir(),
): Promise<PostgresqlServer> {
  const place = makePlace(parent);
  await place.run("initdb", "-D", place.data, "-A", "trust", "-U", "core", "-E", "UTF8", "--no-sync");
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(place.data, name), text, { mode: 0o600 });
    chownSync(join(place.data, name), ...place.account);
  }
  return startIn(place, settings);
}

/**
 * A standby that follows the server at `port` by streaming replication, from a base backup of it. It reads only until `promote`.
 * `name` is what `synchronous_standby_names` calls it.
 */
export async function startStandby(port: number, name: string): Promise<PostgresqlStandby> {
  const place = makePlace(tmpdir());
  const from = `host=127.0.0.1 port=${port} user=core`;
  const how = ["-X", "stream", "--checkpoint=fast", "--write-recovery-conf", "--no-sync"];
  await place.run("pg_basebackup", "-d", from, "-D", place.data, ...how);
  const server = await startIn(place, [`cluster_name=${name}`]);
  return Object.assign(server, { promote: () => place.run("pg_ctl", "promote", "-D", place.data, "-w") });
}

interface Place {
  readonly folder: string;
  readonly data: string;
  /** User and group. */
  readonly account: [number, number];
  command(program: string, ...parameters: string[]): string[];
  /** @throws Error with what it wrote */
  run(program: string, ...parameters: string[]): Promise<void>;
}

function makePlace(parent: string): Place {
  const versions = readdirSync(PROGRAMS).sort((a, b) => Number(b) - Number(a));
  const programs = join(PROGRAMS, versions[0]!, "bin");
  const folder = mkdtempSync(join(parent, "postgresql-"));
  chmodSync(folder, 0o755);
  // It refuses to run as root.
  const isRoot = process.getuid?.() === 0;
  const account: [number, number] = isRoot ? accountOf("postgres") : [process.getuid!(), process.getgid!()];
  chownSync(folder, ...account);
  const asUser = isRoot ? ["setpriv", `--reuid=${account[0]}`, `--regid=${account[1]}`, "--clear-groups"] : [];
  const command = (program: string, ...parameters: string[]): string[] => [
    ...asUser,
    join(programs, program),
    ...parameters,
  ];
  return {
    folder,
    data: join(folder, "data"),
    account,
    command,
    async run(program, ...parameters) {
      const child = Bun.spawn(command(program, ...parameters), { cwd: folder, stderr: "pipe", stdout: "ignore" });
      const failure = await new Response(child.stderr).text();
      if ((await child.exited) !== 0) throw new Error(`${program}: ${failure}`);
    },
  };
}

async function startIn({ folder, data, command }: Place, settings: readonly string[]): Promise<PostgresqlServer> {
  const port = await freePort();
  let child: Bun.Subprocess | undefined;
  const server: PostgresqlServer = {
    port,
    async start() {
      const log = join(folder, "server.log");
      const run = (): Bun.Subprocess =>
        Bun.spawn(
          command(
            "postgres",
            ...["-D", data, "-p", String(port), "-k", folder, "-c", "listen_addresses=127.0.0.1,127.0.0.2"],
            ...settings.flatMap((setting) => ["-c", setting]),
          ),
          { cwd: folder, stdio: ["ignore", "ignore", Bun.file(log)] },
        );
      child = run();
      const endMs = performance.now() + 60_000;
      while (!(await answers(port))) {
        const told = child.exitCode === null ? "" : readFileSync(log, "utf8");
        // Sessions of a server that was killed notice it in a moment.
        if (told.includes("pre-existing shared memory block") && performance.now() < endMs) child = run();
        else if (performance.now() > endMs || child.exitCode !== null) {
          throw new Error(`PostgreSQL does not start: ${readFileSync(log, "utf8")}`);
        }
        await Bun.sleep(50);
      }
    },
    async kill() {
      child?.kill("SIGKILL");
      await child?.exited;
    },
    async database(name) {
      const admin = new Bun.SQL({ ...connection("postgres"), max: 1, tls: false });
      await admin.unsafe(`CREATE DATABASE "${name}"`);
      await admin.close();
      return connection(name);
    },
    async [Symbol.asyncDispose]() {
      child?.kill("SIGTERM");
      // What is left of connections does not hold it up.
      const killing = setTimeout(() => child?.kill("SIGQUIT"), 3_000);
      await child?.exited;
      clearTimeout(killing);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  const connection = (database: string): PostgresqlOptions => ({
    hostname: "127.0.0.1",
    port,
    username: "core",
    database,
    tls: "disable",
  });
  await server.start();
  return server;
}

async function answers(port: number): Promise<boolean> {
  const sql = new Bun.SQL({
    adapter: "postgres",
    hostname: "127.0.0.1",
    port,
    username: "core",
    database: "postgres",
    max: 1,
    tls: false,
  });
  try {
    await sql.unsafe("SELECT 1");
    return true;
  } catch {
    return false;
  } finally {
    await sql.close({ timeout: 0 }).catch(() => undefined);
  }
}

function accountOf(user: string): [number, number] {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((one) => one.startsWith(`${user}:`));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined) throw new Error(`there is no user ${user}: install postgresql`);
  return [Number(uid), Number(gid)];
}
