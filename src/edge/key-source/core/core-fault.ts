/** Turns what a socket or a TLS library throws into a sentence: which certificate or address, why, what to do. */
import { type CoreCertificates, faultOfOwnCertificates, foreignIssuer, oneLine } from "./core-certificates.ts";

const WRONG_AUTHORITY = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
]);
const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  EHOSTUNREACH: "there is no route to it",
  ENETUNREACH: "there is no route to it",
  ETIMEDOUT: "it does not answer",
  ENOTFOUND: "its name can't be resolved",
  EAI_AGAIN: "its name can't be resolved",
};

export interface ConnectionFault {
  readonly error: NodeJS.ErrnoException & { readonly cert?: { readonly subjectaltname?: string } };
  readonly url: URL;
  /** What the Core's certificate must be made for. */
  readonly name: string;
  readonly certificates: CoreCertificates;
  readonly nowMs: number;
}

export function explainFault({ error, url, name, certificates, nowMs }: ConnectionFault): string {
  const code = error.code ?? "";
  const core = `the Core at ${url.origin}`;
  const own = faultOfOwnCertificates(certificates, nowMs);
  const clock = `this machine's clock says ${new Date(nowMs).toISOString()}`;
  if (code === "CERT_HAS_EXPIRED") {
    return own ?? `the certificate of ${core} has expired: renew it there (${clock})`;
  }
  if (code === "CERT_NOT_YET_VALID") {
    return own ?? `the certificate of ${core} is not valid yet: check both machines' clocks (${clock})`;
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const names = error.cert?.subjectaltname;
    const made = names === undefined ? "" : `, but for ${oneLine(names)}`;
    return `the certificate of ${core} was not made for the name ${name}${made}: call it by one of its names, or issue it again with this one`;
  }
  if (WRONG_AUTHORITY.has(code)) {
    // Some runtimes answer so for a certificate out of its time too.
    const outOfTime = "Deno" in globalThis ? ", or is out of its time" : "";
    return `the certificate of ${core} was not issued by the configured CA${outOfTime}: give the CA of this Core, or check that this is the right Core`;
  }
  const unreachable = UNREACHABLE[code];
  if (unreachable !== undefined)
    return `${core} can't be reached (${unreachable}): check the address, and that it runs`;
  if (own !== undefined) return own;
  if (/ALERT|^ECONNRESET$|^EPIPE$|HANDSHAKE/.test(code)) {
    const foreign = foreignIssuer(certificates);
    const why = /ALERT/.test(code)
      ? `refused this edge's certificate (${code})`
      : "closed the connection without an answer";
    return foreign === undefined
      ? `${core} ${why}: if it goes on, look in the Core's log for a refused connection`
      : `${core} ${why}; it may not accept this edge's certificate: ${foreign}`;
  }
  if (code.startsWith("ERR_SSL")) {
    return `${core} does not speak TLS 1.3 as expected (${code}): check the port and what listens there`;
  }
  return `the call to ${core} failed (${code === "" ? oneLine(error.message) : code})`;
}
