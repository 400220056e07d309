/** The files that the configurations in the docs name: certificates, revocation lists, keys to tokens. */
import { generateKeyPairSync } from "node:crypto";
import { makeAuthority } from "../../support/certificates.ts";

/** By name: the authority's, the edge's (`edge-1`), a server's, the clients' and a cluster's. */
export async function namedFiles(): Promise<Record<string, string>> {
  const authority = await makeAuthority();
  const edge = await authority.issue({ uris: ["spiffe://example.org/edge/edge-1"] });
  const server = await authority.issue({ dns: ["localhost"] });
  const jwk = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" });
  return {
    "ca.pem": authority.certificate,
    "core-ca.pem": authority.certificate,
    "clients-ca.pem": authority.certificate,
    "clients.crl": await authority.revoke([]),
    "edge.pem": edge.certificate,
    "edge.key": edge.key,
    "server.pem": server.certificate,
    "server.key": server.key,
    "cluster-jwks.json": JSON.stringify({ keys: [{ ...jwk, kid: "cluster", alg: "RS256", use: "sig" }] }),
  };
}
