/**
 * When the certificates and revocation lists that this process uses end: warnings in the log before it hurts, and figures for metrics
 * and status. A list that has run out refuses every caller of its authority, so its end is as bad as a certificate's.
 *
 * A warning comes when 30 % of a life are left, on each day of its last week, when it has ended, and for each of these at
 * the start too. A certificate that is replaced is forgotten.
 */
import type { X509Certificate } from "node:crypto";
import type { LogPort } from "../log-port.ts";
import type { Clock, Timer } from "../time/clock.ts";
import type { RevocationLists } from "./revocation-list.ts";

/** One certificate or revocation list in use. */
export interface CertificateLife {
  readonly kind: "certificate" | "revocation list";
  /** What it is for: `listener https://0.0.0.0:7443`, `the Core's client`. Few, and bounded: a label of the metric. */
  readonly role: string;
  readonly file: string;
  readonly subject: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
const WARN_FROM = 0.3;
const LOOK_AT_LEAST_EVERY_MS = 3_600_000;

export class CertificateExpiry {
  readonly #clock: Clock;
  readonly #log: Pick<LogPort, "warn" | "error">;
  readonly #lives = new Map<string, readonly CertificateLife[]>();
  /** By role, file and end: the last stage that was told. */
  readonly #told = new Map<string, string>();
  #timer: Timer | undefined;

  constructor(clock: Clock, log: Pick<LogPort, "warn" | "error">) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Says what a role uses from now on, in place of what it used before. */
  use(role: string, file: string, certificates: readonly X509Certificate[]): void {
    const lives = certificates.map((certificate) => ({
      kind: "certificate" as const,
      role,
      file,
      // A certificate may have no subject: its names are in its SANs.
      subject: (certificate.subject ?? "").replaceAll("\n", ", "),
      notBeforeMs: Date.parse(certificate.validFrom),
      notAfterMs: Date.parse(certificate.validTo),
    }));
    this.#lives.set(`${role}\0${file}`, lives);
    this.#look();
  }

  /** Likewise, with the lists by which a role refuses certificates. */
  useLists(role: string, { ends }: RevocationLists): void {
    for (const file of new Set(ends.map((each) => each.file))) {
      const lives = ends
        .filter((each) => each.file === file)
        .map(({ issuer, thisUpdateMs, nextUpdateMs }) => ({
          kind: "revocation list" as const,
          role,
          file,
          subject: issuer,
          notBeforeMs: thisUpdateMs,
          notAfterMs: nextUpdateMs,
        }));
      this.#lives.set(`${role}\0${file}`, lives);
    }
    this.#look();
  }

  /** The certificate of each role and file that ends first, for metrics and status. */
  ends(): readonly CertificateLife[] {
    return [...this.#lives.values()].flatMap((lives) =>
      lives.length === 0 ? [] : [lives.reduce((a, b) => (b.notAfterMs < a.notAfterMs ? b : a))],
    );
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#lives.clear();
  }

  #look(): void {
    this.#timer?.cancel();
    const nowMs = this.#clock.wallMs();
    const known = new Set<string>();
    let nextMs = LOOK_AT_LEAST_EVERY_MS;
    for (const life of this.ends()) {
      const key = `${life.role}\0${life.file}\0${life.notAfterMs}`;
      known.add(key);
      const stage = stageAt(life, nowMs);
      if (stage !== undefined && this.#told.get(key) !== stage) this.#tell(life, nowMs);
      if (stage !== undefined) this.#told.set(key, stage);
      for (const atMs of [warnFromMs(life), life.notAfterMs]) if (atMs > nowMs) nextMs = Math.min(nextMs, atMs - nowMs);
    }
    for (const key of this.#told.keys()) if (!known.has(key)) this.#told.delete(key);
    this.#timer = this.#clock.schedule(nextMs, () => this.#look());
  }

  #tell({ kind, role, file, subject, notAfterMs }: CertificateLife, nowMs: number): void {
    const ends = new Date(notAfterMs).toISOString();
    const fields = { kind, role, file, subject, ends, daysLeft: Math.floor((notAfterMs - nowMs) / DAY_MS) };
    if (notAfterMs <= nowMs)
      this.#log.error(fields, `a ${kind} has expired: replace the file, which is taken up by itself`);
    else this.#log.warn(fields, `a ${kind} nears its end: replace the file, which is taken up by itself`);
  }
}

function warnFromMs({ notBeforeMs, notAfterMs }: CertificateLife): number {
  return notAfterMs - WARN_FROM * (notAfterMs - notBeforeMs);
}

/** What a certificate is told of: once in a stage. Undefined while there is nothing to say. */
function stageAt(life: CertificateLife, nowMs: number): string | undefined {
  const leftMs = life.notAfterMs - nowMs;
  if (leftMs <= 0) return `expired for ${Math.floor(-leftMs / DAY_MS)} days`;
  if (nowMs < warnFromMs(life)) return undefined;
  return leftMs <= WEEK_MS ? `${Math.ceil(leftMs / DAY_MS)} days left` : "early";
}
