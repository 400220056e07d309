/** The clients of AWS KMS and of Vault Transit, unchanged, at the front doors of edges whose keys are leased from a real Core. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import {
  AWS_ESDK_JS_VERSION,
  goPrograms,
  goVersion,
  NODE_VAULT_VERSION,
  npmPackages,
  pinned,
  python,
  runClient,
  SOPS_VERSION,
  sops,
} from "./support/door-clients.ts";
import { ACCESS_KEY, ACCOUNT, DoorDeployment } from "./support/door-deployment.ts";
import { DoorTable } from "./support/door-table.ts";

const ROOT = resolve(import.meta.dir, "../..");
const AWS_JS = (await Bun.file(resolve(ROOT, "node_modules/@aws-sdk/client-kms/package.json")).json()) as {
  version: string;
};
const PINNED = pinned("requirements.txt");
const table = new DoorTable("aws-and-vault");

let world: DoorDeployment;
let programs: { py: string; mpl: string; vault: string; more: string; sops: string; npm: string };
/** Of an edge whose leases last five minutes. */
let http: string;
let https: string;
/** Of an edge whose leases last a second. */
let brief: string;

beforeAll(async () => {
  const [py, mpl, vault, more, sopsProgram, node] = await Promise.all([
    python("requirements.txt"),
    python("requirements-mpl.txt"),
    goPrograms("go-vault"),
    goPrograms("go-more"),
    sops(),
    npmPackages(),
  ]);
  programs = { py, mpl, vault: `${vault}/govault`, more: `${more}/gomore`, sops: sopsProgram, npm: node };
  const services = ["billing", "payments"].map((service) => `tenant-a/${service}`);
  world = await DoorDeployment.start([...services, "tenant-r/billing", "tenant-s/billing", "tenant-x/billing"]);
  const doors = "native, aws-kms, vault-transit";
  const { addresses } = await world.startEdge(
    "edge",
    `  - { http: "127.0.0.1:0", principal: local, doors: [${doors}] }\n${world.https(doors)}\n  - { unix: vault.sock, mode: "0600", principal: local, doors: [vault-transit] }`,
  );
  [http, https] = addresses as [string, string];
  const other = await world.startEdge(
    "brief",
    `  - { http: "127.0.0.1:0", principal: local, doors: [${doors}] }`,
    "cache: { ttl: 1s, refresh_after: 500ms }",
  );
  brief = other.addresses[0]!;
}, 900_000);
afterAll(() => world[Symbol.asyncDispose]());

function environment(address: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: ACCESS_KEY.id,
    AWS_SECRET_ACCESS_KEY: ACCESS_KEY.secret,
    AWS_DEFAULT_REGION: "us-east-1",
    AWS_REGION: "us-east-1",
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_ENDPOINT_URL_KMS: address,
    // Where clients of an older SDK look.
    AWS_KMS_ENDPOINT: address,
    VAULT_ADDR: address,
    VAULT_TOKEN: "any",
    VAULT_NAMESPACE: "tenant-a",
    KMS_KEY: "alias/tenant-a/billing",
    KMS_ARN: `arn:aws:kms:us-east-1:${ACCOUNT}:key/tenant-a/billing`,
    ACCOUNT,
    TRANSIT_KEY: "billing",
    CLIENT_MODULES: ROOT,
    NO_PROXY: "127.0.0.1,localhost",
    ...more,
  };
}

/** Over TLS, with this deployment's authority. */
function secured(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const ca = world.file("pki/ca.pem");
  return environment(https, { AWS_CA_BUNDLE: ca, NODE_EXTRA_CA_CERTS: ca, VAULT_CACERT: ca, CSFLE_CA: ca, ...more });
}

async function expectOk(command: readonly string[], env: Record<string, string>): Promise<string> {
  const { code, output } = await runClient(command, env);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}:\n${output}`);
  return output;
}

const certificate = (): Record<string, string> => ({
  CLIENT_CERT: world.file("pki/client.pem"),
  CLIENT_KEY: world.file("pki/client.key"),
});
const version = (name: string) => (): string => PINNED.get(name) ?? "unpinned";

describe("aws-kms on loopback", () => {
  table.row(
    "boto3",
    version("boto3"),
    "data keys, Encrypt, Decrypt, ReEncrypt, DescribeKey; wrong context, rubbish, unknown key and unserved operations raise their typed exceptions",
    async () => {
      await expectOk([programs.py, "aws-kms/boto3_kms.py"], environment(http));
    },
  );
  table.row(
    "AWS CLI",
    version("awscli"),
    "generate-data-key, encrypt, decrypt, describe-key, `--no-sign-request`, wrong context",
    async () => {
      await expectOk(["bash", "aws-kms/aws_cli.sh", programs.py, "-m", "awscli"], environment(http));
    },
  );
  table.row(
    "AWS SDK for JavaScript",
    () => AWS_JS.version,
    "data keys, Encrypt, ReEncrypt to another context, Decrypt; errors are instances of its classes",
    async () => {
      await expectOk(["node", "aws-kms/kms_js.mjs"], environment(http));
    },
  );
  table.row(
    "AWS Encryption SDK for Python",
    version("aws-encryption-sdk"),
    "strict and discovery providers, two keys, alias",
    async () => {
      await expectOk([programs.py, "aws-kms/esdk_py.py"], environment(http, { ALIAS: "yes" }));
    },
  );
  table.row(
    "AWS Encryption SDK for Python with the Material Providers Library",
    () => pinned("requirements-mpl.txt").get("aws-encryption-sdk")!,
    "KMS, multi-region, multi and discovery keyrings",
    async () => {
      await expectOk([programs.mpl, "aws-kms/esdk4_py.py"], environment(http));
    },
  );
  table.row(
    "Amazon S3 Encryption Client for Python",
    version("amazon-s3-encryption-client-python"),
    "objects put and got by ARN and by alias; an altered one is refused",
    async () => {
      await expectOk([programs.py, "aws-kms/s3ec.py"], environment(http));
    },
  );
  table.row(
    "AWS Encryption SDK for JavaScript",
    () => AWS_ESDK_JS_VERSION,
    "two keys, strict and discovery keyrings",
    async () => {
      await expectOk(["node", "aws-kms/esdk.mjs"], environment(http, { CLIENT_MODULES: programs.npm }));
    },
  );
  table.row(
    "Tink for Python",
    version("tink"),
    "envelope and remote AEAD, an encrypted keyset, wrong associated data",
    async () => {
      await expectOk([programs.py, "aws-kms/tink_aws.py"], environment(http));
    },
  );
  table.row(
    "Tink for Go (tink-go-awskms)",
    () => goVersion("go-more", "github.com/tink-crypto/tink-go-awskms/v3"),
    "envelope AEAD",
    async () => {
      await expectOk([programs.more, "tink"], environment(http));
    },
  );
  table.row(
    "the AWS KMS seal of Vault and OpenBao (go-kms-wrapping)",
    () => goVersion("go-more", "github.com/hashicorp/go-kms-wrapping/wrappers/awskms/v2"),
    "start, seal, unseal",
    async () => {
      await expectOk([programs.more, "awskms"], environment(http));
    },
  );
  table.row(
    "sops, AWS KMS",
    () => SOPS_VERSION,
    "key ARN, alias ARN with context, a new data key",
    async () => {
      await expectOk(["bash", "aws-kms/sops.sh", programs.sops, ACCOUNT], environment(http));
    },
  );
});

describe("what is printed to be pasted", () => {
  const printed = (text: string, name: string): string => new RegExp(`^ *${name}=.*$`, "m").exec(text)![0];
  const inPath = (): Record<string, string> => ({ PATH: `${dirname(programs.py)}:${process.env.PATH}` });

  table.row("AWS CLI, as README.md shows it", version("awscli"), "generate-data-key", async () => {
    const line = printed(readFileSync(resolve(ROOT, "README.md"), "utf8"), "AWS_ENDPOINT_URL_KMS");
    const output = await expectOk(["bash", "-ec", line.replace("http://127.0.0.1:7402", http)], {
      ...environment(http),
      ...inPath(),
    });
    expect(JSON.parse(output)).toMatchObject({ KeyId: `arn:aws:kms:us-east-1:${ACCOUNT}:key/tenant-a/billing` });
  });
  table.row("AWS CLI, as `crypto-edge dev` prints it", version("awscli"), "generate-data-key", async () => {
    const [, address, call] = / AWS KMS +(export \S+) +then: (aws .*)/.exec(await world.dev())!;
    const shown = await expectOk(["bash", "-ec", `${address}; ${call}`], { ...environment(http), ...inPath() });
    expect(JSON.parse(shown)).toHaveProperty("Plaintext");
  });
});

describe("aws-kms on the network", () => {
  table.row(
    "boto3, by access key",
    version("boto3"),
    "SigV4 over TLS, verified; another secret and an unknown id are refused",
    async () => {
      await expectOk([programs.py, "aws-kms/boto3_kms.py"], secured());
      await expectOk(
        [programs.py, "aws-kms/boto3_step.py", "fail", "tenant-a/billing", "InvalidSignatureException", "0"],
        secured({ AWS_SECRET_ACCESS_KEY: "another" }),
      );
      await expectOk(
        [programs.py, "aws-kms/boto3_step.py", "fail", "tenant-a/billing", "UnrecognizedClientException", "0"],
        secured({ AWS_ACCESS_KEY_ID: "AKIDOTHER" }),
      );
    },
  );
  table.row(
    "boto3, by a token as AWS_SESSION_TOKEN",
    version("boto3"),
    "a JWT of the listener's issuer; an altered one is refused",
    async () => {
      await expectOk(
        [programs.py, "aws-kms/boto3_step.py", "who", "tenant-a/billing"],
        secured({ AWS_SESSION_TOKEN: world.token, AWS_SECRET_ACCESS_KEY: "any" }),
      );
      const altered = secured({ AWS_SESSION_TOKEN: `${world.token.slice(0, -8)}AAAAAAAA` });
      await expectOk(
        [programs.py, "aws-kms/boto3_step.py", "fail", "tenant-a/billing", "UnrecognizedClientException", "0"],
        altered,
      );
    },
  );
  table.row(
    "boto3, by a client certificate",
    version("boto3"),
    "the certificate is the caller, whatever is signed",
    async () => {
      await expectOk(
        [programs.py, "aws-kms/boto3_step.py", "who", "tenant-a/billing"],
        secured({ ...certificate(), AWS_SECRET_ACCESS_KEY: "any" }),
      );
    },
  );
  table.row(
    "AWS CLI, by access key",
    version("awscli"),
    "the same session over TLS; an unsigned call is refused",
    async () => {
      const env = secured();
      const { code, output } = await runClient(["bash", "aws-kms/aws_cli.sh", programs.py, "-m", "awscli"], env);
      // Its last call is unsigned on purpose, and nobody is known by that here.
      expect([code === 0, output.includes("MissingAuthenticationTokenException")]).toEqual([false, true]);
    },
  );
  table.row(
    "AWS SDK for JavaScript, by access key",
    () => AWS_JS.version,
    "the same session over TLS",
    async () => {
      await expectOk(["node", "aws-kms/kms_js.mjs"], secured());
    },
  );
  table.row(
    "MongoDB client-side encryption (pymongo, `aws`)",
    version("pymongo"),
    "a data key made and opened by the driver's own KMS calls, SigV4 over TLS",
    async () => {
      await expectOk(
        [programs.py, "aws-kms/csfle_pymongo.py"],
        secured({ CSFLE_ENDPOINT: https.slice("https://".length) }),
      );
    },
  );
});

describe("vault-transit on loopback", () => {
  table.row(
    "hvac",
    version("hvac"),
    "encrypt, decrypt, rewrap, data keys, batches, keys, health; wrong context, rubbish, partial failure, rotate, AppRole and denied raise what Vault's do",
    async () => {
      await expectOk([programs.py, "vault-transit/hvac_transit.py"], environment(http));
    },
  );
  table.row(
    "node-vault",
    () => NODE_VAULT_VERSION,
    "encrypt, decrypt, data key, health, read, list, rubbish",
    async () => {
      await expectOk(["node", "vault-transit/node_vault.mjs"], environment(http, { CLIENT_MODULES: programs.npm }));
    },
  );
  table.row(
    "Vault's Go library",
    () => goVersion("go-vault", "github.com/hashicorp/vault/api"),
    "encrypt, decrypt, rewrap, data key without a body, read, list, health, seal status, lookup; over HTTP, a Unix socket, and with the tenant in the path",
    async () => {
      await expectOk([programs.vault], environment(http));
      await expectOk([programs.vault], environment(`unix://${world.file("vault.sock")}`));
      await expectOk([programs.vault], environment(http, { VAULT_NAMESPACE: "", MOUNT: "transit/tenant-a" }));
      await expectOk([programs.vault], environment(http, { VAULT_NAMESPACE: "", MOUNT: "tenant-a/transit" }));
    },
  );
  table.row(
    "the Transit seal of Vault and OpenBao (go-kms-wrapping)",
    () => goVersion("go-more", "github.com/hashicorp/go-kms-wrapping/wrappers/transit/v2"),
    "start, seal, unseal",
    async () => {
      await expectOk([programs.more, "transit"], environment(http));
    },
  );
  table.row(
    "sops, Vault Transit",
    () => SOPS_VERSION,
    "namespace, tenant in the mount's path, a new data key",
    async () => {
      await expectOk(["bash", "vault-transit/sops.sh", programs.sops], environment(http));
    },
  );
});

describe("vault-transit on the network", () => {
  table.row(
    "hvac, by a JWT login",
    version("hvac"),
    "login, lookup, encrypt; an altered token is refused",
    async () => {
      await expectOk(
        [programs.py, "vault-transit/hvac_step.py", "jwt", "billing"],
        secured({ JWT: world.token, VAULT_TOKEN: "" }),
      );
    },
  );
  table.row("hvac, by a client certificate", version("hvac"), "cert login, lookup, encrypt", async () => {
    await expectOk([programs.py, "vault-transit/hvac_step.py", "cert", "billing"], secured(certificate()));
  });
  table.row(
    "Vault's Go library, by a token",
    () => goVersion("go-vault", "github.com/hashicorp/vault/api"),
    "the same session over TLS with a JWT as VAULT_TOKEN; another token is refused",
    async () => {
      await expectOk([programs.vault], secured({ VAULT_TOKEN: world.token }));
      await expectOk([programs.vault, "fail", "403"], secured({ VAULT_TOKEN: "s.other" }));
    },
  );
});

describe("what the Core does", () => {
  table.row(
    "boto3, through a rotation",
    version("boto3"),
    "old ciphertexts open, ReEncrypt moves them to the new version",
    async () => {
      const state = world.file("boto3.json");
      await expectOk([programs.py, "aws-kms/boto3_step.py", "make", "tenant-r/billing", state], environment(http));
      const vault = world.file("hvac.json");
      await expectOk(
        [programs.py, "vault-transit/hvac_step.py", "make", "billing", vault],
        environment(http, { VAULT_NAMESPACE: "tenant-r" }),
      );
      world.core("rotate", "tenant-r", "billing");
      await newVersion("tenant-r");
      await expectOk([programs.py, "aws-kms/boto3_step.py", "open", "tenant-r/billing", state], environment(http));
    },
  );
  table.row(
    "hvac, through a rotation",
    version("hvac"),
    "old ciphertexts open, rewrap moves them to the new version, associated data too",
    async () => {
      await expectOk(
        [programs.py, "vault-transit/hvac_step.py", "open", "billing", world.file("hvac.json")],
        environment(http, { VAULT_NAMESPACE: "tenant-r" }),
      );
    },
  );

  test("denies what no policy allows, in each client's own exception", async () => {
    await expectOk(
      [programs.py, "aws-kms/boto3_step.py", "fail", "tenant-a/forbidden", "AccessDeniedException", "0"],
      environment(http),
    );
    await expectOk(
      ["node", "aws-kms/kms_js.mjs", "tenant-a/forbidden", "AccessDeniedException", "1"],
      environment(http),
    );
    await expectOk([programs.py, "vault-transit/hvac_step.py", "fail", "forbidden", "Forbidden"], environment(http));
    await expectOk([programs.vault, "fail", "403"], environment(http, { TRANSIT_KEY: "forbidden" }));
  });

  const versions: Record<string, () => string> = {
    boto3: version("boto3"),
    "AWS SDK for JavaScript": () => AWS_JS.version,
    hvac: version("hvac"),
    "Vault's Go library": () => goVersion("go-vault", "github.com/hashicorp/vault/api"),
  };
  /** A call on `tenant/billing` that is expected to fail as `expected` says. */
  const failing = (client: string, tenant: string, expected: string, retries: number): string[] => {
    switch (client) {
      case "boto3":
        return [programs.py, "aws-kms/boto3_step.py", "fail", `${tenant}/billing`, expected, String(retries)];
      case "AWS SDK for JavaScript":
        return ["node", "aws-kms/kms_js.mjs", `${tenant}/billing`, expected, String(retries + 1)];
      case "hvac":
        return [programs.py, "vault-transit/hvac_step.py", "fail", "billing", expected];
      default:
        return [programs.vault, "fail", expected];
    }
  };
  async function expectFailure(
    address: string,
    client: string,
    tenant: string,
    code: string,
    expected: string,
    calls: number,
  ): Promise<void> {
    const before = await refusals(address, code);
    await expectOk(failing(client, tenant, expected, calls - 1), environment(address, { VAULT_NAMESPACE: tenant }));
    expect((await refusals(address, code)) - before).toBe(calls);
  }

  const REVOKED = {
    boto3: "DisabledException",
    "AWS SDK for JavaScript": "DisabledException",
    hvac: "InvalidRequest",
    "Vault's Go library": "400",
  };
  for (const [client, expected] of Object.entries(REVOKED)) {
    table.row(`${client}, after a revocation`, versions[client]!, `${expected}, asked once`, async () => {
      if (client === "boto3") {
        await expectOk([programs.py, "aws-kms/boto3_step.py", "who", "tenant-x/billing"], environment(http));
        world.core("revoke", "tenant-x", "billing", "--reason", "test");
        await revoked("tenant-x");
      }
      await expectFailure(http, client, "tenant-x", "key_revoked", expected, 1);
    });
  }

  const AWAY: Record<string, [expected: string, calls: number]> = {
    boto3: ["KeyUnavailableException", 3],
    "AWS SDK for JavaScript": ["KeyUnavailableException", 3],
    hvac: ["VaultDown", 1],
    "Vault's Go library": ["503", 3],
  };
  for (const [client, [expected, calls]] of Object.entries(AWAY)) {
    const did = `goes on while the lease lasts, then ${expected}, asked ${calls === 1 ? "once" : "three times"}`;
    table.row(`${client}, while the Core is away`, versions[client]!, did, async () => {
      if (client === "boto3") {
        for (const address of [http, brief]) {
          await expectOk([programs.py, "aws-kms/boto3_step.py", "who", "tenant-s/billing"], environment(address));
        }
        await world.stopCore();
        await unavailable("tenant-s");
      }
      const goesOn: Record<string, readonly string[]> = {
        boto3: [programs.py, "aws-kms/boto3_step.py", "who", "tenant-s/billing"],
        "AWS SDK for JavaScript": ["node", "aws-kms/kms_js.mjs", "tenant-s/billing", "made"],
        hvac: [programs.py, "vault-transit/hvac_step.py", "make", "billing", world.file("away.json")],
        "Vault's Go library": [programs.vault, "made"],
      };
      await expectOk(goesOn[client]!, environment(http, { VAULT_NAMESPACE: "tenant-s" }));
      await expectFailure(brief, client, "tenant-s", "lease_unavailable", expected, calls);
    });
  }
});

table.hold();

/** Waits for what the Core tells edges to have arrived. */
async function settled(
  address: string,
  tenant: string,
  holds: (status: number, body: { version?: number }) => boolean,
): Promise<void> {
  const endMs = Date.now() + 30_000;
  for (;;) {
    const response = await fetch(`${address}/v1/keys/create`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ tenant, service: "billing" }),
    });
    if (holds(response.status, (await response.json()) as { version?: number })) return;
    if (Date.now() > endMs) throw new Error(`${tenant}: not within 30 s`);
    await new Promise((passed) => setTimeout(passed, 50));
  }
}

/** How many operations an edge has refused with this code, by its metrics. */
async function refusals(address: string, code: string): Promise<number> {
  const metrics = await (await fetch(`${address}/metrics`)).text();
  const lines = metrics
    .split("\n")
    .filter((line) => line.startsWith("crypto_edge_keys_total{") && line.includes(`outcome="${code}"`));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

const newVersion = (tenant: string): Promise<void> => settled(http, tenant, (_, { version }) => version === 2);
const revoked = (tenant: string): Promise<void> => settled(http, tenant, (status) => status === 410);
const unavailable = (tenant: string): Promise<void> => settled(brief, tenant, (status) => status === 503);
