/** What an edge with a Core runs, and one without never loads: its client, and all that comes of it. */
import { messageOf } from "../base/errors.ts";
import type { LogPort } from "../base/log-port.ts";
import type { CertificateExpiry } from "../base/pki/certificate-expiry.ts";
import type { Following } from "../base/pki/follow-files.ts";
import { stateOfFiles } from "../base/pki/watch-files.ts";
import type { Clock } from "../base/time/clock.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import type { Configuration } from "./config/schema.ts";
import { checkEdgeIdentity } from "./key-source/core/check-identity.ts";
import { readCoreCertificates } from "./key-source/core/core-certificates.ts";
import { createCoreClients } from "./key-source/core/core-clients.ts";
import { createCoreKeySource } from "./key-source/core/core-key-source.ts";
import { filesOfCore, followCoreCertificates } from "./key-source/core/follow-core-certificates.ts";
import type { KeySource } from "./key-source/key-source.ts";
import type { ConfirmApplied } from "./revocation/confirmations.ts";
import { type CoreEvents, createCoreEvents } from "./revocation/core-events.ts";
import type { CoreKeySetOptions } from "./revocation/core-key-set.ts";
import { createCoreStream } from "./revocation/core-stream.ts";
import type { EventVerifier } from "./revocation/event-verifier.ts";
import type { RevocationTransport } from "./revocation/revocation-transport.ts";
import { sendToCore } from "./usage/core-usage.ts";
import type { SendUsage } from "./usage/usage-shipper.ts";

export interface CoreParts {
  readonly source: KeySource;
  readonly events: CoreEvents;
  /** Undefined where nothing signed can come: the Core's own stream needs no signature. */
  readonly verifier: EventVerifier | undefined;
  readonly confirm: ConfirmApplied;
  readonly send: SendUsage;
  stream(): RevocationTransport;
  /** Takes the certificates up when their files change, and tells when they end. */
  followCertificates(expiry: CertificateExpiry): Following;
}

type CoreSection = NonNullable<Configuration["key_source"]["core"]>;

/** @throws {ConfigurationError} for certificates or an address that can never work */
export async function createCoreParts(
  { configuration, errorAt }: Pick<LoadedConfiguration, "configuration" | "errorAt">,
  section: CoreSection,
  clock: Clock,
  log: LogPort,
): Promise<CoreParts> {
  const since = stateOfFiles(filesOfCore(section));
  const core = (() => {
    try {
      const certificates = readCoreCertificates(section);
      checkEdgeIdentity(configuration.edge.id, certificates.cert);
      return createCoreClients({
        urls: typeof section.url === "string" ? [section.url] : section.url,
        certificates,
        serverName: section.server_name,
        clock,
        timeoutMs: section.timeout,
      });
    } catch (error) {
      throw errorAt(["key_source", "core"], messageOf(error));
    }
  })();
  const events = createCoreEvents(core, (reason) => log.warn({ reason }, "an event of the Core cannot be read"));
  return {
    source: createCoreKeySource(core),
    events,
    verifier: isSigned(configuration) ? await openVerifier((signal) => core.keys(signal), clock) : undefined,
    confirm: (place, signal) => core.applied(place, signal),
    send: sendToCore(core),
    stream: () => createCoreStream({ core: events, clock }),
    followCertificates: (expiry) => followCoreCertificates({ core, paths: section, since, clock, log, expiry }),
  };
}

function isSigned({ revocation }: Configuration): boolean {
  return revocation.transports.some(({ use }) => use !== "core");
}

async function openVerifier(fetchKeys: CoreKeySetOptions["fetchKeys"], clock: Clock): Promise<EventVerifier> {
  const { createEventVerifier } = await import("./revocation/event-verifier.ts");
  return createEventVerifier({ fetchKeys, clock });
}
