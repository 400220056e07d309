/** `forward: core`, at a real Core: done there and nowhere else, or not done and said so. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CoreAccess, createRevokeService } from "../../../../src/edge/doors/kmip/core-revocation.ts";
import { RESULT_REASON } from "../../../../src/edge/doors/kmip/enumerations.ts";
import { type CoreWorld, startCoreWorld } from "../../../support/core-world.ts";
import { CALLER } from "./world.ts";

let world: CoreWorld;
let folder: string;
let admin: CoreAccess;
let edge: CoreAccess;

beforeAll(async () => {
  world = await startCoreWorld();
  folder = mkdtempSync(join(tmpdir(), "crypto-edge-kmip-"));
  const access = (name: string, { ca, cert, key }: { ca: string; cert: string; key: string }): CoreAccess => {
    const file = (kind: string, text: string): string => {
      const path = join(folder, `${name}-${kind}.pem`);
      writeFileSync(path, text);
      return path;
    };
    return { url: world.core.url, ca: file("ca", ca), cert: file("cert", cert), key: file("key", key) };
  };
  admin = access("admin", await world.pki.admin());
  edge = access("edge", await world.pki.edge("edge-1"));
  await world.core.admin.createService("tenant-a", "billing");
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const VERSION = { tenant: "tenant-a", service: "billing", version: 1 };

test("a Core that can't be reached, that refuses, or that answers nonsense has revoked nothing, and that is said", async () => {
  let said = "";
  const failure = (access: CoreAccess, version = VERSION): Promise<unknown> =>
    createRevokeService(access, ["*"])
      .revoke(version, "test")
      .then(
        () => "revoked",
        ({ reason, message }) => {
          expect(message).toStartWith("Nothing was revoked: ");
          said = message;
          return reason;
        },
      );
  expect(await failure({ ...admin, url: "https://127.0.0.1:1" })).toBe(RESULT_REASON.generalFailure);
  expect(await failure({ ...admin, cert: "/nowhere" })).toBe(RESULT_REASON.generalFailure);
  expect(await failure({ ...admin, ca: edge.cert })).toBe(RESULT_REASON.generalFailure);
  expect(await failure(edge)).toBe(RESULT_REASON.permissionDenied);
  expect(said).toContain("only an administrator may call this");
  expect(await failure(admin, { ...VERSION, version: 77 })).toBe(RESULT_REASON.permissionDenied);
  expect(await failure(admin, { ...VERSION, service: "unknown" })).toBe(RESULT_REASON.permissionDenied);
  const plain = createServer((_request, response) => response.end("{}"));
  await new Promise<void>((resolve) => plain.listen(0, "127.0.0.1", resolve));
  const { port } = plain.address() as { port: number };
  expect(await failure({ ...admin, url: `https://127.0.0.1:${port}` })).toBe(RESULT_REASON.generalFailure);
  plain.close();
  expect(await versions()).toEqual(["1 active"]);
});

test("an administrator's certificate revokes the version, and the service has a new one at once", async () => {
  await createRevokeService(admin, ["*"]).revoke(VERSION, "KMIP Revoke: lost");
  expect(await versions()).toEqual(["1 compromised", "2 active"]);
  const events = await world.core.admin.eventsAfter(0);
  expect(JSON.stringify(events)).toContain("KMIP Revoke: lost");
});

test("an answer that may be another in a moment is General Failure, a refusal is Permission Denied", async () => {
  let status = 0;
  const { cert, key } = world.pki.core;
  const core = createTlsServer({ cert, key }, (_request, response) => {
    response.statusCode = status;
    response.end("not a problem document");
  });
  await new Promise<void>((resolve) => core.listen(0, "127.0.0.1", resolve));
  const url = `https://127.0.0.1:${(core.address() as { port: number }).port}`;
  try {
    for (const [answered, reason] of [
      [302, RESULT_REASON.generalFailure],
      [400, RESULT_REASON.permissionDenied],
      [403, RESULT_REASON.permissionDenied],
      [404, RESULT_REASON.permissionDenied],
      [408, RESULT_REASON.generalFailure],
      [429, RESULT_REASON.generalFailure],
      [500, RESULT_REASON.generalFailure],
      [503, RESULT_REASON.generalFailure],
    ] as const) {
      status = answered;
      const revoked = createRevokeService({ ...admin, url }, ["*"]).revoke(VERSION, "test");
      await expect(revoked).rejects.toMatchObject({
        reason,
        message: expect.stringContaining(`answered ${answered}.`),
      });
    }
  } finally {
    core.close();
  }
});

test("only principals that are named may revoke", () => {
  expect(createRevokeService(admin, ["dns:db.*"]).allows(CALLER)).toBe(true);
  expect(createRevokeService(admin, ["dns:operator.example"]).allows(CALLER)).toBe(false);
});

async function versions(): Promise<string[]> {
  const [service] = await world.core.admin.services("tenant-a");
  return service!.versions.map(({ version, state }) => `${version} ${state}`).sort();
}
