/** Where a Core's store is, as its configuration says. */
import { readAuthorities, readCertificatePair } from "../base/pki/pem.ts";
import { type CoreConfiguration, isPostgresql } from "./core-configuration.ts";
import type { LoadedCore } from "./load-core.ts";
import { type PostgresqlOptions, parsePostgresqlUrl } from "./store/open-store.ts";
import type { DatabaseCredentials } from "./store/postgresql-database.ts";

type DatabaseSection = Exclude<CoreConfiguration["database"], string>;

/** With the certificates read, and the password as it is at the time of each connection. @throws Error with a sentence */
export function databaseOf({ database }: CoreConfiguration): string | PostgresqlOptions {
  if (typeof database === "string") return isPostgresql(database) ? parsePostgresqlUrl(database) : database;
  const connection = parsePostgresqlUrl(database.url);
  const { password, ca, cert, key } = database;
  if ((cert === undefined) !== (key === undefined)) throw new Error("cert and key go together: give both, or neither");
  if (connection.tls === "disable" && (ca !== undefined || cert !== undefined)) {
    throw new Error(
      "ca and cert are for TLS, which a database on this machine has only with ?sslmode=verify-full in its url",
    );
  }
  return {
    ...connection,
    ...(password === undefined ? {} : { password: () => database.password! }),
    credentials: readCredentials(database),
    maxConnections: database.connections,
    timeoutMs: database.timeout,
  };
}

/** The same, with the certificates and the key as their files have them at the time. */
export async function followedDatabase({ configuration, follow }: LoadedCore): Promise<string | PostgresqlOptions> {
  const database = databaseOf(configuration);
  const { database: section } = configuration;
  if (typeof database === "string" || typeof section === "string") return database;
  const { ca, cert, key } = section;
  const certificates = [ca, cert].filter((file) => file !== undefined);
  if (certificates.length === 0) return database;
  let credentials: DatabaseCredentials = {};
  await follow({
    role: "the database",
    certificates,
    others: key === undefined ? [] : [key],
    take() {
      credentials = readCredentials(section);
    },
  });
  return { ...database, credentials: () => credentials };
}

function readCredentials({ ca, cert, key }: DatabaseSection): DatabaseCredentials {
  const pair = cert === undefined || key === undefined ? undefined : readCertificatePair(cert, key);
  return { ca: ca === undefined ? undefined : readAuthorities(ca).pem, cert: pair?.cert, key: pair?.key };
}
