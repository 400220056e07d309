/** `crypto-edge dev`: a Core and an edge in one process, over real mutual TLS on loopback, with a throw-away PKI. */
import type { Command } from "commander";
import { requireBun } from "./require-bun.ts";
import type { Dev } from "./run-dev.ts";
import { thisProgram } from "./this-program.ts";

interface DevOptions {
  readonly port: string;
  readonly corePort: string;
  readonly quiet?: boolean;
}

const EDGE_ID = "dev";
const CONTEXT = "dev";

export function registerDev(program: Command): void {
  program
    .command("dev")
    .description("run a Core and an edge on this machine, over real mutual TLS, with throw-away certificates and keys")
    .option("-p, --port <port>", "the edge's HTTP port on 127.0.0.1", "7402")
    .option("--core-port <port>", "the Core's port on 127.0.0.1; 0 takes a free one", "0")
    .option("-q, --quiet", "tell nothing of what happens")
    .addHelpText("after", "\nExample:\n  crypto-edge dev --port 8080")
    .action(async (options: DevOptions) => {
      const port = portOf(program, "--port", options.port);
      const corePort = portOf(program, "--core-port", options.corePort);
      requireBun("the Core of `dev`");
      const { startDev } = await import("./run-dev.ts");
      const { stopSignal } = await import("../base/system/stop-signal.ts");
      const { openLineOutput } = await import("../base/line-output.ts");
      const stop = stopSignal();
      // A start that is interrupted has a folder to remove.
      stop.serving();
      // A terminal that stands still must not hold up what is shown on it.
      const output = openLineOutput(1, {});
      const tell = (line: string): void => output.write(`${line}\n`);
      const dev = await startDev({
        port,
        corePort,
        edgeId: EDGE_ID,
        context: CONTEXT,
        ...(options.quiet === true ? {} : { tell }),
      });
      tell(introduction(dev));
      await stop.asked;
      await dev.close();
    });
}

function introduction({ coreUrl, consoleUrl, edgeUrl, directory, isCurrent }: Dev): string {
  const program = commandName();
  const call = (operation: string, body: string): string =>
    `curl -sS ${edgeUrl}/v1/keys/${operation} -H 'content-type: application/json' -d ${body}`;
  const lines = [
    call("create", `'{"tenant":"tenant-a","service":"billing","plaintext":true}' | tee key.json`),
    call("decrypt", `"{\\"wrapped\\":\\"$(sed -E 's/.*"wrapped":"([^"]+)".*/\\1/' key.json)\\"}"`),
    `${program} seal key.json`,
    `${program} core revoke tenant-a billing; ${program} open key.json.sealed -o copy.json   # refused`,
    `${program} core restore tenant-a billing; ${program} open key.json.sealed -o copy.json`,
  ];
  return [
    "",
    `  page    ${edgeUrl}/   what runs, live, with buttons`,
    `  console ${consoleUrl}/   the Core's: services, edges, events, audit; without a sign-in here, on this machine alone`,
    `  edge    ${edgeUrl}    for any tenant and service; the principal is "local"`,
    `  Core    ${coreUrl}   over mutual TLS; service keys are made on first use and gone when this ends`,
    `  files   ${directory}   the throw-away certificates and the edge's configuration`,
    `  context ${CONTEXT}${isCurrent ? "" : ` (another one is current: export CRYPTO_EDGE_CONTEXT=${CONTEXT} where you paste)`}`,
    "",
    "Clients that exist already:",
    `  AWS KMS  export AWS_ENDPOINT_URL_KMS=${edgeUrl}    then: aws kms generate-data-key --key-id alias/tenant-a/billing --key-spec AES_256`,
    `  Vault    export VAULT_ADDR=${edgeUrl} VAULT_NAMESPACE=tenant-a VAULT_TOKEN=any    then: vault write transit/encrypt/billing plaintext=aGVsbG8=`,
    "",
    "In another terminal, line by line: make a data key, open it, seal a file, revoke and be refused, restore and open it:",
    ...lines.map((line) => `  ${line}`),
    "",
    "ready (Ctrl-C ends it)",
  ].join("\n");
}

/** What a person types to run this program: its name where it is in the PATH, else how it was started. */
function commandName(): string {
  const command = thisProgram();
  return command.length === 1 ? command[0]! : "npx crypto-edge";
}

function portOf(program: Command, option: string, text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    program.error(`error: ${option} takes a port from 0 to 65535, not "${text}"`);
  return port;
}
