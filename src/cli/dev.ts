/** `crypto-edge dev`: a Core and an edge in one process, over real mutual TLS on loopback, with a throw-away PKI. */
import type { Command } from "commander";

interface DevOptions {
  readonly port: string;
  readonly corePort: string;
}

const EDGE_ID = "dev";

export function registerDev(program: Command): void {
  program
    .command("dev")
    .description("run a Core and an edge on this machine, over real mutual TLS, with throw-away certificates and keys")
    .option("-p, --port <port>", "the edge's HTTP port on 127.0.0.1", "7402")
    .option("--core-port <port>", "the Core's port on 127.0.0.1; 0 takes a free one", "0")
    .addHelpText("after", "\nExample:\n  crypto-edge dev --port 8080")
    .action(async (options: DevOptions) => {
      const port = portOf(program, "--port", options.port);
      const corePort = portOf(program, "--core-port", options.corePort);
      const { startDev } = await import("./run-dev.ts");
      const { stopSignal } = await import("../base/system/stop-signal.ts");
      const stopped = stopSignal();
      const dev = await startDev({ port, corePort, edgeId: EDGE_ID });
      const { wrapped } = await dev.edge.createKey({ tenant: "tenant-a", service: "billing" });
      console.log(introduction(dev, Buffer.from(wrapped).toString("base64url")));
      await stopped;
      await dev.close();
    });
}

function introduction(dev: import("./run-dev.ts").Dev, wrapped: string): string {
  const call = (operation: string, body: object): string =>
    `  curl -sS ${dev.edgeUrl}/v1/keys/${operation} -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
  return [
    "",
    `  Core   ${dev.coreUrl}   over mutual TLS; service keys are made on first use and gone when this ends`,
    `  edge   ${dev.edgeUrl}    for any tenant and service; the principal is "local"`,
    `  files  ${dev.directory}   the throw-away certificates and the edge's configuration`,
    "",
    "Make a data key:",
    call("create", { tenant: "tenant-a", service: "billing", plaintext: true }),
    "Open one that was made just now:",
    call("decrypt", { wrapped }),
    "By the clients of AWS KMS (docs/door-aws-kms.md), with any credentials:",
    `  AWS_ENDPOINT_URL_KMS=${dev.edgeUrl} AWS_DEFAULT_REGION=eu-central-1 AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any aws kms generate-data-key --key-id alias/tenant-a/billing --key-spec AES_256`,
    "By those of Vault and OpenBao (docs/door-vault-transit.md), with any token:",
    `  VAULT_ADDR=${dev.edgeUrl} VAULT_TOKEN=any VAULT_NAMESPACE=tenant-a vault write -f transit/datakey/plaintext/billing`,
    "",
    "ready (Ctrl-C ends it)",
  ].join("\n");
}

function portOf(program: Command, option: string, text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535)
    program.error(`error: ${option} takes a port from 0 to 65535, not "${text}"`);
  return port;
}
