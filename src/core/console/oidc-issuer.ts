/**
 * The issuer that people sign in at: OpenID Connect Core 1.0 (authorization code), discovery 1.0, PKCE (RFC 7636), the issuer's
 * name in its answer (RFC 9207), and access tokens that are JWTs, presented as `Authorization: Bearer` (RFC 6750).
 */
import { createHash, randomBytes } from "node:crypto";
import { type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import { messageOf } from "../../base/errors.ts";
import { type DirectRequest, fetchDirectly } from "../../base/network/fetch-directly.ts";
import { isProtectedUrl } from "../../base/network/protected-url.ts";
import type { Clock } from "../../base/time/clock.ts";
import { KeptCopy } from "../../base/time/kept-copy.ts";
import { reasonOfRefusal, TOKEN_ALGORITHMS } from "../../edge/access/bearer-token.ts";
import { remoteKeys } from "../../edge/access/remote-keys.ts";
import type { ConsoleSignIn } from "../console-port.ts";
import { CoreError } from "../protocol/core-error.ts";
import type { Visitor } from "./visitor.ts";

/** What is read of the issuer's discovery document. */
interface Metadata {
  readonly authorizationEndpoint: string;
  readonly tokenEndpoint: string;
  readonly endSessionEndpoint: string | undefined;
  readonly keys: JWTVerifyGetKey;
}

/** Known by the browser alone until the issuer leads it back. */
export interface SignInAttempt {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

const TIMEOUT_MS = 5_000;
/** What the issuer says of itself is read again beside those who sign in, and before they do where nobody has for a day. */
const REFRESH_AFTER_MS = 3_600_000;
const WAIT_AFTER_MS = 86_400_000;
/** Until it is asked again, once it did not answer. */
const AWAY_MS = 1_000;
const MAX_ANSWER_BYTES = 256 * 1024;
const CLOCK_TOLERANCE_SECONDS = 5;

export class OidcIssuer {
  readonly #options: ConsoleSignIn;
  readonly #clock: Clock;
  /** What was read last counts while the issuer is away: its keys are then kept for their own time (`remoteKeys`). */
  readonly #metadata: KeptCopy<Metadata>;
  #keys: { readonly url: string; readonly keys: JWTVerifyGetKey } | undefined;

  /** The issuer is asked when somebody first signs in: a Core starts without it. */
  constructor(options: ConsoleSignIn, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#metadata = new KeptCopy({
      clock,
      read: () => this.#read(),
      refreshAfterMs: REFRESH_AFTER_MS,
      waitAfterMs: WAIT_AFTER_MS,
      retryAfterMs: AWAY_MS,
    });
  }

  /** Where the browser goes to sign in, and what it must come back with. @throws CoreError `unavailable` */
  async begin(redirectUri: string): Promise<{ readonly location: string; readonly attempt: SignInAttempt }> {
    const { authorizationEndpoint } = await this.#metadata.get();
    const attempt = { state: randomText(), nonce: randomText(), verifier: randomText() };
    const location = new URL(authorizationEndpoint);
    for (const [name, value] of Object.entries({
      response_type: "code",
      client_id: this.#options.clientId,
      redirect_uri: redirectUri,
      scope: ["openid", ...this.#options.scopes.filter((scope) => scope !== "openid")].join(" "),
      state: attempt.state,
      nonce: attempt.nonce,
      code_challenge: createHash("sha256").update(attempt.verifier).digest("base64url"),
      code_challenge_method: "S256",
    })) {
      location.searchParams.set(name, value);
    }
    return { location: location.href, attempt };
  }

  /** Who came back with this code. @throws CoreError */
  async finish(query: URLSearchParams, attempt: SignInAttempt, redirectUri: string): Promise<Visitor> {
    const { issuer, clientId, clientSecret: secret } = this.#options;
    const clientSecret = typeof secret === "function" ? secret() : secret;
    if (query.get("state") !== attempt.state) throw refused("this answer is not to the sign-in that was begun here");
    if (query.has("iss") && query.get("iss") !== issuer) throw refused("another issuer answered");
    const failure = query.get("error");
    if (failure !== null) throw refused(`the issuer says ${failure.replace(/[^\w-]/g, "?").slice(0, 64)}`);
    const { tokenEndpoint, keys } = await this.#metadata.get();
    const form = new URLSearchParams({
      grant_type: "authorization_code",
      code: query.get("code") ?? "",
      redirect_uri: redirectUri,
      code_verifier: attempt.verifier,
      ...(clientSecret === undefined ? { client_id: clientId } : {}),
    });
    const answer = await this.#ask(tokenEndpoint, {
      method: "POST",
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        accept: "application/json",
        ...(clientSecret === undefined ? {} : { authorization: basic(clientId, clientSecret) }),
      },
      body: form.toString(),
    });
    const { id_token: idToken } = answer as { id_token?: unknown };
    if (typeof idToken !== "string") throw refused("the issuer's answer holds no id_token");
    const claims = await this.#verify(idToken, keys, clientId);
    if (claims.nonce !== attempt.nonce) throw refused("the token is not of the sign-in that was begun here");
    if (Array.isArray(claims.aud) && claims.aud.length > 1 && claims.azp !== clientId) {
      throw refused("the token was made for another client");
    }
    return this.#visitorOf(claims, "session");
  }

  /** Whose token it is. @throws CoreError `not_allowed`, `unavailable` */
  async ofToken(token: string): Promise<Visitor> {
    const { keys } = await this.#metadata.get();
    return this.#visitorOf(await this.#verify(token, keys, this.#options.audience), "token");
  }

  /** Where to sign out of the issuer too; undefined where it says no such place, or can't be asked. */
  async signOutLocation(returnTo: string): Promise<string | undefined> {
    let endSessionEndpoint: string | undefined;
    try {
      ({ endSessionEndpoint } = await this.#metadata.get());
    } catch {
      return undefined;
    }
    if (endSessionEndpoint === undefined) return undefined;
    const location = new URL(endSessionEndpoint);
    location.searchParams.set("client_id", this.#options.clientId);
    location.searchParams.set("post_logout_redirect_uri", returnTo);
    return location.href;
  }

  async #verify(token: string, keys: JWTVerifyGetKey, audience: string): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer: this.#options.issuer,
        audience,
        algorithms: TOKEN_ALGORITHMS,
        requiredClaims: ["exp", "sub"],
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: new Date(this.#clock.wallMs()),
      });
      return payload;
    } catch (error) {
      throw refused(`of the token: ${reasonOfRefusal(error)}`);
    }
  }

  #visitorOf(claims: JWTPayload, by: "session" | "token"): Visitor {
    const { rolesClaim, administrators, viewers } = this.#options;
    const groups = textsOf(claimAt(claims, rolesClaim));
    const has = (names: readonly string[]): boolean => names.some((name) => groups.includes(name));
    const name = [claims.preferred_username, claims.email, claims.sub].find((each) => typeof each === "string");
    const role = has(administrators) ? "administrator" : has(viewers) ? "viewer" : undefined;
    if (role === undefined) {
      throw new CoreError(
        "not_allowed",
        `${name} has no role here: "${rolesClaim}" of the token names none of this Core's`,
      );
    }
    return { name: String(name).slice(0, 256), subject: String(claims.sub).slice(0, 256), role, by };
  }

  async #read(): Promise<Metadata> {
    const { issuer } = this.#options;
    const document = (await this.#ask(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`)) as Record<
      string,
      unknown
    >;
    if (document.issuer !== issuer) throw unavailable("its discovery document is of another issuer");
    const place = (name: string): string => {
      const value = document[name];
      if (typeof value !== "string" || !isProtectedUrl(value)) throw unavailable(`its ${name} is no https address`);
      return value;
    };
    return {
      authorizationEndpoint: place("authorization_endpoint"),
      tokenEndpoint: place("token_endpoint"),
      endSessionEndpoint: document.end_session_endpoint === undefined ? undefined : place("end_session_endpoint"),
      keys: this.#keysAt(place("jwks_uri")),
    };
  }

  /** Those that are known stay known while their address is the same. */
  #keysAt(url: string): JWTVerifyGetKey {
    if (this.#keys?.url !== url) {
      const keys = remoteKeys(new URL(url), { clock: this.#clock, fetch: (to, init) => this.#fetch(to, init) });
      this.#keys = { url, keys };
    }
    return this.#keys.keys;
  }

  /** JSON of the issuer's. Its own words are for the log of the issuer: they may hold what nobody here should read. */
  async #ask(
    url: string,
    init: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<object> {
    try {
      const headers = new Headers(init.headers);
      const response = await this.#fetch(url, { ...init, headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
      if (!response.ok) throw unavailable(`it answered ${response.status}`);
      const value: unknown = JSON.parse(await textOf(response));
      if (typeof value !== "object" || value === null) throw unavailable("its answer is no object");
      return value;
    } catch (error) {
      throw error instanceof CoreError ? error : unavailable(messageOf(error));
    }
  }

  /** A proxy of the environment may carry TLS, which ends at the issuer; what is not encrypted stays on this machine. */
  #fetch(url: string, init: DirectRequest): Promise<Response> {
    if (!url.startsWith("https:")) return fetchDirectly(url, init);
    const { ca: given } = this.#options;
    const ca = typeof given === "function" ? given() : given;
    return fetch(url, { ...init, redirect: "error", ...(ca === undefined ? {} : { tls: { ca } }) });
  }
}

/** The text of an answer, of which no more is read than one may have. */
async function textOf({ body }: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body ?? []) {
    length += piece.length;
    if (length > MAX_ANSWER_BYTES) throw unavailable("its answer is too large");
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

/** `groups`, or `realm_access.roles`: where no claim has the whole name, its dots lead into objects. */
function claimAt(claims: JWTPayload, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  return path
    .split(".")
    .reduce<unknown>(
      (value, key) =>
        typeof value === "object" && value !== null && Object.hasOwn(value, key)
          ? (value as Record<string, unknown>)[key]
          : undefined,
      claims,
    );
}

/** A list of texts, or one text with blanks between them as `scope` has. */
function textsOf(value: unknown): string[] {
  if (typeof value === "string") return value.split(" ").filter(Boolean);
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

function randomText(): string {
  return randomBytes(32).toString("base64url");
}

/** RFC 6749, section 2.3.1: both parts are encoded as in a form. */
function basic(name: string, secret: string): string {
  const encoded = [name, secret].map((text) => new URLSearchParams({ t: text }).toString().slice(2)).join(":");
  return `Basic ${Buffer.from(encoded).toString("base64")}`;
}

function refused(why: string): CoreError {
  return new CoreError("not_allowed", `nobody was signed in: ${why}`);
}

function unavailable(why: string): CoreError {
  return new CoreError("unavailable", `the issuer could not be asked: ${why}`, { retryAfterSeconds: 5 });
}
