/** When the certificates of this edge end, in whatever role it has them. What looks at them is loaded where there is one. */
import { LOG, type Module, token } from "../base/module.ts";
import type { CertificateExpiry, CertificateLife } from "../base/pki/certificate-expiry.ts";
import { CLOCK } from "../base/time/clock.ts";
import { TELEMETRY } from "./telemetry/module.ts";

export interface Certificates {
  /** Who is told of certificates: one for the whole edge, made when it is asked for first. */
  expiry(): Promise<CertificateExpiry>;
  /** Of each role and file the one that ends first; empty where nothing has certificates. */
  ends(): readonly CertificateLife[];
  close(): void;
}

export const CERTIFICATES = token<Certificates>("Certificates");

export const certificatesModule: Module<Certificates> = {
  token: CERTIFICATES,
  make(get) {
    let made: Promise<CertificateExpiry> | undefined;
    let expiry: CertificateExpiry | undefined;
    let isClosed = false;
    const make = async (): Promise<CertificateExpiry> => {
      const { CertificateExpiry } = await import("../base/pki/certificate-expiry.ts");
      const { certificateMetrics } = await import("./telemetry/certificate-metrics.ts");
      expiry = new CertificateExpiry(get(CLOCK), get(LOG));
      get(TELEMETRY).metrics.add(...certificateMetrics(expiry, get(CLOCK)));
      if (isClosed) expiry.close();
      return expiry;
    };
    return {
      expiry() {
        made ??= make();
        return made;
      },
      ends: () => expiry?.ends() ?? [],
      close() {
        isClosed = true;
        expiry?.close();
      },
    };
  },
};
