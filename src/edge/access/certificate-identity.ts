/** From a verified client certificate to a principal. */
import type { PeerCertificate } from "../../base/pki/peer-certificate.ts";
import type { Principal } from "./principal.ts";

/** Where a certificate's name may come from; they are tried in the order of the configuration. */
export type NameSource = "uri" | "dns" | "common_name";

const DEFAULT_NAME_SOURCES: readonly NameSource[] = ["uri", "dns", "common_name"];

/** A principal, or why there is none, for the log and the caller. */
export type Identified = Principal | { readonly refused: string };

/** SPIFFE ID: a trust domain and a path of segments (SPIFFE-ID, 2.1 and 2.2; at most 2,048 bytes, 2.3). */
const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)+$/;
const SPIFFE_ID_LENGTH_MAX = 2_048;
const DNS_NAME = /^(?=.{1,253}$)(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*$/;
/** Any letters, but nothing that could forge a log line. */
const COMMON_NAME = /^(?! )[^\p{C}\p{Zl}\p{Zp}]{1,128}(?<! )$/u;

/**
 * The first source that the certificate has decides: a name there that cannot be used refuses the certificate, and the
 * next source is not tried. Otherwise whoever could spoil one name would choose which other counts.
 */
export function principalOfCertificate(
  certificate: PeerCertificate,
  peer: string,
  sources: readonly NameSource[] = DEFAULT_NAME_SOURCES,
): Identified {
  if (certificate.isAuthority) {
    return { refused: "the certificate is that of an authority (CA:TRUE), which is no caller's" };
  }
  for (const source of sources) {
    switch (source) {
      case "uri": {
        const [uri, ...others] = certificate.uris;
        if (uri === undefined) continue;
        // X509-SVID, 2: exactly one URI SAN.
        if (others.length > 0) return { refused: "the certificate has more than one URI name" };
        if (uri.length > SPIFFE_ID_LENGTH_MAX || !SPIFFE_ID.test(uri)) {
          return { refused: "the certificate's URI name is not a SPIFFE ID with a path" };
        }
        return { kind: "spiffe", name: uri, peer };
      }
      case "dns": {
        const [name] = certificate.dns;
        if (name === undefined) continue;
        if (!DNS_NAME.test(name)) return { refused: "the certificate's DNS name is malformed" };
        return { kind: "dns", name: name.toLowerCase(), peer };
      }
      case "common_name": {
        const name = certificate.commonName;
        if (name === undefined || name === "") continue;
        if (!COMMON_NAME.test(name)) return { refused: "the certificate's common name is not usable" };
        return { kind: "common_name", name, peer };
      }
    }
  }
  return { refused: `the certificate has no name that is accepted here (${sources.join(", ")})` };
}
