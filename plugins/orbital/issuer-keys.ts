/**
 * An issuer's JWK set: a file, or fetched over HTTPS. Read again when a key is asked for that is not in it, and now and then: what has been taken
 * out of it is trusted no longer.
 */
import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { get } from "node:https";
import { type Clock, type KeptCopy, keepCopy, messageOf, type PluginLog } from "crypto-edge/plugin";
import { keyOfCertificate } from "./signatures.ts";

const REFRESH_AFTER_MS = 300_000;
/** A key that was taken out counts no longer than this while the place can be read. */
const WAIT_AFTER_MS = 600_000;
const RETRY_AFTER_MS = 5_000;
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
  readonly #set: KeptCopy<ReadonlyMap<string, string>>;

  constructor(options: IssuerKeysOptions) {
    const { clock, place, log } = options;
    this.#options = options;
    this.#set = keepCopy({
      clock,
      read: () =>
        readSet(options).catch((error: unknown) => {
          // Of a file that is bad, who follows it tells.
          if (isFetched(place)) {
            log.warn(
              { place, reason: messageOf(error) },
              "an issuer's key set can't be had; the last one stays in use",
            );
          }
          throw error;
        }),
      refreshAfterMs: REFRESH_AFTER_MS,
      waitAfterMs: WAIT_AFTER_MS,
      retryAfterMs: RETRY_AFTER_MS,
    });
  }

  /** Undefined where the set has no such key, or it must not be used. */
  async find(keyId: string): Promise<KeyObject | undefined> {
    const { clock } = this.#options;
    let certificate = (await this.#certificates())?.get(keyId);
    if (certificate === undefined) {
      await this.#set.renew();
      certificate = (await this.#certificates())?.get(keyId);
    }
    return certificate === undefined ? undefined : keyOfCertificate(certificate, clock.wallMs());
  }

  /** The files from now on. @throws (rejects with) what is wrong with a set in a file; the last one stays in use */
  async take(): Promise<void> {
    this.#set.expire();
    if (isFetched(this.#options.place)) return;
    await this.#set.renew();
    if (this.#set.failure !== undefined) throw this.#set.failure;
  }

  /** Undefined where the set could never be had, which is told when it is read. */
  async #certificates(): Promise<ReadonlyMap<string, string> | undefined> {
    try {
      return await this.#set.get();
    } catch {
      return undefined;
    }
  }
}

async function readSet({ place, caFile, clock }: IssuerKeysOptions): Promise<ReadonlyMap<string, string>> {
  const text = isFetched(place)
    ? await fetchText(place, caFile === undefined ? undefined : await readFile(caFile, "utf8"), clock)
    : await readFile(place, "utf8");
  const { keys } = JSON.parse(text.replace(/^\ufeff/, "")) as {
    keys?: readonly { kid?: unknown; x5c?: unknown }[];
  };
  const certificates = new Map<string, string>();
  for (const { kid, x5c } of (keys ?? []).slice(0, KEYS_MAX)) {
    const first: unknown = Array.isArray(x5c) ? x5c[0] : undefined;
    if (typeof kid === "string" && typeof first === "string") certificates.set(kid, first);
  }
  return certificates;
}

export function isFetched(place: string): boolean {
  return place.startsWith("https://");
}

function fetchText(url: string, ca: string | undefined, clock: Clock): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    const request = get(url, { agent: false, ...(ca === undefined ? {} : { ca }) }, (answer) => {
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
    // Of the whole: one that sends a byte now and then never ends.
    const timer = clock.schedule(FETCH_MS, () => {
      reject(new Error(`no answer in ${FETCH_MS} ms`));
      request.destroy();
    });
    request.on("error", reject);
    request.on("close", () => timer.cancel());
  });
}
