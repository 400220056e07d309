/**
 * A token of an HSM: found by its label, logged in once, with a pool of sessions. When the token goes away it is looked for
 * again at the next call, at most once a second. A PIN that was refused is never tried again, by any process of the edge: tokens lock after a few.
 */
import type { Clock } from "crypto-edge/plugin";
import pkcs11 from "pkcs11js";

export interface TokenOptions {
  /** The PKCS#11 library, such as /usr/lib/softhsm/libsofthsm2.so. */
  readonly module: string;
  /** The token's label. */
  readonly label: string;
  /** Read anew at each login, so that a file can be replaced. */
  readonly readPin: () => string;
  readonly sessions: number;
  readonly clock: Clock;
  readonly writable?: boolean;
  /** Runs the login: one at a time in all processes of an edge, and never again after a `PinError`. */
  readonly attempt: <Result>(name: string, run: () => Result | Promise<Result>) => Promise<Result>;
  /** Called when the connection comes and goes. */
  readonly onChange?: (message: string, isThere: boolean) => void;
}

/** The token, or its PIN, is not to be had. The message says what to do. */
export class TokenError extends Error {
  override readonly name: string = "TokenError";
}

/** The PIN was refused, or must not be tried: nobody tries it again before a person has looked. */
export class PinError extends TokenError {
  override readonly name = "TokenError";
}

/** A call's session, and the library to use it with. */
export interface TokenSession {
  readonly library: pkcs11.PKCS11;
  readonly handle: pkcs11.Handle;
  /** Throws when the token has gone: some libraries then find no object, and don't say why. */
  assertPresent(): void;
}

const RECONNECT_EVERY_MS = 1_000;

/** PKCS#11 results after which a session, or an object's handle, is worth nothing any more (PKCS#11 2.40, section 6.1). */
const LOST = new Set([
  0x05, // CKR_GENERAL_ERROR
  0x06, // CKR_FUNCTION_FAILED
  0x30, // CKR_DEVICE_ERROR
  0x32, // CKR_DEVICE_REMOVED
  0x60, // CKR_KEY_HANDLE_INVALID
  0x82, // CKR_OBJECT_HANDLE_INVALID
  0xb0, // CKR_SESSION_CLOSED
  0xb3, // CKR_SESSION_HANDLE_INVALID
  0xe0, // CKR_TOKEN_NOT_PRESENT
  0xe1, // CKR_TOKEN_NOT_RECOGNIZED
  0x101, // CKR_USER_NOT_LOGGED_IN
  0x190, // CKR_CRYPTOKI_NOT_INITIALIZED
]);

/** Results of a login that say that the PIN itself is no good, or that the token is locked. */
const PIN_REFUSED = new Set([0xa0, 0xa1, 0xa2, 0xa3, 0xa4]);
const ALREADY_LOGGED_IN = 0x100;
const TOKEN_NOT_PRESENT = 0xe0;

export class Token {
  readonly #options: TokenOptions;
  #library: pkcs11.PKCS11 | undefined;
  #slot: pkcs11.Handle | undefined;
  #free: pkcs11.Handle[] = [];
  #waiting: ((session: TokenSession | undefined) => void)[] = [];
  /** Grows with each connection: a session of an earlier one is not put back. */
  #connection = 0;
  #connected = false;
  #triedMs = Number.NEGATIVE_INFINITY;
  #pinRefused: string | undefined;
  #connecting: Promise<void> | undefined;
  #lastFailure = "not connected yet";
  #closed = false;
  #busy = 0;

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Why the token can't be used; undefined while it can. */
  get trouble(): string | undefined {
    return this.#pinRefused ?? (this.#connected ? undefined : this.#lastFailure);
  }

  /**
   * Calls `use` with a session of its own. Waits while all sessions are in use; connects where that is needed.
   *
   * @throws {TokenError} when there is no token to use
   */
  async use<Result>(use: (session: TokenSession) => Result | Promise<Result>): Promise<Result> {
    const session = await this.#take();
    const connection = this.#connection;
    this.#busy++;
    try {
      return await use(session);
    } catch (error) {
      if (LOST.has(codeOf(error) ?? 0)) {
        if (connection === this.#connection) this.#lose(describe(error));
        throw new TokenError(`the token "${this.#options.label}" failed: ${describe(error)}`, { cause: error });
      }
      throw error;
    } finally {
      this.#busy--;
      this.#giveBack(session, connection);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connected = false;
    this.#lastFailure = "closed";
    for (const resolve of this.#waiting.splice(0)) resolve(undefined);
    if (this.#busy === 0) this.#unload();
  }

  async #take(): Promise<TokenSession> {
    if (this.#closed) throw new TokenError("the token was closed");
    if (!this.#connected) await this.#connectOnce();
    const handle = this.#free.pop();
    if (handle !== undefined) {
      const library = this.#library!;
      const slot = this.#slot!;
      return { library, handle, assertPresent: () => this.#assertPresent(library, slot) };
    }
    const session = await new Promise<TokenSession | undefined>((resolve) => this.#waiting.push(resolve));
    if (session === undefined) throw new TokenError(`the token "${this.#options.label}" went away: ${this.trouble}`);
    return session;
  }

  #assertPresent(library: pkcs11.PKCS11, slot: pkcs11.Handle): void {
    const { label } = this.#options;
    if (library.C_GetTokenInfo(slot).label.trimEnd() === label) return;
    throw Object.assign(new Error(`another token is in the slot of "${label}"`), { code: TOKEN_NOT_PRESENT });
  }

  #giveBack(session: TokenSession, connection: number): void {
    if (this.#closed) {
      if (this.#busy === 0) this.#unload();
      return;
    }
    if (connection !== this.#connection || !this.#connected) return;
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(session.handle);
    else next(session);
  }

  #lose(reason: string): void {
    this.#connected = false;
    this.#connection++;
    this.#lastFailure = reason;
    this.#free = [];
    for (const resolve of this.#waiting.splice(0)) resolve(undefined);
    this.#options.onChange?.(`the token went away: ${reason}`, false);
  }

  /** However many calls wait for it. */
  #connectOnce(): Promise<void> {
    this.#connecting ??= this.#connectInTurn().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connectInTurn(): Promise<void> {
    try {
      await this.#options.attempt(`login to ${this.#options.label}`, () => this.#connect());
    } catch (error) {
      if (error instanceof PinError) this.#pinRefused = error.message;
      throw error;
    }
  }

  #connect(): void {
    if (this.#pinRefused !== undefined) throw new TokenError(this.#pinRefused);
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#triedMs < RECONNECT_EVERY_MS || this.#busy > 0) {
      throw new TokenError(`the token "${this.#options.label}" is away: ${this.#lastFailure}`);
    }
    this.#triedMs = nowMs;
    const { label, module } = this.#options;
    try {
      // From the start: a token that was taken out and put back shows only to a library that begins anew.
      this.#unload();
      const library = this.#load(module);
      const slot = this.#findSlot(library, label);
      let flags = pkcs11.CKF_SERIAL_SESSION;
      if (this.#options.writable === true) flags |= pkcs11.CKF_RW_SESSION;
      const handles = Array.from({ length: this.#options.sessions }, () => library.C_OpenSession(slot, flags));
      this.#login(library, slot, handles[0]!);
      this.#slot = slot;
      this.#free = handles;
      this.#connected = true;
      this.#options.onChange?.("the token is there", true);
    } catch (error) {
      this.#lastFailure = error instanceof TokenError ? error.message : describe(error);
      if (error instanceof TokenError) throw error;
      throw new TokenError(`the token "${label}" can't be used: ${describe(error)}`, { cause: error });
    }
  }

  #load(module: string): pkcs11.PKCS11 {
    const library = new pkcs11.PKCS11();
    try {
      library.load(module);
    } catch (error) {
      const text = `the PKCS#11 library ${module} can't be loaded: ${describe(error)}. Correct "module".`;
      throw new TokenError(text, { cause: error });
    }
    // Without this flag a library may take it that one thread calls it (PKCS#11 2.40, section 5.4), and keep no lock of its own.
    library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
    this.#library = library;
    return library;
  }

  #findSlot(library: pkcs11.PKCS11, label: string): pkcs11.Handle {
    const labels: string[] = [];
    for (const slot of library.C_GetSlotList(true)) {
      const found = library.C_GetTokenInfo(slot).label.trimEnd();
      if (found === label) return slot;
      if (found !== "") labels.push(`"${found}"`);
    }
    throw new TokenError(`there is no token "${label}"; there is ${labels.length === 0 ? "none" : labels.join(", ")}`);
  }

  #login(library: pkcs11.PKCS11, slot: pkcs11.Handle, session: pkcs11.Handle): void {
    const { label } = this.#options;
    const { flags } = library.C_GetTokenInfo(slot);
    if ((flags & pkcs11.CKF_USER_PIN_LOCKED) !== 0) {
      throw new PinError(`the PIN of the token "${label}" is locked: unlock it by its security officer, then restart`);
    }
    // One more wrong PIN locks the token: whether this one is right is for a person to find out.
    if ((flags & pkcs11.CKF_USER_PIN_FINAL_TRY) !== 0) {
      throw new PinError(
        `the token "${label}" has one try of its PIN left, which the edge does not use: log in once by hand with the right PIN, then restart`,
      );
    }
    try {
      library.C_Login(session, pkcs11.CKU_USER, this.#options.readPin());
    } catch (error) {
      const code = codeOf(error);
      if (code === ALREADY_LOGGED_IN) return;
      if (code === undefined || !PIN_REFUSED.has(code)) throw error;
      throw new PinError(
        `the token "${label}" refused the PIN (${describe(error)}). It is not tried again, since tokens lock: correct the PIN, then restart`,
      );
    }
  }

  #unload(): void {
    const library = this.#library;
    this.#library = undefined;
    if (library === undefined) return;
    // Either may fail when the token has gone; then there is nothing left to end.
    for (const end of [() => library.C_Finalize(), () => library.close()]) {
      try {
        end();
      } catch {}
    }
  }
}

function codeOf(error: unknown): number | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === "number" ? code : undefined;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
