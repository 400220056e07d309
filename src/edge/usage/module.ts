import { LOG, type Module, token } from "../../base/module.ts";
import { CLOCK } from "../../base/time/clock.ts";
import type { LeaseEvent } from "../cache/lease-events.ts";
import { LEASE_OBSERVER } from "../cache/module.ts";
import type { AuthorityOrder } from "../revocation/authority-blocks.ts";
import { AUTHORITY_OBSERVER } from "../revocation/module.ts";
import type { RevocationEvent } from "../revocation/revocation-transport.ts";
import type { AuditSink } from "./audit-sink.ts";
import { auditAuthority, auditLease, auditRevocation } from "./audited-leases.ts";
import { type OpenUsageOptions, openUsage } from "./open-usage.ts";
import type { Usage } from "./usage.ts";
import type { SendUsage } from "./usage-shipper.ts";

export const USAGE = token<Usage>("Usage");

export interface UsageSettings {
  readonly configuration: OpenUsageOptions["configuration"];
  /** The error for an audit file that can't be opened, with its place in the configuration. */
  readonly auditFileError: (error: unknown) => Error;
}
export const USAGE_SETTINGS = token<UsageSettings>("UsageSettings");

/** To the Core; undefined where there is none. */
export const USAGE_SENDER = token<SendUsage | undefined>("UsageSender");

/** Of plugins, started. */
export const AUDIT_SINKS = token<readonly AuditSink[]>("AuditSinks");

export const usageModule: Module<Usage> = {
  token: USAGE,
  async make(get) {
    const { configuration, auditFileError } = get(USAGE_SETTINGS);
    const warn = (message: string): void => get(LOG).warn(message);
    const options = { configuration, clock: get(CLOCK), send: get(USAGE_SENDER), sinks: get(AUDIT_SINKS), warn };
    try {
      return await openUsage(options);
    } catch (error) {
      throw auditFileError(error);
    }
  },
};

export const leaseAuditModule: Module<(event: LeaseEvent) => void> = {
  token: LEASE_OBSERVER,
  make(get) {
    const usage = get(USAGE);
    return (event) => auditLease(usage, event);
  },
};

/** The audit of each event that was applied. */
export const REVOCATION_AUDIT = token<(event: RevocationEvent, transport: string) => void>("RevocationAudit");

export const revocationAuditModule: Module<(event: RevocationEvent, transport: string) => void> = {
  token: REVOCATION_AUDIT,
  make(get) {
    const usage = get(USAGE);
    return (event, transport) => auditRevocation(usage, event, transport);
  },
};

export const authorityAuditModule: Module<(order: AuthorityOrder, transport: string) => void> = {
  token: AUTHORITY_OBSERVER,
  make(get) {
    const usage = get(USAGE);
    return (order, transport) => auditAuthority(usage, order, transport);
  },
};
