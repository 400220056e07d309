/** An issuer's JWK set: a file, or fetched over HTTPS; read again when a key is asked for that is not in it. */
import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { get } from "node:https";
import { type Clock, messageOf, type PluginLog } from "crypto-edge/plugin";
import { keyOfCertificate } from "./signatures.ts";

const REREAD_AFTER_MS = 5_000;
const FETCH_MS = 5_000;
const SET_BYTES_MAX = 1_048_576;
const KEYS_MAX = 64;

export interface IssuerKeysOptions {
  /** A path, or `https://…`. */
  readonly place: string;
  /** The CA of the server's certificate (PEM); the system's without it. */
  readonly ca: string | undefined;
  readonly clock: Clock;
  readonly log: PluginLog;
}

export class IssuerKeys {
  readonly #options: IssuerKeysOptions;
  /** Certificates by key id. Whether one is current is looked at with each use. */
  #certificates: ReadonlyMap<string, string> = new Map();
  #readMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(options: IssuerKeysOptions) {
    this.#options = options;
  }

  /** Undefined where the set has no such key, or it must not be used. */
  async find(keyId: string): Promise<KeyObject | undefined> {
    if (!this.#certificates.has(keyId)) await this.#read();
    const certificate = this.#certificates.get(keyId);
    return certificate === undefined ? undefined : keyOfCertificate(certificate, this.#options.clock.wallMs());
  }

  /** Once for all who wait, and not again for a while. */
  #read(): Promise<void> {
    const { clock } = this.#options;
    if (this.#reading === undefined) {
      if (clock.monotonicMs() - this.#readMs < REREAD_AFTER_MS) return Promise.resolve();
      this.#readMs = clock.monotonicMs();
      this.#reading = this.#readNow().finally(() => {
        this.#reading = undefined;
      });
    }
    return this.#reading;
  }

  async #readNow(): Promise<void> {
    const { place, ca, log } = this.#options;
    try {
      const text = place.startsWith("https://") ? await fetchText(place, ca) : await readFile(place, "utf8");
      const { keys } = JSON.parse(text.replace(/^\ufeff/, "")) as {
        keys?: readonly { kid?: unknown; x5c?: unknown }[];
      };
      const certificates = new Map<string, string>();
      for (const { kid, x5c } of (keys ?? []).slice(0, KEYS_MAX)) {
        const first: unknown = Array.isArray(x5c) ? x5c[0] : undefined;
        if (typeof kid === "string" && typeof first === "string") certificates.set(kid, first);
      }
      this.#certificates = certificates;
    } catch (error) {
      log.warn({ place, reason: messageOf(error) }, "an issuer's key set can't be had; the last one stays in use");
    }
  }
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
