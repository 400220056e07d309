/** Who the edge is to the server: logs in, renews the token before it ends, and logs in anew when it can't be renewed. */
import { readFileSync } from "node:fs";
import type { Clock, PluginLog, Timer } from "crypto-edge/plugin";
import { type Answer, errorsOf, jsonOf, messageOf, type Server, ServerError } from "./server.ts";

export type Login =
  | { readonly kind: "token"; readonly token: () => string }
  | { readonly kind: "approle"; readonly mount: string; readonly roleId: string; readonly secretId: () => string }
  | { readonly kind: "kubernetes"; readonly mount: string; readonly role: string; readonly jwtFile: string };

/** The server knows the edge, and does not let it do this. */
export class NotAllowed extends Error {
  override readonly name = "NotAllowed";
}

interface Token {
  readonly text: string;
  /** On the monotonic clock; infinite for a token that does not end. */
  readonly endsMs: number;
  readonly renewable: boolean;
}

const RENEW_AT = 2 / 3;
const RETRY_RENEWAL_MS = 10_000;

export class Session {
  readonly #server: Server;
  readonly #login: Login;
  readonly #clock: Clock;
  readonly #log: PluginLog;
  readonly #stop = new AbortController();
  #token: Token | undefined;
  #loggingIn: Promise<Token> | undefined;
  #timer: Timer | undefined;
  lastFailure: string | undefined;

  constructor(server: Server, login: Login, clock: Clock, log: PluginLog) {
    this.#server = server;
    this.#login = login;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Makes a call as the edge; logs in first where that is needed, and once more when the token is no good.
   *
   * @throws {NotAllowed} when the token is good and the call is not allowed. @throws {ServerError}
   */
  async call(
    method: "GET" | "POST" | "PUT",
    path: string,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      const token = await this.#usable();
      const answer = await this.#server.call(method, path, token.text, body, signal);
      if (answer.status !== 403) {
        this.lastFailure = undefined;
        return answer;
      }
      const reason = errorsOf(answer);
      if (await this.#isGood(token, signal)) throw new NotAllowed(`the server does not allow ${path}: ${reason}`);
      if (this.#token === token) this.#token = undefined;
      if (attempt > 0 || this.#login.kind === "token") {
        throw this.#failed(new ServerError(`the server refuses the token: ${reason}. Give the edge another one.`));
      }
    }
  }

  close(): void {
    this.#stop.abort();
    this.#timer?.cancel();
    this.#token = undefined;
  }

  async #usable(): Promise<Token> {
    if (this.#stop.signal.aborted) throw new ServerError("the source was closed");
    const token = this.#token;
    if (token !== undefined && this.#clock.monotonicMs() < token.endsMs && this.#isConfigured(token)) return token;
    this.#loggingIn ??= this.#logIn().finally(() => {
      this.#loggingIn = undefined;
    });
    return this.#loggingIn;
  }

  /** False once the operator has given the edge another token. */
  #isConfigured(token: Token): boolean {
    return this.#login.kind !== "token" || this.#login.token() === token.text;
  }

  async #logIn(): Promise<Token> {
    try {
      const given = this.#login.kind === "token" ? this.#login.token() : undefined;
      const answer = await this.#authenticate(given);
      if (answer.status !== 200) throw new ServerError(`the login was refused: ${errorsOf(answer)}`, answer);
      return this.#take(jsonOf(answer), given);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #authenticate(given: string | undefined): Promise<Answer> {
    const { signal } = this.#stop;
    const login = this.#login;
    switch (login.kind) {
      case "token":
        return this.#server.call("GET", "auth/token/lookup-self", given, undefined, signal);
      case "approle": {
        const body = { role_id: login.roleId, secret_id: login.secretId() };
        return this.#server.call("POST", `auth/${login.mount}/login`, undefined, body, signal);
      }
      case "kubernetes": {
        let jwt: string;
        try {
          jwt = readFileSync(login.jwtFile, "utf8").trim();
        } catch (cause) {
          throw new ServerError(`the service account's token can't be read: ${messageOf(cause)}`, { cause });
        }
        return this.#server.call("POST", `auth/${login.mount}/login`, undefined, { role: login.role, jwt }, signal);
      }
    }
  }

  /** The token of a login or a renewal (`auth`), or that which was `given`, of a look-up (`data`). */
  #take({ auth, data }: Record<string, unknown>, given?: string): Token {
    const { client_token, lease_duration, renewable } = (auth ?? {}) as Record<string, unknown>;
    const found = (data ?? {}) as Record<string, unknown>;
    const text = given ?? client_token;
    if (typeof text !== "string") throw new ServerError("the login's answer has no token");
    const seconds = Number(lease_duration ?? found.ttl ?? 0);
    const token: Token = {
      text,
      endsMs: seconds > 0 ? this.#clock.monotonicMs() + seconds * 1_000 : Number.POSITIVE_INFINITY,
      renewable: (renewable ?? found.renewable) === true,
    };
    this.#token = token;
    this.lastFailure = undefined;
    this.#timer?.cancel();
    if (token.renewable && seconds > 0) this.#renewAfter(seconds * 1_000 * RENEW_AT);
    return token;
  }

  #renewAfter(delayMs: number): void {
    this.#timer = this.#clock.schedule(delayMs, () => {
      void this.#renew().catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        this.#log.warn({ reason: messageOf(error) }, "the token can't be renewed");
        this.#renewAfter(RETRY_RENEWAL_MS);
      });
    });
  }

  async #renew(): Promise<void> {
    const token = this.#token;
    if (token === undefined || this.#clock.monotonicMs() >= token.endsMs) return;
    const answer = await this.#server.call("POST", "auth/token/renew-self", token.text, {}, this.#stop.signal);
    if (answer.status !== 200) throw new ServerError(errorsOf(answer));
    const renewed = jsonOf(answer);
    const seconds = Number((renewed.auth as Record<string, unknown> | undefined)?.lease_duration ?? 0);
    const leftMs = token.endsMs - this.#clock.monotonicMs();
    // At its longest life a token is renewed to what is left only: then a new login is due.
    if (this.#login.kind !== "token" && seconds * 1_000 <= leftMs) await this.#logIn();
    else this.#take(renewed, this.#login.kind === "token" ? token.text : undefined);
  }

  async #isGood(token: Token, signal: AbortSignal): Promise<boolean> {
    const answer = await this.#server.call("GET", "auth/token/lookup-self", token.text, undefined, signal);
    return answer.status === 200;
  }

  #failed(error: unknown): unknown {
    this.lastFailure = messageOf(error);
    return error;
  }
}
