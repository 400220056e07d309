/**
 * An issuer's JWK set: a file, or fetched over HTTPS. Read again when a key is asked for that is not in it, and now and then: what has been taken
 * out of it is trusted no longer.
 */
import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { get } from "node:https";
import { type Clock, messageOf, type PluginLog } from "crypto-edge/plugin";
import { keyOfCertificate } from "./signatures.ts";

/** Whatever is asked for. */
const REREAD_AFTER_MS = 5_000;
/** When a key is asked for that is there. */
const KEPT_MS = 600_000;
const FETCH_MS = 5_000;
const SET_BYTES_MAX = 1_048_576;
const KEYS_MAX = 64;

export interface IssuerKeysOptions {
  /** A path, or `https://…`. */
  readonly place: string;
  /** The file (PEM) of the CA of the server's certificate, read for each fetch; the system's without it. */
  readonly caFile: string | undefined;
  readonly clock: Clock;
  readonly log: PluginLog;
}

export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  /** Certificates by key id. Whether one is current is looked at with each use. */
  #certificates: ReadonlyMap<string, string> = new Map();
  #askedMs = Number.NEGATIVE_INFINITY;
  #readMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
  }

  /** Undefined where the set has no such key, or it must not be used. */
  async find(keyId: string): Promise<KeyObject | undefined> {
    const isOld = this.#options.clock.monotonicMs() - this.#readMs >= KEPT_MS;
    if (isOld || !this.#certificates.has(keyId)) await this.#read();
    const certificate = this.#certificates.get(keyId);
    return certificate === undefined ? undefined : keyOfCertificate(certificate, this.#options.clock.wallMs());
  }

  /** The files from now on. @throws (rejects with) what is wrong with a set in a file; the last one stays in use */
  async take(): Promise<void> {
    if (isFetched(this.#options.place)) this.#readMs = this.#askedMs = Number.NEGATIVE_INFINITY;
    else await this.#readNow();
  }

  /** Once for all who wait, and not again for a while. */
  #read(): Promise<void> {
    const { clock, place, log } = this.#options;
    if (this.#reading === undefined) {
      if (clock.monotonicMs() - this.#askedMs < REREAD_AFTER_MS) return Promise.resolve();
      this.#askedMs = clock.monotonicMs();
      this.#reading = this.#readNow()
        .catch((error: unknown) => {
          log.warn({ place, reason: messageOf(error) }, "an issuer's key set can't be had; the last one stays in use");
        })
        .finally(() => {
          this.#reading = undefined;
        });
    }
    return this.#reading;
  }

  async #readNow(): Promise<void> {
    const { place, caFile, clock } = this.#options;
    const text = isFetched(place)
      ? await fetchText(place, caFile === undefined ? undefined : await readFile(caFile, "utf8"))
      : await readFile(place, "utf8");
    const { keys } = JSON.parse(text.replace(/^\ufeff/, "")) as {
      keys?: readonly { kid?: unknown; x5c?: unknown }[];
    };
    const certificates = new Map<string, string>();
    for (const { kid, x5c } of (keys ?? []).slice(0, KEYS_MAX)) {
      const first: unknown = Array.isArray(x5c) ? x5c[0] : undefined;
      if (typeof kid === "string" && typeof first === "string") certificates.set(kid, first);
    }
    this.#certificates = certificates;
    this.#readMs = clock.monotonicMs();
  }
}

export function isFetched(place: string): boolean {
  return place.startsWith("https://");
}

function fetchText(url: string, ca: string | undefined): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { ...(ca === undefined ? {} : { ca }), timeout: FETCH_MS }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > SET_BYTES_MAX) request.destroy(new Error("the key set is too large"));
      });
      answer.on("end", () =>
        answer.statusCode === 200 ? resolve(text) : reject(new Error(`the answer was ${answer.statusCode}`)),
      );
      answer.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error(`no answer in ${FETCH_MS} ms`)));
    request.on("error", reject);
  });
}
