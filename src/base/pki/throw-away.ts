/** A whole PKI in memory, for `crypto-edge dev` and tests: gone with the process. */
import {
  type Authority,
  type CertificateAndKey,
  type CertificateRequest,
  createAuthority,
  issueCertificate,
} from "./authority.ts";

export interface ThrowAwayPki {
  readonly authority: Authority;
  /** What a Core on loopback listens with; made for `localhost`, 127.0.0.1 and ::1. */
  readonly core: { readonly cert: string; readonly key: string; readonly clientCa: string };
  /** What an edge calls the Core with. */
  edge(id: string, validity?: Pick<CertificateRequest, "notBefore" | "notAfter">): Promise<ClientFiles>;
  /** What an administrator calls the Core with. */
  admin(): Promise<ClientFiles>;
  issue(request: CertificateRequest): Promise<CertificateAndKey>;
}

export interface ClientFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export async function createThrowAwayPki(trustDomain = "dev.crypto-edge"): Promise<ThrowAwayPki> {
  const authority = await createAuthority({ trustDomain, days: 30 });
  const issue = (request: CertificateRequest): Promise<CertificateAndKey> =>
    issueCertificate(authority, { days: 30, ...request });
  const client = async (request: CertificateRequest): Promise<ClientFiles> => {
    const { certificate, key } = await issue(request);
    return { ca: authority.certificate, cert: certificate, key };
  };
  const core = await issue({ identity: { kind: "core" }, dns: ["localhost"], ip: ["127.0.0.1", "::1"] });
  return {
    authority,
    core: { cert: core.certificate, key: core.key, clientCa: authority.certificate },
    edge: (id, validity) => client({ identity: { kind: "edge", edge: id }, ...validity }),
    admin: () => client({ identity: { kind: "core-admin" } }),
    issue,
  };
}
