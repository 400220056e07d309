/** The certificates for the Core follow the disk, as those of listeners do. */
import type { LogPort } from "../../../base/log-port.ts";
import type { CertificateExpiry } from "../../../base/pki/certificate-expiry.ts";
import { type Following, followFiles } from "../../../base/pki/follow-files.ts";
import { readAuthorities, readCertificates, requireInForce } from "../../../base/pki/pem.ts";
import type { FilesState } from "../../../base/pki/watch-files.ts";
import type { Clock } from "../../../base/time/clock.ts";
import { type CoreCertificatePaths, readCoreCertificates } from "./core-certificates.ts";
import type { CoreClient } from "./core-client.ts";

/** In the log and in metrics. */
const ROLE = "the Core's client";

export function followCoreCertificates(options: {
  readonly core: Pick<CoreClient, "reload">;
  readonly paths: CoreCertificatePaths;
  /** As the files were before they were read. */
  readonly since: FilesState;
  readonly clock: Clock;
  readonly log: Pick<LogPort, "info" | "warn">;
  readonly expiry: CertificateExpiry;
}): Following {
  const { core, paths, since, clock, log, expiry } = options;
  useCoreFiles(expiry, paths);
  return followFiles({
    role: ROLE,
    files: filesOfCore(paths),
    since,
    clock,
    log,
    read: () => {
      const certificates = readCoreCertificates(paths);
      const nowMs = clock.wallMs();
      requireInForce(paths.cert, readCertificates(paths.cert).certificates.slice(0, 1), nowMs);
      requireInForce(paths.ca, readAuthorities(paths.ca).certificates, nowMs);
      return certificates;
    },
    use(certificates) {
      core.reload(certificates);
      useCoreFiles(expiry, paths);
    },
  });
}

export function filesOfCore({ ca, cert, key }: CoreCertificatePaths): readonly string[] {
  return [ca, cert, key];
}

/** What ends, and when. */
export function useCoreFiles(expiry: CertificateExpiry, { cert, ca }: CoreCertificatePaths): void {
  expiry.use(ROLE, cert, readCertificates(cert).certificates);
  expiry.use(ROLE, ca, readAuthorities(ca).certificates);
}
