/** The certificates for the Core follow the disk, as those of listeners do. */
import type { LogPort } from "../../../base/log-port.ts";
import type { CertificateExpiry } from "../../../base/pki/certificate-expiry.ts";
import { type Following, followFiles } from "../../../base/pki/follow-files.ts";
import { readAuthorities, readCertificates } from "../../../base/pki/pem.ts";
import type { Clock } from "../../../base/time/clock.ts";
import { type CoreCertificatePaths, readCoreCertificates } from "./core-certificates.ts";
import type { CoreClient } from "./core-client.ts";

/** In the log and in metrics. */
const ROLE = "the Core's client";

export function followCoreCertificates(options: {
  readonly core: Pick<CoreClient, "reload">;
  readonly paths: CoreCertificatePaths;
  readonly clock: Clock;
  readonly log: Pick<LogPort, "info" | "warn">;
  readonly expiry: CertificateExpiry;
}): Following {
  const { core, paths, clock, log, expiry } = options;
  const tell = (): void => {
    expiry.use(ROLE, paths.cert, readCertificates(paths.cert).certificates);
    expiry.use(ROLE, paths.ca, readAuthorities(paths.ca).certificates);
  };
  tell();
  return followFiles({
    role: ROLE,
    files: [paths.ca, paths.cert, paths.key],
    clock,
    log,
    read: () => readCoreCertificates(paths),
    use(certificates) {
      core.reload(certificates);
      tell();
    },
  });
}
