/** The Core knows an edge by its certificate: a configuration that calls it otherwise is a mistake, told before it shows in the audit. */
import { X509Certificate } from "node:crypto";
import { parseSpiffeId } from "../../../base/pki/identity.ts";

/** @throws Error where the certificate is that of another edge. One without a SPIFFE ID is judged by the Core. */
export function checkEdgeIdentity(edge: string, certificate: string): void {
  // Only this project's own form is compared; a Core of another kind may know its edges by other names.
  for (const [, uri] of (new X509Certificate(certificate).subjectAltName ?? "").matchAll(/URI:([^,\s"]+)/g)) {
    const identity = parseSpiffeId(uri!)?.identity;
    if (identity?.kind === "edge" && identity.edge !== edge) {
      throw new Error(
        `the certificate is that of the edge "${identity.edge}", but edge.id says "${edge}": give this edge's own certificate, or correct edge.id`,
      );
    }
  }
}
