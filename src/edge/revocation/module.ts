import { LOG, type Module, token } from "../../base/module.ts";
import { CLOCK } from "../../base/time/clock.ts";
import type { ConfirmApplied } from "./confirmations.ts";
import type { CoreEvents } from "./core-events.ts";
import type { EventVerifier } from "./event-verifier.ts";
import { createRevocationGuard } from "./guard.ts";
import type { RevocationGuard, RevocationGuardOptions } from "./revocation-guard.ts";
import type { RevocationTransport } from "./revocation-transport.ts";

export const REVOCATION_GUARD = token<RevocationGuard>("RevocationGuard");

/** The transports that the configuration names, not started: the Core's own stream, or of plugins. */
export const REVOCATION_TRANSPORTS = token<readonly RevocationTransport[]>("RevocationTransports");

export const REVOCATION_SETTINGS =
  token<Pick<RevocationGuardOptions, "maxSilenceMs" | "onSilence">>("RevocationSettings");

/** What the guard asks of the Core; nothing where the edge has none. */
export const REVOCATION_CORE = token<
  | { readonly events: CoreEvents; readonly verifier: EventVerifier | undefined; readonly confirm: ConfirmApplied }
  | undefined
>("RevocationCore");

/** Who is told of each event that was applied. */
export const REVOCATION_OBSERVER = token<NonNullable<RevocationGuardOptions["onApplied"]>>("RevocationObserver");

/** Who is told of each order of an authority that was carried out. */
export const AUTHORITY_OBSERVER = token<NonNullable<RevocationGuardOptions["onAuthority"]>>("AuthorityObserver");

/** Who is told that the edge begins to hear. */
export const BEGINNING_OBSERVER = token<NonNullable<RevocationGuardOptions["onBegan"]>>("BeginningObserver");

export const revocationGuardModule: Module<RevocationGuard> = {
  token: REVOCATION_GUARD,
  make(get) {
    const core = get(REVOCATION_CORE);
    return createRevocationGuard({
      ...get(REVOCATION_SETTINGS),
      clock: get(CLOCK),
      log: get(LOG),
      core: core?.events,
      verifier: core?.verifier,
      confirm: core?.confirm,
      onApplied: get(REVOCATION_OBSERVER),
      onAuthority: get(AUTHORITY_OBSERVER),
      onBegan: get(BEGINNING_OBSERVER),
    });
  },
};
