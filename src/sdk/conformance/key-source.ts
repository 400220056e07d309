/** The contract of `KeySource` (src/edge/key-source/key-source.ts), rule by rule. */

import { messageOf } from "../../base/errors.ts";
import { checkGrant } from "../../edge/key-source/grant.ts";
import {
  type KeySource,
  KeySourceError,
  type KeySourceErrorCode,
  type LeaseGrant,
  type LeaseRequest,
} from "../../edge/key-source/key-source.ts";
import { broken, checkCloseTwice, checkHealth, notTried, pause, type Rule, SOON_MS, within } from "./rules.ts";

export interface KeySourceSubject {
  readonly source: KeySource;
  /** A key that the source has. */
  readonly key: { readonly tenant: string; readonly service: string } | undefined;
  /** The same source with its backend out of reach. */
  readonly away: (() => Promise<KeySource>) | undefined;
  /** Everything that the plugin has logged so far. */
  readonly logged: () => string;
}

const CODES: readonly KeySourceErrorCode[] = ["key_not_found", "key_revoked", "edge_not_allowed", "unavailable"];
const CONCURRENT = 16;
/** No source will have it; its form is that of any other name. */
const UNKNOWN = "conformance-kit-no-such-name";

export function keySourceRules({ source, key: givenKey, away, logged }: KeySourceSubject): Rule[] {
  const never = new AbortController().signal;
  const seenKeys: Uint8Array[] = [];

  const key = (): LeaseRequest => {
    if (givenKey === undefined) throw notTried("no key is known: name one with --key TENANT/SERVICE");
    return givenKey;
  };
  const granted = async (request: LeaseRequest, signal = never): Promise<LeaseGrant> => {
    const grant = await within(SOON_MS, source.lease(request, signal), "lease").catch((error: unknown) => {
      throw broken(`the key that it should have is refused: ${shown(error)}`);
    });
    try {
      checkGrant(request, grant);
    } catch (error) {
      throw broken(messageOf(error));
    }
    for (const version of grant.versions) if (seenKeys.length < 100) seenKeys.push(version.key.slice());
    return grant;
  };
  const refused = async (request: LeaseRequest, signal = never, from = source): Promise<KeySourceError> => {
    const error = await within(
      SOON_MS,
      Promise.resolve().then(() => from.lease(request, signal)),
      "lease",
    ).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    if (error === undefined) throw broken("it granted a lease");
    return asKeySourceError(error);
  };

  return [
    {
      rule: "name",
      title: "it has a name, for status, metrics and audit",
      async run() {
        if (typeof source.name !== "string" || !/^[\w.-]{1,64}$/.test(source.name)) throw broken("its name is none");
      },
    },
    {
      rule: "start",
      title: "start resolves",
      run: async () => within(2 * SOON_MS, source.start?.(), "start"),
    },
    {
      rule: "lease",
      title: "a lease has what was asked for: one active version, keys of 32 bytes, positive times",
      async run() {
        await granted(key());
      },
    },
    {
      rule: "lease-times",
      title: "a lease is renewed before it is over",
      async run() {
        const { refreshAfterMs, ttlMs } = await granted(key());
        if (refreshAfterMs > ttlMs) throw broken(`refreshAfterMs ${refreshAfterMs} is more than ttlMs ${ttlMs}`);
        if (ttlMs > 86_400_000) throw broken(`ttlMs ${ttlMs} is more than a day: is it in milliseconds?`);
      },
    },
    {
      rule: "lease-version",
      title: "a version asked for alone comes alone, and is the same key",
      async run() {
        const all = await granted(key());
        for (const { version, key: bytes } of all.versions) {
          const alone = await granted({ ...key(), version });
          if (!same(alone.versions[0]!.key, bytes))
            throw broken(`version ${version} is another key when asked for alone`);
        }
      },
    },
    {
      rule: "lease-owned",
      title: "the keys of a lease are the caller's, who wipes them: the next lease is not harmed",
      async run() {
        const first = await granted(key());
        const bytes = first.versions[0]!.key.slice();
        for (const version of first.versions) version.key.fill(0);
        const { version } = first.versions[0]!;
        const again = (await granted(key())).versions.find((each) => each.version === version);
        if (again !== undefined && !same(again.key, bytes)) throw broken("the key has changed after it was wiped");
      },
    },
    {
      rule: "lease-bytes",
      title: "no key is all zeros, and no two versions are the same",
      async run() {
        const { versions } = await granted(key());
        if (versions.some(({ key: bytes }) => bytes.every((byte) => byte === 0))) throw broken("a key is all zeros");
        const distinct = new Set(versions.map(({ key: bytes }) => Buffer.from(bytes).toString("latin1")));
        if (distinct.size < versions.length) throw broken("two versions have the same key");
      },
    },
    {
      rule: "unknown-key",
      title: "an unknown tenant, service or version is key_not_found",
      async run() {
        const requests: LeaseRequest[] = [{ tenant: UNKNOWN, service: UNKNOWN }];
        if (givenKey !== undefined) {
          requests.push({ ...givenKey, service: UNKNOWN }, { ...givenKey, version: 4_294_967_295 });
        }
        for (const request of requests) {
          const { code, message } = await refused(request);
          if (code !== "key_not_found") throw broken(`${JSON.stringify(request)} is ${code} (${message})`);
        }
      },
    },
    {
      rule: "concurrent",
      title: `${CONCURRENT} calls at once are all answered, each with buffers of its own`,
      async run() {
        const grants = await Promise.all(Array.from({ length: CONCURRENT }, () => granted(key())));
        const buffers = new Set(grants.flatMap(({ versions }) => versions.map(({ key: bytes }) => bytes)));
        const count = grants.reduce((sum, { versions }) => sum + versions.length, 0);
        if (buffers.size < count) throw broken("two leases share a buffer");
        for (const bytes of grants[0]!.versions.map(({ key }) => key)) bytes.fill(0);
        if (grants[1]!.versions.some(({ key: bytes }) => bytes.every((byte) => byte === 0))) {
          throw broken("wiping one lease's keys wiped another's");
        }
      },
    },
    {
      rule: "aborted",
      title: "a call whose signal has aborted rejects soon",
      async run() {
        await refused(givenKey ?? { tenant: UNKNOWN, service: UNKNOWN }, AbortSignal.abort());
      },
    },
    {
      rule: "abort",
      title: "a call that is aborted on its way settles soon",
      async run() {
        const abort = new AbortController();
        const call = Promise.resolve()
          .then(() => source.lease(givenKey ?? { tenant: UNKNOWN, service: UNKNOWN }, abort.signal))
          .then(
            () => {},
            (error: unknown) => void asKeySourceError(error),
          );
        await Promise.resolve();
        abort.abort();
        await within(2_000, call, "the aborted call");
      },
    },
    {
      rule: "health",
      title: "health answers from memory: { ok, detail? }",
      run: async () => checkHealth(source),
    },
    {
      rule: "away",
      title: "with its backend away it still starts, a call is unavailable, and it closes",
      async run() {
        if (away === undefined) throw notTried("no configuration with the backend away was given (--away FILE)");
        const lost = await away();
        await within(2 * SOON_MS, lost.start?.(), "start").catch((error: unknown) => {
          throw broken(`start failed, so that the edge would not start while the backend is away: ${messageOf(error)}`);
        });
        const { code } = await refused(givenKey ?? { tenant: UNKNOWN, service: UNKNOWN }, never, lost);
        if (code !== "unavailable") throw broken(`the error is ${code}, which is taken for an answer about the key`);
        await within(SOON_MS, lost.close(), "close");
      },
    },
    {
      rule: "close",
      title: "close may be called twice, and a call afterwards is unavailable",
      async run() {
        const open = Promise.resolve()
          .then(() => source.lease(givenKey ?? { tenant: UNKNOWN, service: UNKNOWN }, never))
          .catch(() => {});
        await checkCloseTwice(source);
        await within(SOON_MS, open, "a call that was open");
        const { code } = await refused(givenKey ?? { tenant: UNKNOWN, service: UNKNOWN });
        if (code !== "unavailable") throw broken(`the error is ${code}`);
      },
    },
    {
      rule: "no-secrets",
      title: "no key is logged",
      async run() {
        await pause(0);
        const text = logged();
        for (const bytes of seenKeys.map((each) => Buffer.from(each))) {
          if (["hex", "base64", "base64url"].some((form) => text.includes(bytes.toString(form as "hex")))) {
            throw broken("a key is in the plugin's log lines");
          }
        }
        for (const bytes of seenKeys.splice(0)) bytes.fill(0);
      },
    },
  ];
}

function asKeySourceError(error: unknown): KeySourceError {
  if (!(error instanceof KeySourceError)) throw broken(`it threw no KeySourceError but ${shown(error)}`);
  if (!CODES.includes(error.code)) throw broken(`its error has the code ${JSON.stringify(error.code)}`);
  if (error.message === "") throw broken("its error has no message");
  return error;
}

function shown(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
