import { expect, test } from "bun:test";
import type { Peer } from "../../src/base/pki/peer-certificate.ts";
import { identifyCaller, requireAdmin, requireEdge } from "../../src/core/caller.ts";

const peer = (certificate: Partial<NonNullable<Peer["certificate"]>>): Peer => ({
  remoteAddress: "127.0.0.1",
  certificate: { uris: [], isAuthority: false, ...certificate } as NonNullable<Peer["certificate"]>,
});

test("a caller has one SPIFFE ID of the Core's trust domain, and no authority's certificate", () => {
  const edge = "spiffe://example.org/edge/edge-1";
  expect(identifyCaller(peer({ uris: [edge, "https://example.org"] }), "example.org")).toEqual({
    kind: "edge",
    edge: "edge-1",
  });
  for (const [refused, why] of [
    [peer({ uris: [edge], isAuthority: true }), "CA:TRUE"],
    [peer({ uris: [] }), "exactly one SPIFFE ID"],
    [peer({ uris: [edge, "spiffe://example.org/edge/edge-2"] }), "exactly one SPIFFE ID"],
    [peer({ uris: ["spiffe://other.example/edge/edge-1"] }), "not example.org"],
    [{ remoteAddress: "127.0.0.1", certificate: undefined }, "exactly one SPIFFE ID"],
  ] as const) {
    expect(() => identifyCaller(refused, "example.org")).toThrow(why);
  }
});

test("edges and administrators may call what is theirs alone", () => {
  expect(requireEdge({ kind: "edge", edge: "edge-1" })).toBe("edge-1");
  for (const other of [{ kind: "core-admin" }, { kind: "core" }, { kind: "client", path: "x" }] as const) {
    expect(() => requireEdge(other)).toThrow("only an edge");
  }
  requireAdmin({ kind: "core-admin" });
  for (const other of [{ kind: "edge", edge: "a" }, { kind: "core" }, { kind: "client", path: "x" }] as const) {
    expect(() => requireAdmin(other)).toThrow("only an administrator");
  }
});
