/** The clients of KMIP, unchanged, at the door of edges whose keys are leased from a real Core. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { eventually } from "../support/until.ts";
import { pinned, python, runClient } from "./support/door-clients.ts";
import { DoorDeployment } from "./support/door-deployment.ts";
import { DoorTable } from "./support/door-table.ts";

const REQUIREMENTS = "requirements-kmip.txt";
const PINNED = pinned(REQUIREMENTS);
const table = new DoorTable("kmip");

let world: DoorDeployment;
let interpreter: string;
/** Ports: of tenant-a's payments, of a service to revoke, of one to revoke through the door, of an edge whose leases last a second. */
let ports: { kmip: string; revoked: string; forwarding: string; brief: string };

const listener = (section: string): string =>
  `  - { tls: "127.0.0.1:0", cert: pki/server.pem, key: pki/server.key, client_ca: pki/ca.pem, min_tls: "1.2", doors: [kmip], kmip: { handshakes_per_second: 1000, ${section} } }`;
const place = (tenant: string): string => `tenant: ${tenant}, service: billing`;
/** The deployment's policy speaks of it. */
const LOCAL = '  - { http: "127.0.0.1:0", principal: local }\n';
const portOf = (address: string): string => new URL(address).port;

beforeAll(async () => {
  interpreter = await python(REQUIREMENTS);
  world = await DoorDeployment.start(["tenant-a", "tenant-r", "tenant-f", "tenant-b"].map((name) => `${name}/billing`));
  const pki = (name: string): string => world.file(`pki/${name}`);
  writeFileSync(
    pki("client-both.pem"),
    readFileSync(pki("client.pem"), "utf8") + readFileSync(pki("client.key"), "utf8"),
  );
  const core = `{ url: "${world.coreUrl}", ca: pki/ca.pem, cert: pki/core-admin.pem, key: pki/core-admin.key }`;
  const forward = `forward: core, revoke_principals: ["spiffe://example.org/billing/*"], core: ${core}`;
  const edge = await world.startEdge(
    "kmip",
    LOCAL +
      [listener(place("tenant-a")), listener(place("tenant-r")), listener(`${place("tenant-f")}, ${forward}`)].join(
        "\n",
      ),
  );
  const [, kmip, revoked, forwarding] = edge.addresses.map(portOf) as [string, string, string, string];
  const brief = await world.startEdge(
    "brief",
    LOCAL + listener(place("tenant-b")),
    "cache: { ttl: 1s, refresh_after: 500ms }",
  );
  ports = { kmip, revoked, forwarding, brief: portOf(brief.addresses[1]!) };
}, 900_000);
afterAll(() => world[Symbol.asyncDispose]());

async function client(program: string, ...args: readonly string[]): Promise<string> {
  const { code, output } = await runClient([interpreter, `kmip/${program}`, ...args], {
    NO_PROXY: "127.0.0.1,localhost",
  });
  expect({ code, output }).toMatchObject({ code: 0 });
  // PyKMIP complains of a file that it does not need.
  const lines = output.split("\n").filter((line) => line !== "" && !line.startsWith("Config file"));
  return lines.at(-1) ?? "";
}

const state = (port: string, ...args: readonly string[]): Promise<string> =>
  client("state.py", port, world.file("pki"), ...args);

describe("PyKMIP", () => {
  for (const [version, tls, spoken] of [
    ["1.0", "PROTOCOL_TLSv1_2", "TLS 1.2"],
    ["1.2", "PROTOCOL_TLSv1_2", "TLS 1.2"],
    ["1.4", "PROTOCOL_TLSv1_2", "TLS 1.2"],
    ["2.0", "PROTOCOL_TLSv1_2", "TLS 1.2"],
    ["1.4", "PROTOCOL_SSLv23", "TLS 1.3"],
  ] as const) {
    table.row(
      "PyKMIP",
      () => PINNED.get("PyKMIP")!,
      `KMIP ${version}, ${spoken}: Create, Register, Activate, Get, attributes${version === "1.0" ? "" : ", Encrypt and Decrypt"}; Destroy, Revoke and Locate raise Operation Not Supported, unknown identifiers Item Not Found`,
      async () => {
        expect(await client("pykmip_client.py", ports.kmip, world.file("pki"), version, tls)).toStartWith(
          `OK ${version}`,
        );
      },
    );
  }
});

describe("MongoDB", () => {
  table.row(
    "MongoDB client-side encryption (pymongo, `kmip`)",
    () => PINNED.get("pymongo")!,
    "CSFLE and Queryable Encryption's algorithm, delegated and not, a master key given again, an unknown one; a connection for each request",
    async () => {
      expect(await client("csfle.py", ports.kmip, world.file("pki"))).toBe("OK");
    },
  );
});

describe("a database that polls", () => {
  table.row(
    "PyKMIP, as Percona Server for MongoDB polls",
    () => PINNED.get("PyKMIP")!,
    "the state is Active until the version is revoked at the Core, then Compromised; Get is Permission Denied",
    async () => {
      const identifier = await state(ports.revoked, "create");
      expect(await state(ports.revoked, "poll", identifier)).toBe("ACTIVE");
      world.core("revoke", "tenant-r", "billing", "--key-version", "1");
      await eventually(
        async () => (await state(ports.revoked, "poll", identifier)) === "COMPROMISED",
        "the state Compromised",
      );
      expect(await state(ports.revoked, "get", identifier)).toContain("PERMISSION_DENIED");
    },
  );
  table.row(
    "PyKMIP, Revoke with `forward: core`",
    () => PINNED.get("PyKMIP")!,
    "Key Compromise is carried out at the Core, and new keys are made under a new version at once; other reasons are refused",
    async () => {
      const identifier = await state(ports.forwarding, "create");
      expect(await state(ports.forwarding, "revoke", identifier, "CESSATION_OF_OPERATION")).toContain(
        "OPERATION_NOT_SUPPORTED",
      );
      expect(await state(ports.forwarding, "poll", identifier)).toBe("ACTIVE");
      expect(await state(ports.forwarding, "revoke", identifier, "KEY_COMPROMISE")).toBe("revoked");
      await eventually(
        async () => (await state(ports.forwarding, "poll", identifier)) === "COMPROMISED",
        "the state Compromised",
      );
      expect(world.core("service", "list", "tenant-f")).toContain("compromised");
      await eventually(
        async () => (await state(ports.forwarding, "create")).startsWith("k."),
        "a key under the new version",
      );
    },
  );
  table.row(
    "PyKMIP, while the Core is away",
    () => PINNED.get("PyKMIP")!,
    "General Failure once the lease has ended, never a state or Item Not Found; Active again when the Core is back",
    async () => {
      const identifier = await state(ports.brief, "create");
      await world.stopCore();
      try {
        await eventually(
          async () => (await state(ports.brief, "poll", identifier)).includes("GENERAL_FAILURE"),
          "the lease's end",
        );
        for (const what of ["get", "poll"])
          expect(await state(ports.brief, what, identifier)).toContain("GENERAL_FAILURE");
      } finally {
        await world.startCore();
      }
      await eventually(async () => (await state(ports.brief, "poll", identifier)) === "ACTIVE", "the Core's return");
    },
  );
});

table.hold();
