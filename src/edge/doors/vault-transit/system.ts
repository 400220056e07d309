/** What Vault's clients ask of the server itself: whether it serves, and who they are. From memory, all of it. */

import { OperationError } from "../../../base/errors.ts";
import type { Principal } from "../../access/principal.ts";
import { principalId } from "../../access/principal-id.ts";
import type { DoorAnswer, DoorContext, DoorRequest } from "../door.ts";
import { envelope, json, writeVaultError } from "./answers.ts";
import { tokenOf } from "./who-calls.ts";

type Health = Pick<DoorContext, "version" | "readiness" | "now">;

const NAME = "crypto-edge";

/** `sys/health`: an edge that cannot serve now is "sealed". The query may ask for other statuses. */
export function health({ query }: DoorRequest, { version, readiness, now }: Health): DoorAnswer {
  const { ready } = readiness();
  const status = ready ? statusIn(query, "activecode", 200) : statusIn(query, "sealedcode", 503);
  const body = {
    initialized: true,
    sealed: !ready,
    standby: false,
    performance_standby: false,
    replication_performance_mode: "disabled",
    replication_dr_mode: "disabled",
    server_time_utc: Math.floor(now.wallMs() / 1000),
    version: versionOf(version),
    enterprise: false,
    cluster_name: NAME,
    cluster_id: "",
    echo_duration_ms: 0,
    clock_skew_ms: 0,
  };
  return json(status, JSON.stringify(body));
}

export function sealStatus({ version, readiness }: Health): DoorAnswer {
  const body = {
    type: "shamir",
    initialized: true,
    sealed: !readiness().ready,
    t: 1,
    n: 1,
    progress: 0,
    nonce: "",
    version: versionOf(version),
    build_date: "",
    migration: false,
    cluster_name: NAME,
    cluster_id: "",
    recovery_seal: false,
    storage_type: NAME,
  };
  return json(200, JSON.stringify(body));
}

/** `sys/leader`: edges know nothing of each other. */
export function leader(): DoorAnswer {
  const body = { ha_enabled: false, is_self: false, leader_address: "", leader_cluster_address: "" };
  return json(200, JSON.stringify({ ...body, performance_standby: false, performance_standby_last_remote_wal: 0 }));
}

function versionOf(version: string): string {
  return `${version}+${NAME}`;
}

/** A status in which a load balancer wants to hear it. */
function statusIn(query: string, name: string, otherwise: number): number {
  const status = Number(new URLSearchParams(query).get(name) ?? otherwise);
  return Number.isInteger(status) && status >= 200 && status <= 599 ? status : otherwise;
}

/** `auth/token/lookup-self`. A token is the caller's own, and is told to no one else. */
export function lookupSelf(request: DoorRequest, principal: Principal, requestId: string, nowMs: number): DoorAnswer {
  const token = tokenOf(request) ?? "";
  const expires = expiryOf(token);
  const data = {
    id: token,
    accessor: "",
    creation_time: 0,
    creation_ttl: 0,
    display_name: principalId(principal),
    entity_id: "",
    expire_time: expires === undefined ? null : new Date(expires * 1000).toISOString(),
    explicit_max_ttl: 0,
    meta: null,
    num_uses: 0,
    orphan: true,
    path: "auth/token",
    policies: [],
    renewable: false,
    ttl: expires === undefined ? 0 : secondsLeft(expires, nowMs),
    type: "service",
  };
  return envelope(requestId, JSON.stringify(data));
}

/**
 * The answer to a login: the token that the caller goes on with. It is the one that was given, or, of a certificate, one that means
 * nothing without it: nothing is made, and nothing is kept.
 */
export function loggedIn(token: string, requestId: string, nowMs: number): DoorAnswer {
  const expires = expiryOf(token);
  const auth = {
    client_token: token,
    accessor: "",
    policies: [],
    token_policies: [],
    metadata: null,
    lease_duration: expires === undefined ? 0 : secondsLeft(expires, nowMs),
    renewable: false,
    entity_id: "",
    token_type: "service",
    orphan: true,
    mfa_requirement: null,
    num_uses: 0,
  };
  return envelope(requestId, "null", { auth: JSON.stringify(auth) });
}

/** What clients are told of a token that has been verified elsewhere, or need not be. */
function expiryOf(token: string): number | undefined {
  const [, payload, signature] = token.split(".");
  if (payload === undefined || signature === undefined) return undefined;
  try {
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as { exp?: unknown } | null;
    const seconds = claims?.exp;
    return typeof seconds === "number" && seconds > 0 && seconds < 8.64e12 ? seconds : undefined;
  } catch {
    return undefined;
  }
}

function secondsLeft(expires: number, nowMs: number): number {
  return Math.max(0, Math.floor(expires - nowMs / 1000));
}

export function denied(): DoorAnswer {
  return writeVaultError(new OperationError("access_denied", ""));
}
