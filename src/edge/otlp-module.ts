/** The exporter of OpenTelemetry, where it is configured: its code is loaded then alone (telemetry/otlp). */
import { messageOf } from "../base/errors.ts";
import { LOG, type Module, STOPPING } from "../base/module.ts";
import { CLOCK } from "../base/time/clock.ts";
import { CERTIFICATES } from "./certificates.ts";
import { LOADED } from "./contributions.ts";
import { OTLP } from "./telemetry/module.ts";
import type { Otlp } from "./telemetry/otlp/open-otlp.ts";

export const otlpModule: Module<Otlp | undefined> = {
  token: OTLP,
  async make(get) {
    const { configuration, errorAt } = get(LOADED);
    const settings = configuration.telemetry?.otlp;
    if (settings === undefined) return undefined;
    const { openOtlp } = await import("./telemetry/otlp/open-otlp.ts");
    const log = get(LOG);
    try {
      const otlp = openOtlp({
        settings,
        edgeId: configuration.edge.id,
        clock: get(CLOCK),
        warn: (message) => log.warn(message),
        stopping: get(STOPPING),
        stopTimeoutMs: configuration.stop_timeout,
      });
      const { ca, cert, key } = settings;
      const certificates = [ca, cert].filter((file) => file !== undefined);
      if (certificates.length > 0) {
        const { followCredentials } = await import("./plugin-host/follow-credentials.ts");
        await followCredentials(
          {
            role: "the OpenTelemetry collector",
            certificates,
            others: key === undefined ? [] : [key],
            take: () => otlp.takeCredentials(),
          },
          { expiry: await get(CERTIFICATES).expiry(), clock: get(CLOCK), log, signal: get(STOPPING) },
        );
      }
      return otlp;
    } catch (error) {
      throw errorAt(["telemetry", "otlp"], messageOf(error));
    }
  },
};
