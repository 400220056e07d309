/** Makes, rotates and withdraws the service keys that the plugin leases. Run with `--help`. */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { errorsOf, jsonOf, Server } from "./server.ts";

const HELP = `usage: keys.ts COMMAND … --address URL --transit-key NAME (token in VAULT_TOKEN or BAO_TOKEN)

  create TENANT SERVICE                     make a service key; where there is one, its next version (the old turns deprecated)
  state TENANT SERVICE VERSION STATE        set a version's state: active, deprecated, compromised, destroyed
  list TENANT SERVICE                       show the versions

  --ca FILE  --namespace NAME  --transit MOUNT (transit)  --kv MOUNT (secret)  --prefix FOLDER (crypto-edge)`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    address: { type: "string" },
    ca: { type: "string" },
    namespace: { type: "string" },
    transit: { type: "string", default: "transit" },
    "transit-key": { type: "string" },
    kv: { type: "string", default: "secret" },
    prefix: { type: "string", default: "crypto-edge" },
    help: { type: "boolean" },
  },
});

interface Version {
  readonly version: number;
  state: string;
  readonly wrapped: string;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const STATES = ["active", "deprecated", "compromised", "destroyed"];
const STANDARD_OUTPUT = 1;
const [command, tenant = "", service = "", version, state = ""] = positionals;

try {
  if (values.help === true || command === undefined) print(HELP);
  else await main();
} catch (error) {
  console.error(`keys.ts: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  if (!NAME.test(tenant) || !NAME.test(service)) throw new Error("give a tenant and a service");
  const { versions, revision } = await read();
  switch (command) {
    case "create": {
      const next = 1 + Math.max(0, ...versions.map((each) => each.version));
      const wrapped = await wrapNewKey(next);
      for (const old of versions) if (old.state === "active") old.state = "deprecated";
      await write([...versions, { version: next, state: "active", wrapped }], revision);
      print(`${tenant}/${service}/${next} active`);
      break;
    }
    case "state": {
      const found = versions.find((each) => each.version === Number(version));
      if (found === undefined) throw new Error(`there is no ${tenant}/${service}/${version}`);
      if (!STATES.includes(state)) throw new Error(`give a state: ${STATES.join(", ")}`);
      found.state = state;
      await write(versions, revision);
      print(`${tenant}/${service}/${version} ${state}`);
      break;
    }
    case "list":
      for (const each of versions) print(`${tenant}/${service}/${each.version} ${each.state}`);
      break;
    default:
      throw new Error(`unknown command "${command}"; see --help`);
  }
}

/** A key made here, wrapped by Transit, wiped. */
async function wrapNewKey(next: number): Promise<string> {
  const name = Buffer.from(`crypto-edge service key\n${tenant}/${service}/${next}`).toString("base64");
  const key = crypto.getRandomValues(Buffer.alloc(32));
  const body = Buffer.concat([
    Buffer.from('{"plaintext":"'),
    base64Bytes(key),
    Buffer.from(`","associated_data":"${name}"}`),
  ]);
  key.fill(0);
  try {
    const { data } = await call("POST", `${values.transit}/encrypt/${encodeURIComponent(needed("transit-key"))}`, body);
    return String((data as Record<string, unknown>).ciphertext);
  } finally {
    body.fill(0);
  }
}

/** Base64 as bytes: a string could not be wiped. */
function base64Bytes(bytes: Uint8Array): Buffer {
  const digits = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  const encoded = Buffer.alloc(Math.ceil(bytes.length / 3) * 4, "=");
  for (let from = 0, to = 0; from < bytes.length; from += 3, to += 4) {
    const triple = (bytes[from]! << 16) | ((bytes[from + 1] ?? 0) << 8) | (bytes[from + 2] ?? 0);
    encoded[to] = digits[triple >> 18]!;
    encoded[to + 1] = digits[(triple >> 12) & 63]!;
    if (from + 1 < bytes.length) encoded[to + 2] = digits[(triple >> 6) & 63]!;
    if (from + 2 < bytes.length) encoded[to + 3] = digits[triple & 63]!;
  }
  return encoded;
}

function secretPath(): string {
  return `${values.kv}/data/${values.prefix}/${encodeURIComponent(tenant)}/${encodeURIComponent(service)}`;
}

async function read(): Promise<{ versions: Version[]; revision: number }> {
  const { data } = await call("GET", secretPath(), undefined, 404);
  const { data: secret, metadata } = (data ?? {}) as {
    data?: { versions?: Version[] };
    metadata?: { version?: number };
  };
  return { versions: secret?.versions ?? [], revision: metadata?.version ?? 0 };
}

/** Only if nobody has written since it was read. */
async function write(versions: readonly Version[], revision: number): Promise<void> {
  await call("POST", secretPath(), { options: { cas: revision }, data: { versions } });
}

async function call(
  method: "GET" | "POST",
  path: string,
  body: Buffer | object | undefined,
  alsoFine = 200,
): Promise<Record<string, unknown>> {
  const { address, ca, namespace } = { ...values, address: needed("address") };
  const server = new Server({ address, ca, namespace, timeoutMs: 10_000 });
  const token = process.env.VAULT_TOKEN ?? process.env.BAO_TOKEN;
  const answer = await server.call(method, path, token, body, new AbortController().signal);
  if (answer.status !== 200 && answer.status !== alsoFine) throw new Error(`${path}: ${errorsOf(answer)}`);
  return jsonOf(answer);
}

/** Prints a line, or fails and tells it: on a full disk it would be lost without a word. */
function print(line: string): void {
  try {
    writeFileSync(STANDARD_OUTPUT, `${line}\n`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`standard output can't be written (${code}); it would say: ${line}`);
  }
}

function needed(option: "address" | "transit-key"): string {
  const value = values[option];
  if (value === undefined) throw new Error(`give --${option}; see --help`);
  return value;
}
