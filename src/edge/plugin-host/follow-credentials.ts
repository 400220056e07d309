/** The credentials of a plugin follow the disk, as the edge's own do. Loaded where a plugin has some. */
import type { X509Certificate } from "node:crypto";
import type { LogPort } from "../../base/log-port.ts";
import type { CertificateExpiry } from "../../base/pki/certificate-expiry.ts";
import { followFiles } from "../../base/pki/follow-files.ts";
import { readCertificates } from "../../base/pki/pem.ts";
import { stateOfFiles } from "../../base/pki/watch-files.ts";
import type { Clock } from "../../base/time/clock.ts";
import type { FollowedCredentials } from "./plugin.ts";

export interface FollowingOptions {
  readonly expiry: CertificateExpiry;
  readonly clock: Clock;
  readonly log: Pick<LogPort, "info" | "warn">;
  /** Ends it. */
  readonly signal: AbortSignal;
}

type ReadFile = readonly [file: string, certificates: readonly X509Certificate[]];

/** Takes them, and goes on doing so. Rejects with what is wrong with them now. */
export async function followCredentials(
  { role, certificates, others = [], take }: FollowedCredentials,
  { expiry, clock, log, signal }: FollowingOptions,
): Promise<void> {
  const files = [...certificates, ...others];
  const read = async (): Promise<readonly ReadFile[]> => {
    const all = certificates.map((file): ReadFile => [file, readCertificates(file).certificates]);
    await take();
    return all;
  };
  const use = (all: readonly ReadFile[]): void => {
    for (const [file, its] of all) expiry.use(role, file, its);
  };
  const since = stateOfFiles(files);
  use(await read());
  if (signal.aborted) return;
  const following = followFiles({ role, files, since, clock, log, read, use });
  signal.addEventListener("abort", () => following.close(), { once: true });
}
