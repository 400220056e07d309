/** The files of a Core that runs as a process of its own, over SQLite and with a listener for those who watch. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createThrowAwayPki, type ThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { freePort } from "./free-port.ts";

export interface CoreFiles {
  readonly pki: ThrowAwayPki;
  /** Of the configuration and of the database, in the folder. */
  readonly config: string;
  readonly database: string;
  /** Where edges and administrators call it, and where it is watched. */
  readonly url: string;
  readonly watchUrl: string;
}

/** Any number of them in one folder. */
export async function writeCoreFiles(folder: string): Promise<CoreFiles> {
  const pki = await createThrowAwayPki("example.org");
  const [port, watchPort] = [await freePort(), await freePort()];
  const write = (name: string, text: string | Uint8Array): string => {
    writeFileSync(join(folder, `${port}-${name}`), text, { mode: 0o600 });
    return `${port}-${name}`;
  };
  const database = `${port}.db`;
  const config = write(
    "core.yaml",
    `listen: "127.0.0.1:${port}"
database: ${database}
master_key: { file: ${write("master.key", randomBytes(32))} }
tls: { cert: ${write("core.pem", pki.core.cert)}, key: ${write("core.key", pki.core.key)}, client_ca: ${write("ca.pem", pki.core.clientCa)} }
allow: [{ edges: ["*"], tenants: ["*"], services: ["*"] }]
metrics: { listen: "127.0.0.1:${watchPort}" }
`,
  );
  return { pki, config, database, url: `https://127.0.0.1:${port}`, watchUrl: `http://127.0.0.1:${watchPort}` };
}
