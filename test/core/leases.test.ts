import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { KeySourceError } from "../../src/edge/key-source/key-source.ts";
import { startCoreWorld } from "../support/core-world.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "no error",
    (error: unknown) => (error instanceof KeySourceError ? error.code : `not a KeySourceError: ${String(error)}`),
  );

describe("a lease", () => {
  test("brings the active version and deprecated ones, the same keys to every edge", async () => {
    await using world = await startCoreWorld({ lease: { ttlSeconds: 60, refreshAfterSeconds: 48 } });
    await world.core.admin.createService("tenant-a", "billing");
    await world.core.admin.rotate("tenant-a", "billing");
    const [one, other] = await Promise.all(
      ["edge-1", "edge-2"].map(async (id) =>
        (await world.client(id)).lease({ tenant: "tenant-a", service: "billing" }),
      ),
    );
    expect(one).toEqual(other!);
    expect(one).toMatchObject({ ttlMs: 60_000, refreshAfterMs: 48_000, log: world.core.log, revocationSeq: 1 });
    expect(one!.versions.map(({ version, state }) => ({ version, state }))).toEqual([
      { version: 2, state: "active" },
      { version: 1, state: "deprecated" },
    ]);
    expect(one!.versions.map((version) => version.key.length)).toEqual([32, 32]);
    expect(one!.versions[0]!.key).not.toEqual(one!.versions[1]!.key);
  });

  test("of one version brings that version alone", async () => {
    await using world = await startCoreWorld();
    await world.core.admin.createService("tenant-a", "billing");
    await world.core.admin.rotate("tenant-a", "billing");
    const client = await world.client();
    const lease = await client.lease({ tenant: "tenant-a", service: "billing", version: 1 });
    expect(lease.versions.map(({ version, state }) => ({ version, state }))).toEqual([
      { version: 1, state: "deprecated" },
    ]);
  });

  test("is refused for what does not exist", async () => {
    await using world = await startCoreWorld();
    await world.core.admin.createService("tenant-a", "billing");
    const client = await world.client();
    expect(await codeOf(client.lease({ tenant: "tenant-a", service: "other" }))).toBe("key_not_found");
    expect(await codeOf(client.lease({ tenant: "tenant-b", service: "billing" }))).toBe("key_not_found");
    expect(await codeOf(client.lease({ tenant: "tenant-a", service: "billing", version: 9 }))).toBe("key_not_found");
  });

  test("is refused to an edge that is not allowed, alike for what exists and what does not", async () => {
    await using world = await startCoreWorld({
      allow: [{ edges: ["edge-1"], tenants: ["tenant-*"], services: ["billing"] }],
    });
    await world.core.admin.createService("tenant-a", "billing");
    await world.core.admin.createService("other", "billing");
    const [allowed, stranger] = [await world.client("edge-1"), await world.client("edge-2")];
    expect((await allowed.lease({ tenant: "tenant-a", service: "billing" })).versions).toHaveLength(1);
    for (const tenant of ["tenant-a", "tenant-unknown"]) {
      expect(await codeOf(stranger.lease({ tenant, service: "billing" }))).toBe("edge_not_allowed");
    }
    expect(await codeOf(allowed.lease({ tenant: "other", service: "billing" }))).toBe("edge_not_allowed");
  });

  test("makes the key on first use only where the Core is told to", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const client = await world.client();
    const [one, other] = await Promise.all([
      client.lease({ tenant: "new", service: "billing" }),
      client.lease({ tenant: "new", service: "billing" }),
    ]);
    expect(one).toEqual(other!);
    expect(await codeOf(client.lease({ tenant: "new", service: "other", version: 2 }))).toBe("key_not_found");
  });

  test("is never given of a compromised or destroyed version, service or tenant", async () => {
    await using world = await startCoreWorld();
    const { admin } = world.core;
    const client = await world.client();
    const lease = (service: string, version?: number) =>
      codeOf(client.lease({ tenant: "tenant-a", service, ...(version === undefined ? {} : { version }) }));
    for (const service of ["one", "two", "three"]) await admin.createService("tenant-a", service);

    await admin.revoke({ tenant: "tenant-a", service: "one", version: 1 });
    expect([await lease("one"), await lease("one", 1)]).toEqual(["key_revoked", "key_revoked"]);
    await admin.rotate("tenant-a", "one");
    expect([await lease("one"), await lease("one", 1)]).toEqual(["no error", "key_revoked"]);
    await admin.restore({ tenant: "tenant-a", service: "one", version: 1 });
    expect(await lease("one", 1)).toBe("no error");

    await admin.revoke({ tenant: "tenant-a", service: "two" });
    expect([await lease("two"), await lease("two", 1), await lease("one")]).toEqual([
      "key_revoked",
      "key_revoked",
      "no error",
    ]);
    await admin.restore({ tenant: "tenant-a", service: "two" });
    expect(await lease("two")).toBe("no error");

    await admin.destroy({ tenant: "tenant-a", service: "three", version: 1 });
    expect([await lease("three"), await lease("three", 1)]).toEqual(["key_revoked", "key_revoked"]);
    await admin.revoke({ tenant: "tenant-a" });
    expect([await lease("one"), await lease("two", 1)]).toEqual(["key_revoked", "key_revoked"]);
    await admin.restore({ tenant: "tenant-a" });
    expect(await lease("one")).toBe("no error");
    await admin.destroy({ tenant: "tenant-a" });
    expect([await lease("one"), await lease("one", 2)]).toEqual(["key_revoked", "key_revoked"]);
    expect(admin.restore({ tenant: "tenant-a" })).rejects.toThrow("gone for good");
  });

  test("is limited in rate for each edge, and says when to come back", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true, leasesPerSecondPerEdge: 0.1 });
    const [one, other] = [await world.client("edge-1"), await world.client("edge-2")];
    const request = { tenant: "tenant-a", service: "billing" };
    await one.lease(request);
    const refusal = await one.lease(request).catch((error: KeySourceError) => error);
    expect(refusal).toMatchObject({ code: "unavailable" });
    expect((refusal as KeySourceError).retryAfterMs).toBeGreaterThanOrEqual(1_000);
    await other.lease(request);
  });
});
