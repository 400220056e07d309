/** Who is at the other end of a listener's TLS connections: principals by their certificates, and strangers, who are bounded together. */

import { OperationError } from "../../base/errors.ts";
import { overloaded } from "../../base/network/request-gate.ts";
import type { Peer } from "../../base/pki/peer-certificate.ts";
import type { RevocationLists } from "../../base/pki/revocation-list.ts";
import type { Clock } from "../../base/time/clock.ts";
import { type NameSource, principalOfCertificate } from "../access/certificate-identity.ts";
import type { Principal } from "../access/principal.ts";
import { principalId } from "../access/principal-id.ts";
import type { ListenerLimits, ListenerLog } from "./listener.ts";
import { type Share, Shares } from "./shares.ts";

/** What is known of one connection's other end. */
export interface TlsCaller {
  /** Undefined: without a certificate that names, so each request brings its own proof. */
  readonly principal: Principal | undefined;
  /** Why its requests are refused: told to the caller, so that it need not guess from a broken connection. */
  refused: string | undefined;
  /** The revocation lists that it was checked against. */
  checkedBy: RevocationLists;
  /** That the connection is counted in: strangers' until a request has proven more. */
  share: Share;
  /** Ends the connection. */
  destroy: () => void;
}

export interface TlsCallersOptions {
  readonly namesBy: "certificate" | "doors";
  readonly nameSources: readonly NameSource[];
  readonly revocationLists: () => RevocationLists;
  readonly limits: ListenerLimits;
  readonly clock: Clock;
  readonly log: ListenerLog;
}

export class TlsCallers {
  readonly shares = new Shares();
  readonly #options: TlsCallersOptions;
  readonly #callers = new WeakMap<Peer, TlsCaller>();
  /** Oldest first. */
  readonly #strangers = new Set<TlsCaller>();
  readonly #strangersMax: number;

  constructor(options: TlsCallersOptions) {
    this.#options = options;
    const { connectionsMax, connectionsPerPrincipalMax } = options.limits;
    // However many strangers come, callers with certificates find room.
    this.#strangersMax = Math.max(1, Math.min(connectionsPerPrincipalMax, Math.floor(connectionsMax / 2)));
  }

  of(peer: Peer): TlsCaller | undefined {
    return this.#callers.get(peer);
  }

  /** Once for each connection; a reason cuts it. Only what must not cost a connection is cut; the rest is answered, then closed. */
  admit(peer: Peer): string | undefined {
    const { nameSources, namesBy, limits, log } = this.#options;
    const { certificate, remoteAddress } = peer;
    const revocationLists = this.#options.revocationLists();
    let principal: Principal | undefined;
    let refused: string | undefined;
    if (certificate !== undefined && namesBy === "certificate") {
      const identified = principalOfCertificate(certificate, remoteAddress, nameSources);
      if ("refused" in identified) refused = identified.refused;
      else principal = identified;
      refused ??= revocationLists.refusalOf(certificate);
      if (refused !== undefined) {
        const { serial, issuer } = certificate;
        log.warn({ remoteAddress, serial, issuer, reason: refused }, "a client certificate is refused");
      }
    }
    const share = principal === undefined ? this.shares.strangers : this.shares.of(principalId(principal));
    if (principal !== undefined && share.connections >= limits.connectionsPerPrincipalMax) {
      return `too many connections of ${share.id}`;
    }
    share.connections++;
    const caller: TlsCaller = { principal, refused, checkedBy: revocationLists, share, destroy: () => undefined };
    this.#callers.set(peer, caller);
    if (principal === undefined) this.#makeRoom(caller);
    return undefined;
  }

  /** The stranger who has been one for longest goes: who it is would have been known by its first request. */
  #makeRoom(newest: TlsCaller): void {
    for (const oldest of this.#strangers) {
      if (this.#strangers.size < this.#strangersMax) break;
      this.#strangers.delete(oldest);
      oldest.destroy();
    }
    this.#strangers.add(newest);
  }

  closed(peer: Peer): void {
    const caller = this.#callers.get(peer);
    if (caller === undefined) return;
    this.#strangers.delete(caller);
    caller.share.connections--;
    this.shares.release(caller.share);
  }

  /** A request has proven whose connection it is: from now on it is counted there. An error: that one has too many. */
  known(caller: TlsCaller, share: Share): OperationError | undefined {
    if (!this.#strangers.has(caller)) return undefined;
    if (share.connections >= this.#options.limits.connectionsPerPrincipalMax) {
      return overloaded(`There are too many connections of ${share.id}`);
    }
    this.#strangers.delete(caller);
    caller.share.connections--;
    caller.share = share;
    share.connections++;
    return undefined;
  }

  /** Why the requests of a connection are refused; its certificate is looked at again when there are new revocation lists. */
  refusalOf(caller: TlsCaller, { certificate }: Peer): OperationError | undefined {
    const revocationLists = this.#options.revocationLists();
    if (caller.checkedBy !== revocationLists && certificate !== undefined) {
      caller.checkedBy = revocationLists;
      caller.refused ??= revocationLists.refusalOf(certificate);
    }
    const reason = caller.refused ?? this.#expired(certificate);
    if (reason === undefined) return undefined;
    return new OperationError("unauthenticated", `The client certificate is refused: ${reason}. Use another one.`);
  }

  /** A certificate may end while its connection lives on. */
  #expired(certificate: Peer["certificate"]): string | undefined {
    if (certificate === undefined || certificate.notAfterMs >= this.#options.clock.wallMs()) return undefined;
    return "it has expired";
  }
}
