/**
 * Prepares a token, and makes, rotates and withdraws the service keys that the plugin leases. Run with `--help`.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import {
  createKeyObject,
  createWrappingKey,
  nameOf,
  objectVersions,
  readWrappedKeys,
  type ServiceKeyName,
  STATES,
  type State,
  setObjectState,
  WRAPPED_KEY_FILE,
  type WrappedKeyFile,
  wrap,
  writeWrappedKeys,
} from "./service-keys.ts";
import { Token, type TokenSession } from "./token.ts";

const HELP = `usage: keys.ts COMMAND … --module LIBRARY --token LABEL (--pin-file FILE | --pin-env NAME)

  wrapping-key LABEL                        make the key on the token that opens wrapped service keys
  create TENANT SERVICE                     make a service key; where there is one, its next version (the old turns deprecated)
  state TENANT SERVICE VERSION STATE        set a version's state: ${STATES.join(", ")}
  list TENANT SERVICE                       show the versions

Service keys are objects of the token, or wrapped in a file, with:
  --wrapped-keys FILE --wrapping-key LABEL`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    module: { type: "string" },
    token: { type: "string" },
    "pin-file": { type: "string" },
    "pin-env": { type: "string" },
    "wrapped-keys": { type: "string" },
    "wrapping-key": { type: "string" },
    help: { type: "boolean" },
  },
});

const STANDARD_OUTPUT = 1;
const [command, ...rest] = positionals;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

try {
  if (values.help === true || command === undefined) print(HELP);
  else await main();
} catch (error) {
  console.error(`keys.ts: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const token = new Token({
    module: needed("module"),
    label: needed("token"),
    readPin,
    sessions: 1,
    writable: true,
    attempt: async (_name, run) => run(),
    clock: {
      monotonicMs: () => performance.now(),
      wallMs: () => Date.now(),
      schedule: () => ({ cancel() {} }),
    },
  });
  try {
    await token.use(run);
  } finally {
    token.close();
  }
}

async function run(session: TokenSession): Promise<void> {
  const path = values["wrapped-keys"];
  if (command === "wrapping-key") {
    const label = rest[0];
    if (label === undefined) throw new Error("give the label of the wrapping key");
    createWrappingKey(session, label);
    print(`made the wrapping key "${label}"`);
    return;
  }
  const [tenant = "", service = "", version, state] = rest;
  if (!NAME.test(tenant) || !NAME.test(service)) throw new Error("give a tenant and a service");
  const name = { tenant, service };
  switch (command) {
    case "create":
      if (path === undefined) createObject(session, name);
      else await createWrapped(session, name, path);
      break;
    case "state":
      if (!STATES.includes(state as State)) throw new Error(`give a state: ${STATES.join(", ")}`);
      setState(session, name, Number(version), state as State, path);
      break;
    case "list":
      for (const key of path === undefined ? objectVersions(session, name) : stored(path, name)) {
        print(`${nameOf({ ...name, version: key.version })} ${key.state}`);
      }
      break;
    default:
      throw new Error(`unknown command "${command}"; see --help`);
  }
}

function createObject(session: TokenSession, name: ServiceKeyName): void {
  const versions = objectVersions(session, name);
  const version = 1 + Math.max(0, ...versions.map((key) => key.version));
  // The new one first, as deprecated: a lease in between finds no active version at worst, never two.
  createKeyObject(session, name, version, "deprecated");
  for (const { object, version, state } of versions) {
    if (state === "active") setObjectState(session, object, version, "deprecated");
  }
  const made = objectVersions(session, name).find((key) => key.version === version)!;
  setObjectState(session, made.object, version, "active");
  print(`${nameOf({ ...name, version })} active`);
}

async function createWrapped(session: TokenSession, name: ServiceKeyName, path: string): Promise<void> {
  const file: WrappedKeyFile = existsSync(path) ? readWrappedKeys(path) : { format: WRAPPED_KEY_FILE, keys: [] };
  const versions = file.keys.filter((key) => key.tenant === name.tenant && key.service === name.service);
  const version = 1 + Math.max(0, ...versions.map((key) => key.version));
  const key = crypto.getRandomValues(new Uint8Array(32));
  try {
    const wrapped = await wrap(session, needed("wrapping-key"), { ...name, version }, key);
    for (const old of versions) if (old.state === "active") old.state = "deprecated";
    file.keys.push({ ...name, version, state: "active", wrapped });
  } finally {
    key.fill(0);
  }
  writeWrappedKeys(path, file);
  print(`${nameOf({ ...name, version })} active`);
}

function setState(
  session: TokenSession,
  name: ServiceKeyName,
  version: number,
  state: State,
  path: string | undefined,
): void {
  const missing = (): Error => new Error(`there is no ${nameOf({ ...name, version })}`);
  if (path === undefined) {
    const key = objectVersions(session, name).find((each) => each.version === version);
    if (key === undefined) throw missing();
    setObjectState(session, key.object, version, state);
  } else {
    const file = readWrappedKeys(path);
    const key = file.keys.find((each) => nameOf(each) === nameOf({ ...name, version }));
    if (key === undefined) throw missing();
    key.state = state;
    writeWrappedKeys(path, file);
  }
  print(`${nameOf({ ...name, version })} ${state}`);
}

function stored(path: string, { tenant, service }: ServiceKeyName): { version: number; state: State }[] {
  return readWrappedKeys(path).keys.filter((key) => key.tenant === tenant && key.service === service);
}

function readPin(): string {
  const file = values["pin-file"];
  if (file !== undefined) return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  const pin = process.env[needed("pin-env")];
  if (pin === undefined) throw new Error(`the environment variable ${values["pin-env"]} is not set`);
  return pin;
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

function needed(option: "module" | "token" | "pin-env" | "wrapping-key"): string {
  const value = values[option];
  if (value === undefined) throw new Error(`give --${option}; see --help`);
  return value;
}
