/** The clients of KES, unchanged: kms-go, and a MinIO server whose KMS is the edge. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { type Running, start } from "../e2e/support/binary.ts";
import { freePort } from "../support/free-port.ts";
import { eventually } from "../support/until.ts";
import { goPrograms, goVersion, MINIO_VERSION, minio, python, runClient } from "./support/door-clients.ts";
import { DoorDeployment } from "./support/door-deployment.ts";
import { DoorTable } from "./support/door-table.ts";

const table = new DoorTable("kes");
const MINIO = "MinIO server";
const minioVersion = (): string => MINIO_VERSION.split("-")[1]!.replace(/(....)(..)(..).*/, "$1-$2-$3");

let world: DoorDeployment;
let programs: { kes: string; python: string; minio: string };
let apiKey: string;
/** Of an edge whose leases last five minutes, and of one whose leases last a second. */
let urls: { kes: string; brief: string };

const LISTENERS =
  '  - { http: "127.0.0.1:0", principal: local }\n  - { https: "127.0.0.1:0", cert: pki/server.pem, key: pki/server.key, client_certificates: any, min_tls: "1.2", doors: [kes], kes: { keys: { minio-default: { tenant: tenant-m, service: minio }, of_others: { tenant: tenant-a, service: billing } } } }';

beforeAll(async () => {
  const [go, interpreter, server] = await Promise.all([goPrograms("kes"), python("requirements-kmip.txt"), minio()]);
  programs = { kes: `${go}/kes-client`, python: interpreter, minio: server };
  world = await DoorDeployment.start(["tenant-m/minio", "tenant-a/billing"]);
  const made = await runClient([programs.kes, "genkey"], {});
  const [key, identity] = made.output.trim().split(" ");
  apiKey = key!;
  const policy = `  - { principals: ["spki:${identity}"], tenants: [tenant-m], services: [minio], operations: [create, encrypt, decrypt] }`;
  const edge = await world.startEdge("kes", LISTENERS, "", policy);
  const brief = await world.startEdge("brief", LISTENERS, "cache: { ttl: 1s, refresh_after: 500ms }", policy);
  urls = { kes: edge.addresses[1]!, brief: brief.addresses[1]! };
}, 1_200_000);
afterAll(() => world[Symbol.asyncDispose]());

async function kmsGo(url: string, ...args: readonly string[]): Promise<string> {
  const options = ["-apikey", apiKey, "-ca", world.file("pki/ca.pem")];
  const { output } = await runClient(
    [programs.kes, ...options, ...args.slice(0, -1), url, "minio-default", ...args.slice(-1)],
    {},
  );
  return output;
}

const kmsGoVersion = (): string => goVersion("kes", "github.com/minio/kms-go/kes");

describe("kms-go", () => {
  table.row(
    "kms-go",
    kmsGoVersion,
    "by API key: status, generate, encrypt, decrypt, describe, list, self; contexts; its own errors, exactly, for unknown keys, keys of others, other contexts, create, import and delete",
    async () => {
      const output = await kmsGo(urls.kes, "of_others");
      expect(output).toEndWith("OK\n");
    },
  );
  table.row(
    "kms-go, while the Core is away",
    kmsGoVersion,
    "goes on while the lease lasts, then 503, asked again; well again when the Core is back",
    async () => {
      expect(await kmsGo(urls.brief, "-only", "generate", "")).toStartWith("32 ");
      await world.stopCore();
      try {
        await eventually(
          async () => (await kmsGo(urls.brief, "-only", "generate", "")).startsWith("0 "),
          "the lease's end",
        );
        expect(await kmsGo(urls.kes, "-only", "generate", "")).toStartWith("32 ");
      } finally {
        await world.startCore();
      }
      await eventually(
        async () => (await kmsGo(urls.brief, "-only", "generate", "")).startsWith("32 "),
        "the Core's return",
      );
    },
  );
});

describe("MinIO", () => {
  const BUCKET = "encrypted";
  let server: Running | undefined;
  let address = "";

  async function startMinio(): Promise<void> {
    const port = await freePort();
    address = `http://127.0.0.1:${port}`;
    mkdirSync(world.file("minio"), { recursive: true });
    server = start(["server", "--address", `127.0.0.1:${port}`, world.file("minio")], {
      command: programs.minio,
      env: {
        PATH: process.env.PATH,
        HOME: world.folder,
        MINIO_ROOT_USER: "minioadmin",
        MINIO_ROOT_PASSWORD: "minioadmin",
        MINIO_BROWSER: "off",
        MINIO_UPDATE: "off",
        MINIO_KMS_KES_ENDPOINT: urls.kes,
        MINIO_KMS_KES_API_KEY: apiKey,
        MINIO_KMS_KES_KEY_NAME: "minio-default",
        MINIO_KMS_KES_CAPATH: world.file("pki/ca.pem"),
      },
    });
    await eventually(
      () =>
        fetch(`${address}/minio/health/cluster`).then(
          ({ ok }) => ok,
          () => false,
        ),
      "MinIO's health",
    );
  }

  async function s3(what: "session" | "again" | "denied"): Promise<void> {
    const env = { NO_PROXY: "127.0.0.1,localhost", AWS_EC2_METADATA_DISABLED: "true" };
    const { code, output } = await runClient([programs.python, "kes/s3.py", address, what, BUCKET], env);
    expect({ code, output }).toEqual({ code: 0, output: `OK ${what}\n` });
  }

  afterAll(() => server?.stop("SIGKILL"));

  table.row(
    MINIO,
    minioVersion,
    "SSE-S3, SSE-KMS with context, default encryption of a bucket, put, get, ranges, copy, multipart, list; an unknown key is 404",
    async () => {
      await startMinio();
      await s3("session");
    },
  );
  table.row(MINIO, minioVersion, "started again while the Core is away: reads and writes", async () => {
    await world.stopCore();
    try {
      await server?.stop("SIGTERM");
      await startMinio();
      await s3("again");
    } finally {
      await world.startCore();
    }
  });
  table.row(
    MINIO,
    minioVersion,
    "after a revocation its objects are 403, those without encryption are read",
    async () => {
      world.core("revoke", "tenant-m", "minio", "--key-version", "1");
      await eventually(async () => (await kmsGo(urls.kes, "-only", "generate", "")).startsWith("0 "), "the revocation");
      await s3("denied");
    },
  );
});

table.hold();
