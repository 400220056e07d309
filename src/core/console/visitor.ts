/** Who looks at the console. */
import type { Identity } from "../../base/pki/identity.ts";

export interface Visitor {
  /** For a person to read: a SPIFFE ID, or what the issuer calls them. */
  readonly name: string;
  /** The certificate's SPIFFE ID, or the token's `sub`: the one that stays the same. */
  readonly subject: string;
  readonly role: "administrator" | "viewer";
  /** How it is known; only a session can be ended by signing out. */
  readonly by: "certificate" | "token" | "session" | "this machine";
}

/** A request and who sent it. The app's routes get it as it is. */
export class VisitorRequest extends Request {
  readonly visitor: Visitor;

  /** The request's body goes over to it. */
  constructor(request: Request, visitor: Visitor) {
    super(request);
    this.visitor = visitor;
  }
}

/** The role of a certificate; undefined where it has none. */
export function roleOfCertificate(
  identity: Identity,
  name: string,
  isViewer: (name: string) => boolean,
): Visitor["role"] | undefined {
  if (identity.kind === "core-admin") return "administrator";
  return isViewer(name) ? "viewer" : undefined;
}
