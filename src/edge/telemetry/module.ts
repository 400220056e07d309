import { type Module, token } from "../../base/module.ts";
import { CLOCK } from "../../base/time/clock.ts";
import type { MissObserver } from "../cache/lease-misses.ts";
import { MISS_OBSERVER } from "../cache/module.ts";
import { RECORDER } from "../operations/module.ts";
import type { Recorder } from "../operations/recorder.ts";
import { REVOCATION_OBSERVER } from "../revocation/module.ts";
import type { RevocationEvent } from "../revocation/revocation-transport.ts";
import { REVOCATION_AUDIT } from "../usage/module.ts";
import { createRecorder, type UsageRecorder } from "./operation-recorder.ts";
import type { Otlp } from "./otlp/open-otlp.ts";
import { createTelemetry, type Telemetry } from "./telemetry.ts";

export const TELEMETRY = token<Telemetry>("Telemetry");
export const USAGE_RECORDER = token<UsageRecorder>("UsageRecorder");

/** The exporter of OpenTelemetry; undefined where none is configured: then its code is not loaded. */
export const OTLP = token<Otlp | undefined>("Otlp");

export const telemetryModule: Module<Telemetry> = { token: TELEMETRY, make: (get) => createTelemetry(get(CLOCK)) };

/** Usage and latency, behind the one recorder that operations know. */
export const recorderModule: Module<Recorder> = {
  token: RECORDER,
  make: (get) => createRecorder(get(USAGE_RECORDER), get(TELEMETRY).latency, get(OTLP)?.tracing),
};

export const missObserverModule: Module<MissObserver | undefined> = {
  token: MISS_OBSERVER,
  make(get) {
    const tracing = get(OTLP)?.tracing;
    return tracing && ((tenant, service, version, waiting) => tracing.missed(tenant, service, version, waiting));
  },
};

/** The audit of revocations, and their spans. */
export const revocationObserverModule: Module<(event: RevocationEvent, transport: string) => void> = {
  token: REVOCATION_OBSERVER,
  make(get) {
    const audit = get(REVOCATION_AUDIT);
    const tracing = get(OTLP)?.tracing;
    if (tracing === undefined) return audit;
    return (event, transport) => {
      audit(event, transport);
      tracing.applied(event, transport);
    };
  },
};
