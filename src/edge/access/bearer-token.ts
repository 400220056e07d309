/**
 * Bearer tokens (JWT): for callers without a client certificate, such as SPIFFE JWT-SVIDs or the service account tokens of
 * Kubernetes. Verified by signature, issuer, audience and time; what was verified is remembered for a while.
 */
import { createHash } from "node:crypto";
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey, jwtVerify } from "jose";
import { messageOf, OperationError } from "../../base/errors.ts";
import { fetchDirectly } from "../../base/network/fetch-directly.ts";
import { isProtectedUrl } from "../../base/network/protected-url.ts";
import { readFileText } from "../../base/read-file.ts";
import type { Clock } from "../../base/time/clock.ts";
import type { Principal } from "./principal.ts";
import { RememberedTokens } from "./remembered-tokens.ts";
import { remoteKeys } from "./remote-keys.ts";

/** One issuer whose tokens are taken. */
export interface TokenIssuer {
  /**
   * Goes before the names of its callers, `NAME:SUBJECT`. Undefined where it is the only issuer of all: two clusters have the same subjects
   * by nature, and one must not pass for the other's.
   */
  readonly name?: string | undefined;
  /** The tokens' `iss`, exactly. */
  readonly issuer: string;
  /** What a token's `aud` must name: this edge. */
  readonly audience: string;
  /** A path of a JWK set, or its URL (https, or http on loopback). */
  readonly jwks: string;
  /** The claim that names the caller. By default `sub`. */
  readonly claim?: string | undefined;
}

export interface TokenVerifier {
  /**
   * The principal of an `Authorization` header: at once if the token was seen lately, else a promise. `undefined` and
   * any header that is no valid token end in `unauthenticated`, thrown or rejected.
   */
  principalOf(authorization: string | undefined, peer: string): Principal | Promise<Principal>;
  /**
   * Reads the JWK sets of files again, for `use`. Those of URLs stay as they are: they are fetched by age, and an issuer that is away just
   * now must not take its callers away. @throws where one cannot be read.
   */
  read(): IssuerKeys;
  /** Takes them; what was remembered is forgotten. */
  use(keys: IssuerKeys): void;
}

/** Each issuer, and the keys that its tokens are verified with. */
export type IssuerKeys = readonly { readonly issuer: TokenIssuer; readonly keys: JWTVerifyGetKey }[];

/** Signatures only: a shared secret would let every verifier make tokens. */
export const TOKEN_ALGORITHMS = [
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
];
const TOKEN_LENGTH_MAX = 16_384;
const NAME = /^[\x21-\x7e]{1,512}$/;
/** A token is looked at anew after this long, so that a key taken out of the JWK set counts soon. */
const REMEMBERED_MS = 60_000;
const CLOCK_TOLERANCE_MS = 5_000;

/** @throws an error with a sentence, for a JWK set that cannot be read or a URL that is not safe. */
export function createTokenVerifier(issuers: readonly TokenIssuer[], clock: Clock): TokenVerifier {
  let accepted: IssuerKeys = issuers.map((issuer) => ({ issuer, keys: loadKeySet(issuer.jwks, clock) }));
  const remembered = new RememberedTokens();

  async function verify(token: string, digest: string, peer: string): Promise<Principal> {
    const claimed = issuerOf(token);
    const known = accepted.find(({ issuer }) => issuer.issuer === claimed);
    if (known === undefined) throw refused("its issuer is not accepted here");
    const { issuer, keys } = known;
    const now = clock.wallMs();
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: issuer.issuer,
        audience: issuer.audience,
        algorithms: TOKEN_ALGORITHMS,
        requiredClaims: ["exp"],
        clockTolerance: CLOCK_TOLERANCE_MS / 1000,
        currentDate: new Date(now),
      });
      const subject = payload[issuer.claim ?? "sub"];
      if (typeof subject !== "string" || !NAME.test(subject)) {
        throw refused("the claim that names the caller is not usable");
      }
      const name = issuer.name === undefined ? subject : `${issuer.name}:${subject}`;
      // A token without `exp` was refused.
      const untilMs = Math.min(payload.exp! * 1000 + CLOCK_TOLERANCE_MS, now + REMEMBERED_MS);
      remembered.remember(digest, name, untilMs);
      return { kind: "token", name, peer };
    } catch (error) {
      if (error instanceof OperationError) throw error;
      throw refused(reasonOfRefusal(error));
    }
  }

  return {
    principalOf(authorization, peer) {
      const token = /^Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i.exec(authorization ?? "")?.[1];
      if (authorization === undefined) {
        throw new OperationError(
          "unauthenticated",
          "Present a client certificate, or a token as Authorization: Bearer.",
        );
      }
      if (token === undefined || token.length > TOKEN_LENGTH_MAX) throw refused("it is not a signed JWT");
      const digest = createHash("sha256").update(token).digest("base64");
      const name = remembered.nameOf(digest, clock.wallMs());
      return name === undefined ? verify(token, digest, peer) : { kind: "token", name, peer };
    },
    read: () =>
      accepted.map(({ issuer, keys }) => ({
        issuer,
        keys: isUrl(issuer.jwks) ? keys : loadKeySet(issuer.jwks, clock),
      })),
    use(keys) {
      accepted = keys;
      remembered.clear();
    },
  };
}

function isUrl(place: string): boolean {
  return /^https?:\/\//.test(place);
}

function loadKeySet(place: string, clock: Clock): JWTVerifyGetKey {
  if (isUrl(place)) {
    const url = new URL(place);
    if (!isProtectedUrl(place)) throw new Error(`${place}: keys come over https only`);
    return remoteKeys(url, { clock, fetch: fetchDirectly });
  }
  try {
    // Some editors put a byte order mark first.
    const set = JSON.parse(readFileText(place).replace(/^\ufeff/, "")) as JSONWebKeySet;
    return createLocalJWKSet(set);
  } catch (error) {
    throw new Error(`${place}: not a JWK set that can be read: ${messageOf(error)}`);
  }
}

/** The unverified issuer, only to choose the keys to verify with. */
function issuerOf(token: string): unknown {
  try {
    const payload: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
    return (payload as { iss?: unknown } | null)?.iss;
  } catch {
    return undefined;
  }
}

function refused(reason: string): OperationError {
  return new OperationError("unauthenticated", `The bearer token is refused: ${reason}.`);
}

/** Says what is wrong with a token, never what is in it. */
export function reasonOfRefusal(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "it has expired";
  if (error instanceof errors.JWTClaimValidationFailed) return `its claim "${error.claim}" does not hold`;
  if (error instanceof errors.JWKSNoMatchingKey) return "no key of the issuer's JWK set fits it";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "its signature does not hold";
  if (error instanceof errors.JOSEAlgNotAllowed) return "its algorithm is not accepted";
  if (error instanceof errors.JWKSTimeout) return "the issuer's keys could not be fetched in time";
  return "it cannot be verified";
}
