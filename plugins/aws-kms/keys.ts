/** Makes, rotates and withdraws the service keys that the plugin leases. Run with `--help`. */
import { existsSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { GenerateDataKeyWithoutPlaintextCommand, KMSClient } from "@aws-sdk/client-kms";
import { encryptionContext, FORMAT, readKeyFile, STATES, type WrappedKeyFile, writeKeyFile } from "./wrapped-keys.ts";

const HELP = `usage: keys.ts COMMAND … --file FILE --region REGION --key-id KEY [--endpoint URL]

  create TENANT SERVICE                     make a service key; where there is one, its next version (the old turns deprecated)
  state TENANT SERVICE VERSION STATE        set a version's state: ${STATES.join(", ")}
  list                                      show all versions

KMS makes the keys, and gives them out wrapped: nobody sees them here. Credentials come from where the AWS SDK looks.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    file: { type: "string" },
    region: { type: "string" },
    "key-id": { type: "string" },
    endpoint: { type: "string" },
    help: { type: "boolean" },
  },
});
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const STANDARD_OUTPUT = 1;
const [command, tenant = "", service = "", version, state] = positionals;

try {
  if (values.help === true || command === undefined) print(HELP);
  else await main();
} catch (error) {
  console.error(`keys.ts: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const path = needed("file");
  const file: WrappedKeyFile = existsSync(path) ? readKeyFile(path) : { format: FORMAT, keys: [] };
  if (command === "list") {
    for (const key of file.keys) print(`${key.tenant}/${key.service}/${key.version} ${key.state}`);
    return;
  }
  if (!NAME.test(tenant) || !NAME.test(service)) throw new Error("give a tenant and a service");
  const named = file.keys.filter((key) => key.tenant === tenant && key.service === service);
  if (command === "create") {
    const next = 1 + Math.max(0, ...named.map((key) => key.version));
    const wrapped = await newKey(next);
    for (const old of named) if (old.state === "active") old.state = "deprecated";
    file.keys.push({ tenant, service, version: next, state: "active", wrapped });
    writeKeyFile(path, file);
    print(`${tenant}/${service}/${next} active`);
  } else if (command === "state") {
    const found = named.find((key) => key.version === Number(version));
    const wanted = STATES.find((each) => each === state);
    if (found === undefined) throw new Error(`there is no ${tenant}/${service}/${version}`);
    if (wanted === undefined) throw new Error(`give a state: ${STATES.join(", ")}`);
    found.state = wanted;
    writeKeyFile(path, file);
    print(`${tenant}/${service}/${version} ${state}`);
  } else {
    throw new Error(`unknown command "${command}"; see --help`);
  }
}

async function newKey(next: number): Promise<string> {
  const { endpoint } = values;
  const client = new KMSClient({ region: needed("region"), ...(endpoint === undefined ? {} : { endpoint }) });
  try {
    const { CiphertextBlob: wrapped } = await client.send(
      new GenerateDataKeyWithoutPlaintextCommand({
        KeyId: needed("key-id"),
        KeySpec: "AES_256",
        EncryptionContext: encryptionContext({ tenant, service, version: next }),
      }),
    );
    if (wrapped === undefined) throw new Error("KMS gave no key");
    return Buffer.from(wrapped).toString("base64");
  } finally {
    client.destroy();
  }
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

function needed(option: "file" | "region" | "key-id"): string {
  const value = values[option];
  if (value === undefined) throw new Error(`give --${option}; see --help`);
  return value;
}
