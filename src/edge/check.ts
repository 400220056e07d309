/**
 * Everything that `serve` looks at before it listens, without listening: for `config check`, so that a mistake is found by the check and
 * not by the restart that takes the old process away.
 */
import { checkSocketPath, checkWritableFile } from "../base/check-path.ts";
import { messageOf } from "../base/errors.ts";
import { SILENT_LOG } from "../base/log-port.ts";
import { TakenPlaces } from "../base/network/taken-places.ts";
import { whyNotListen } from "../base/network/why-not-listen.ts";
import { CertificateExpiry } from "../base/pki/certificate-expiry.ts";
import { readServerTrust } from "../base/pki/server-trust.ts";
import type { Clock } from "../base/time/clock.ts";
import { createTokenVerifier } from "./access/bearer-token.ts";
import { checkCipher, checkKeyMemory, contributionsOf, lentForCheck } from "./check-parts.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import type { ListenerConfiguration } from "./config/schema.ts";
import type { DoorContext } from "./doors/door.ts";
import { declareNativeDoor } from "./doors/native/declare.ts";
import { useCoreFiles } from "./key-source/core/follow-core-certificates.ts";
import { makeDoors } from "./make-doors.ts";
import { requireAuditFile } from "./usage/audit-file.ts";
import { SHARED_WITH_WORKERS } from "./workers/shared-ports.ts";

export interface CheckResult {
  /** With the place in the file; empty where `serve` would start. */
  readonly problems: readonly string[];
  /** What is no mistake, but may surprise. */
  readonly notes: readonly string[];
}

type Path = readonly (string | number)[];

export async function checkEdge(loaded: LoadedConfiguration, clock: Clock): Promise<CheckResult> {
  const { configuration } = loaded;
  const problems: string[] = [];
  const notes: string[] = [...(loaded.notes ?? [])];
  const expiry = new CertificateExpiry(clock, { warn: (fields) => note(fields), error: (fields) => note(fields) });
  const note = (fields: object | string): void => {
    const { kind, role, file, ends } = fields as { kind: string; role: string; file: string; ends: string };
    notes.push(`the ${kind} ${file} of ${role} ends on ${ends}`);
  };
  const attempt = async (path: Path, check: () => unknown): Promise<void> => {
    try {
      await check();
    } catch (error) {
      problems.push(...linesOf(loaded, path, error));
    }
  };

  const ending = new AbortController();
  const lend = lentForCheck(loaded, clock, expiry, ending.signal);
  for (const [index, listener] of configuration.listeners.entries()) {
    await attempt(["listeners", index], () => checkListener(listener, clock, expiry));
    await attempt(["listeners", index, "doors"], () => makeDoors(loaded, index, { ...LENT_NOTHING, lend }));
  }
  const hosts = configuration.listeners.flatMap((listener, index): [Path, string][] => {
    if ("unix" in listener) return [];
    const [key, { host }] = addressOf(listener);
    return [[["listeners", index, key], host]];
  });
  if (configuration.metrics !== undefined) hosts.push([["metrics", "listen"], configuration.metrics.listen.host]);
  for (const [path, host] of hosts) {
    const message = await whyNotListen(host);
    if (message !== undefined) problems.push(...linesOf(loaded, path, new Error(message)));
  }
  for (const { path, message } of conflictsOf(configuration))
    problems.push(...linesOf(loaded, path, new Error(message)));
  const core = configuration.key_source.core;
  if (core !== undefined) {
    await attempt(["key_source", "core"], async () => {
      const { createCoreParts } = await import("./core-parts.ts");
      await createCoreParts(loaded, core, clock, SILENT_LOG);
      useCoreFiles(expiry, core);
    });
  }
  const otlp = configuration.telemetry?.otlp;
  if (otlp !== undefined) {
    const { checkOtlp } = await import("./telemetry/otlp/open-otlp.ts");
    await attempt(["telemetry", "otlp"], () => checkOtlp(otlp));
  }
  const { file } = configuration.audit;
  if (file !== undefined) {
    await attempt(["audit", "file", "path"], () => {
      checkWritableFile(file.path);
      requireAuditFile(file.path);
    });
  }
  await attempt(["cipher", "use"], () => checkCipher(loaded, lend));
  await attempt(["key_memory", "kind"], () => checkKeyMemory(loaded));
  for (const [path, make] of contributionsOf(loaded, lend)) await attempt(path, async () => (await make()).close?.());
  if (configuration.policies.length === 0) notes.push("there are no policies: nobody may do anything");
  expiry.close();
  ending.abort();
  return { problems, notes };
}

async function checkListener(listener: ListenerConfiguration, clock: Clock, expiry: CertificateExpiry): Promise<void> {
  if ("unix" in listener) return checkSocketPath(listener.unix, listener.shared);
  if (!("https" in listener || "tls" in listener)) return;
  const isAny = listener.client_certificates === "any";
  const files = { ...listener, clientCa: isAny ? undefined : listener.client_ca, clientCrl: listener.client_crl };
  const trust = await readServerTrust(files, clock);
  const { host, port } = "https" in listener ? listener.https : listener.tls;
  const role = `the listener on ${host}:${port}`;
  expiry.use(role, listener.cert, trust.chain);
  if (files.clientCa !== undefined) expiry.use(role, files.clientCa, trust.authorities);
  expiry.useLists(role, trust.revocationLists);
  if ("https" in listener && listener.tokens.length > 0) createTokenVerifier(listener.tokens, clock);
}

/** What can't listen beside the others. */
function conflictsOf({
  listeners,
  metrics,
  workers,
}: LoadedConfiguration["configuration"]): { readonly path: Path; readonly message: string }[] {
  const places = new TakenPlaces();
  const conflicts: { path: Path; message: string }[] = [];
  const note = (path: Path, message: string | undefined): void => {
    if (message !== undefined) conflicts.push({ path, message });
  };
  listeners.forEach((listener, index) => {
    if ("unix" in listener) {
      note(["listeners", index, "unix"], places.takePath(listener.unix, `listeners[${index}]`));
      return;
    }
    const [key, address] = addressOf(listener);
    note(["listeners", index, key], places.takePort(address, `listeners[${index}]`));
  });
  if (workers !== 1) {
    const sharing = listeners.findIndex((listener) => !("unix" in listener) && "shared" in listener && listener.shared);
    if (sharing >= 0) conflicts.push({ path: ["listeners", sharing, "shared"], message: SHARED_WITH_WORKERS });
    if (metrics?.shared === true) conflicts.push({ path: ["metrics", "shared"], message: SHARED_WITH_WORKERS });
  }
  if (metrics !== undefined) note(["metrics", "listen"], places.takePort(metrics.listen, "metrics"));
  return conflicts;
}

function addressOf(listener: Exclude<ListenerConfiguration, { unix: string }>) {
  if ("http" in listener) return ["http", listener.http] as const;
  return "https" in listener ? (["https", listener.https] as const) : (["tls", listener.tls] as const);
}

function linesOf({ errorAt }: LoadedConfiguration, path: Path, error: unknown): readonly string[] {
  const { lines } = error as { lines?: readonly string[] };
  return lines ?? errorAt(path, messageOf(error)).lines;
}

/** A door that is made for the check serves nobody. */
const LENT_NOTHING = {
  native: declareNativeDoor,
  context: (): DoorContext => ({
    operations: undefined as never,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    now: { wallMs: () => 0, monotonicMs: () => 0 },
    version: "",
    readiness: () => ({ ready: false }),
  }),
};
