import { type Module, token } from "../../base/module.ts";
import { CLOCK } from "../../base/time/clock.ts";
import { RECORDER } from "../operations/module.ts";
import type { Recorder } from "../operations/recorder.ts";
import { createRecorder, type UsageRecorder } from "./operation-recorder.ts";
import { createTelemetry, type Telemetry } from "./telemetry.ts";

export const TELEMETRY = token<Telemetry>("Telemetry");
export const USAGE_RECORDER = token<UsageRecorder>("UsageRecorder");

export const telemetryModule: Module<Telemetry> = { token: TELEMETRY, make: (get) => createTelemetry(get(CLOCK)) };

/** Usage and latency, behind the one recorder that operations know. */
export const recorderModule: Module<Recorder> = {
  token: RECORDER,
  make: (get) => createRecorder(get(USAGE_RECORDER), get(TELEMETRY).latency),
};
