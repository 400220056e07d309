/**
 * A front door: a protocol that applications speak already, served over the edge's own operations. The port. Doors keep no state:
 * what the client keeps is the edge's blob. They run under the listener's limits, and know operations, never the cache or the cipher.
 *
 * Whatever a caller sends, a door answers in its protocol's own words: it never throws for bad input, and never answers with a
 * success that isn't one (`../../../docs/doors.md`).
 */

import type { OperationError } from "../../base/errors.ts";
import type { LogPort } from "../../base/log-port.ts";
import type { AnswerText } from "../../base/network/http1/answer-text.ts";
import type { Principal } from "../access/principal.ts";
import type { Caller, MaybePromise, Operations } from "../operations/operations.ts";

/** Made once a listener that names it, from the door's section of the configuration. */
export type Door = HttpDoor | SocketDoor;

/** What a door is lent when it is made. */
export interface DoorContext {
  readonly operations: Operations;
  readonly log: DoorLog;
  /** The edge's clock: milliseconds since 1970, and those of a clock that never goes back. */
  readonly now: { wallMs(): number; monotonicMs(): number };
  /** Of the product, where a protocol asks for one. */
  readonly version: string;
  /** Whether the edge can serve now, and why not, as `/readyz` has it: from memory. */
  readonly readiness: () => { readonly ready: boolean; readonly reason?: string };
}

/** A door's log: its lines carry the door's name, and shapes of keys are masked. */
export type DoorLog = LogPort;

/** The head of a request, as it came: nothing decoded, nothing normalized. */
export interface DoorRequestHead {
  /** As sent: `POST`, `LIST` … */
  readonly method: string;
  /** The target's path, percent-encoded as sent, without the query. */
  readonly path: string;
  /** Without the question mark; empty where there is none. */
  readonly query: string;
  /** By name in lower case; a header that came several times is joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  /** What the connection itself proves. */
  readonly connection: DoorConnection;
}

/** What a connection proves of its peer, known before the first request on it. */
export interface DoorConnection {
  readonly kind: "http" | "https" | "unix" | "tls";
  /** Of a plain listener its own, of a TLS listener that of the client certificate; undefined where nothing is proven yet. */
  readonly principal: Principal | undefined;
  /** The peer's address; undefined on a Unix socket. */
  readonly peer: string | undefined;
  /** DER of the certificate that the peer has shown and whose key it has proven; undefined without one. */
  readonly peerCertificate: Uint8Array | undefined;
  /** What the peer sent behind that certificate, in its order: whose keys they are is not proven. Empty where it sent no more. */
  readonly otherCertificates: readonly ShownCertificate[];
  /**
   * Verifies a bearer token that came elsewhere than in the head, as at a login: by the listener's issuers, who are the same that count for
   * requests. Undefined where the listener takes no tokens. @throws {OperationError} `unauthenticated`, or rejects with it
   */
  readonly verifyToken?: ((token: string) => MaybePromise<Principal>) | undefined;
}

/** A certificate that a peer sent behind its own, in DER; nothing of it is verified. */
export interface ShownCertificate {
  readonly der: Uint8Array;
  /** CA:TRUE: it makes others, and is no caller's. */
  readonly isAuthority: boolean;
}

/** A whole request: its head and its body. */
export interface DoorRequest extends DoorRequestHead {
  /**
   * Whole; a view of what was received, which the door may change. It is good until the handler has returned (or its promise settled): then the
   * memory of a long one is another's.
   */
  readonly body: Uint8Array;
  /**
   * Counts bytes that the answer will take against the caller, before work of that size begins: a batch, for example. An error refuses:
   * `rate_limited`, `overloaded`. It is given back with the answer.
   */
  reserve(bytes: number): OperationError | undefined;
}

/** What the listener sends back: status, headers and body. */
export interface DoorAnswer {
  readonly status: number;
  /** In the capitals in which they go out (`Content-Type`). `Content-Length` and `Date` are the listener's. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * A string holds ASCII or UTF-8; bytes go to the listener, who writes them and does not wipe them. The process's `answerText` is for answers
   * that are returned at once, never for those of a promise. A stream (of events) is written as it
   * comes, at the caller's pace, and cancelled when the caller has gone; its connection ends with it.
   */
  readonly body: string | Uint8Array | AnswerText | ReadableStream<Uint8Array>;
  /** The body is a Buffer of memory that only it has, and that is used again (`longMemory`): wiped once it has been sent, where that can be told. */
  readonly lent?: boolean;
}

/** One address of a door, with its limit and its handler. */
export interface DoorRoute {
  /**
   * As sent, exactly. Several routes with one path make up what `Allow` says. Who takes `GET` takes `HEAD` too: the listener leaves the body
   * away.
   */
  readonly methods: readonly string[];
  /**
   * Path segments; `:name` matches one that is not empty, `*name` as the last the whole rest, which may be empty. Matched against the path
   * as sent, not decoded: `/a%2Fb` has one segment. Of routes that match, the first in the door's list is taken.
   */
  readonly path: string;
  /** The longest body, in bytes. */
  readonly bodyBytesMax: number;
  /** Must neither throw nor reject: errors of operations are written by the door. `parameters`: as sent, not decoded. */
  handle(request: DoorRequest, caller: Caller, parameters: Readonly<Record<string, string>>): MaybePromise<DoorAnswer>;
  /** Without a principal: answered to anyone. The caller's principal is then `anonymous`, where the connection proves none. */
  readonly open?: boolean;
  /**
   * Of an open route: what probes ask, answered from memory. Counted in no one's share, so that health is told whatever callers do; takes
   * no body.
   */
  readonly probe?: boolean;
  /**
   * Looks at the start of a long body while the rest is on its way, from `START_BYTES` on and each time it has doubled: an answer, where the whole
   * would be refused whatever comes, ends the request and its connection. Must neither throw nor change or keep `body`, which is a view.
   */
  refuseByStart?(head: DoorRequestHead, body: Uint8Array): DoorAnswer | undefined;
}

/** What has come of a body when its start is first looked at: the longest item, and 64 KiB of space in each place. */
export const START_BYTES = 589_824;

/** A door whose protocol is HTTP/1.1: the listener reads requests, counts them, proves their callers and writes the answers. */
export interface HttpDoor {
  readonly name: string;
  readonly transport: "http";
  readonly routes: readonly DoorRoute[];
  /**
   * Who sends this, where the connection does not prove it: from the head alone, before a body is read. A bearer token that the
   * protocol carries elsewhere is given as `token`, and the listener verifies it by its issuers; `unproven` puts the proof off until the
   * body is there (`prove`). Not asked where the listener's own principal or a client certificate decides.
   */
  identify?(head: DoorRequestHead): DoorIdentity;
  /** The proof that needs the body (a signature over it). @throws {OperationError} `unauthenticated` */
  prove?(request: DoorRequest): Principal;
  /**
   * An error in the protocol's own words, made from the head alone, since no body may have been read: of the gate (401, 413, 429, 503), of routing (404, 405), or thrown by `prove`. `error` is a
   * `OperationError` (with `code`, `status` and `retryAfterMs`), anything else is a defect, logged already, and told as such. `Allow` of a
   * 405 is the listener's. Of paths that no door has, the door whose routes come nearest is asked.
   */
  refuse(error: unknown, head: DoorRequestHead): DoorAnswer;
}

/** What the head of a request says of who sends it (`HttpDoor.identify`). */
export type DoorIdentity =
  | { readonly kind: "token"; readonly token: string }
  | { readonly kind: "proven"; readonly principal: Principal }
  /** `load`: what its requests are counted under until then: a name that the door knows, never one that any stranger can make up. */
  | { readonly kind: "unproven"; readonly load: string }
  | { readonly kind: "none" }
  /** What is proven can't count: the request is answered with this error, by `refuse`. */
  | { readonly kind: "refused"; readonly error: OperationError };

/** A door with a protocol of its own on a stream of bytes. */
export interface SocketDoor {
  readonly name: string;
  readonly transport: "socket";
  /**
   * Serves one connection until it ends. Must not throw: a defect is logged and ends the connection. May return what ends it in the
   * protocol's own way: called once when the listener closes; the connection then has a second, in which operations are still let in.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: doors that have no such way return nothing
  serve(socket: DoorSocket, connection: DoorConnection, limits: SocketLimits): (() => void) | void;
}

/** The listener's bounds that a door with a protocol of its own must keep, and asks. */
export interface SocketLimits {
  /** The longest message. */
  readonly messageBytesMax: number;
  /** A connection on which nothing happens for so long is ended by the listener. */
  readonly idleTimeoutMs: number;
  /**
   * Asks the gate for one more operation in flight of `bytes`; false: refuse it as overloaded, in the protocol's words. Each that was let in
   * is ended by `leave` with the same number.
   */
  enter(bytes: number): boolean;
  leave(bytes: number): void;
  /**
   * Counts this connection against its address as one whose handshake was for nothing: of an address with too many of these, connections are
   * closed before their handshake. For connections beyond a door's own limits.
   */
  countAgainstAddress(): void;
}

/** A `node:stream` duplex, as node:net, node:tls and the listeners give it. */
export type DoorSocket = import("node:stream").Duplex;

/**
 * How a door is made: what the module of a built-in door exports as `door` (`edge/make-doors.ts` says where it is), and what a
 * plugin contributes beside its section's schema.
 */
export interface DoorFactory<Section = unknown> {
  /**
   * Once for each listener that names the door, with the checked section: that of the listener's entry, else that of `doors:`.
   *
   * @throws an error with a sentence, for a section that can never work: the edge then says where in the file, and does not start.
   */
  create(section: Section, context: DoorContext): Door | Promise<Door>;
}
