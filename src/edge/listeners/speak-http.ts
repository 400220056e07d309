/** HTTP/1.1 with one connection of a listener: who calls and what it may use, from the head; then the doors. */
import { OperationError } from "../../base/errors.ts";
import type { ConnectionActivity } from "../../base/network/connections.ts";
import { serveHttp1 } from "../../base/network/http1/connection.ts";
import type { Http1Handler, Http1Request } from "../../base/network/http1/handler.ts";
import type { Http1Head } from "../../base/network/http1/head.ts";
import type { RefusalStatus } from "../../base/network/http1/refusal.ts";
import type { Http1Socket } from "../../base/network/http1/socket.ts";
import type { Http1Answer } from "../../base/network/http1/write.ts";
import { problem, writeProblem } from "../../base/network/problem.ts";
import { type RequestGate, TOO_LARGE } from "../../base/network/request-gate.ts";
import { RequestTrace } from "../../base/network/trace-context.ts";
import type { TokenVerifier } from "../access/bearer-token.ts";
import type { Principal } from "../access/principal.ts";
import { principalId } from "../access/principal-id.ts";
import { type DoorAnswer, type DoorConnection, type DoorRequestHead, START_BYTES } from "../doors/door.ts";
import type { DoorRoutes, RouteMatch, RouteMissing } from "./door-routes.ts";
import { anonymous, identifySender, type Sender, unknownSender } from "./identify.ts";
import type { ListenerLimits, ListenerLog } from "./listener.ts";
import { RequestAtDoor } from "./request-at-door.ts";
import { refusalByHead } from "./request-checks.ts";
import type { Share, Shares } from "./shares.ts";

/** What a listener says of one connection. */
export interface HttpConnection {
  readonly connection: DoorConnection;
  readonly doors: DoorRoutes;
  /** Of the principal that the connection proves; else that of strangers. */
  readonly share: Share;
  readonly shares: Shares;
  readonly gate: RequestGate;
  readonly tokens: TokenVerifier | undefined;
  /** An error turns a request away by its head, and ends the connection. */
  readonly refusalOf: (head: Http1Head) => OperationError | undefined;
  /** A request has proven who sends it, where the connection does not. An error turns it away. */
  readonly onKnown: ((share: Share) => OperationError | undefined) | undefined;
  readonly limits: Pick<ListenerLimits, "headerBytesMax" | "bodyBytesMax">;
  readonly activity: ConnectionActivity;
  readonly log: ListenerLog;
}

export function speakHttp(socket: Http1Socket, connection: HttpConnection): void {
  serveHttp1(socket, new HttpSpeaker(connection));
}

/** What a head says, looked at once for all requests of the connection that have it. */
interface SeenHead {
  readonly of: Http1Head;
  readonly head: DoorRequestHead;
  readonly found: RouteMatch | RouteMissing;
  readonly refused: OperationError | undefined;
  readonly bodyBytesMax: number;
}

const LOOKED_MAX = 8;
const NO_BODY: Readonly<Record<string, string>> = { Allow: "GET, HEAD, POST, OPTIONS" };

/** Requests come one at a time: what is kept of one is kept here. */
class HttpSpeaker implements Http1Handler {
  readonly maxHeaderBytes: number;
  readonly maxBodyBytes: number;
  readonly #of: HttpConnection;
  /** Of a connection that proves who calls. */
  readonly #proven: Sender | undefined;
  #seen: SeenHead | undefined;
  readonly #looked = new Map<Http1Head, SeenHead>();
  #sender: Sender | undefined;
  /** What it is counted in, and with how many bytes; undefined for what is not counted. */
  #share: Share | undefined;
  #weight = 0;
  /** How long the body is when its start is looked at next. */
  #nextLook = START_BYTES;
  readonly #reserve = (bytes: number): OperationError | undefined => this.#grow(this.#weight + bytes);

  constructor(connection: HttpConnection) {
    this.#of = connection;
    const { principal } = connection.connection;
    this.#proven = principal === undefined ? undefined : { principal };
    this.maxHeaderBytes = connection.limits.headerBytesMax;
    this.maxBodyBytes = connection.limits.bodyBytesMax;
  }

  admit(head: Http1Head): Http1Answer | undefined | Promise<Http1Answer | undefined> {
    this.#share = undefined;
    this.#sender = undefined;
    this.#weight = head.contentLength ?? 0;
    this.#nextLook = START_BYTES;
    if (this.#seen?.of !== head) this.#seen = this.#lookOnce(head);
    const { found, refused, head: asDoor } = this.#seen;
    const turnedAway = this.#of.refusalOf(head) ?? refused;
    if (turnedAway !== undefined) return this.#refuse(turnedAway);
    if (found.route === undefined) return this.#letIn(this.#of.share);
    if (found.route.probe === true) return this.#begin();
    if (this.#proven !== undefined) {
      this.#sender = this.#proven;
      return this.#letIn(this.#of.share);
    }
    try {
      const sender = identifySender(found, asDoor, this.#of.tokens);
      return sender instanceof Promise ? this.#admitLater(sender) : this.#known(sender);
    } catch (error) {
      return this.#unknown(error);
    }
  }

  /** While a token is verified, its bearer is a stranger. */
  async #admitLater(sender: Promise<Sender>): Promise<Http1Answer | undefined> {
    const { gate, share } = this.#of;
    const turnedAway = gate.enter(share, 0);
    // Nobody waits for this one then.
    if (turnedAway !== undefined) {
      sender.catch(() => undefined);
      return this.#refuse(turnedAway);
    }
    try {
      const known = await sender.finally(() => gate.leave(share, 0));
      return this.#known(known);
    } catch (error) {
      return this.#unknown(error);
    }
  }

  #known(sender: Sender): Http1Answer | undefined {
    this.#sender = sender;
    const { share, shares, onKnown } = this.#of;
    if ("unproven" in sender) return this.#letIn(shares.of(`unproven ${sender.unproven}`));
    if (sender.principal.kind === "anonymous") return this.#letIn(share);
    const own = shares.of(principalId(sender.principal));
    const turnedAway = onKnown?.(own);
    return turnedAway === undefined ? this.#letIn(own) : this.#refuse(turnedAway);
  }

  #letIn(share: Share): Http1Answer | undefined {
    const turnedAway = this.#of.gate.enter(share, this.#weight);
    if (turnedAway !== undefined) {
      this.#of.shares.release(share);
      return this.#refuse(turnedAway);
    }
    this.#share = share;
    return this.#begin();
  }

  #begin(): undefined {
    this.#of.activity.requestBegan();
    return undefined;
  }

  /** What a connection's heads say is kept as long as they are, give or take a few. */
  #lookOnce(head: Http1Head): SeenHead {
    let seen = this.#looked.get(head);
    if (seen === undefined) {
      if (this.#looked.size >= LOOKED_MAX) this.#looked.clear();
      seen = this.#look(head);
      this.#looked.set(head, seen);
    }
    return seen;
  }

  #look(of: Http1Head): SeenHead {
    const { method, target, headers, contentLength = 0, chunked } = of;
    const { connection, doors, limits } = this.#of;
    const question = target.indexOf("?");
    const path = question < 0 ? target : target.slice(0, question);
    const query = question < 0 ? "" : target.slice(question + 1);
    const found = doors.find(method, path);
    // Where nothing is served no body is read.
    const bodyBytesMax = Math.min(found.route?.bodyBytesMax ?? 0, limits.bodyBytesMax);
    let refused = refusalByHead(of);
    if (found.route === undefined && (chunked || contentLength > 0)) refused ??= missing(found, method);
    if (contentLength > bodyBytesMax) refused ??= TOO_LARGE;
    return { of, head: { method, path, query, headers: headers.fields, connection }, found, refused, bodyBytesMax };
  }

  bodyGrew(body: Buffer): Http1Answer | undefined {
    const { head, found, bodyBytesMax } = this.#seen!;
    const refused = body.length > bodyBytesMax ? TOO_LARGE : this.#grow(body.length);
    if (refused !== undefined) return this.#refuse(refused);
    if (body.length < this.#nextLook) return undefined;
    this.#nextLook = 2 * body.length;
    const answer = found.route?.refuseByStart?.(head, body);
    return answer === undefined ? undefined : { ...answer, close: true };
  }

  #grow(to: number): OperationError | undefined {
    if (this.#share === undefined || to <= this.#weight) return undefined;
    const refused = this.#of.gate.grow(this.#share, this.#weight, to);
    if (refused === undefined) this.#weight = to;
    return refused;
  }

  answer({ body }: Http1Request): Http1Answer | Promise<Http1Answer> {
    const { found, head, of } = this.#seen!;
    try {
      if (found.route === undefined) return of.target === "*" ? this.#aboutServer() : this.#missing(found, head);
      const { door, route, parameters } = found;
      const request = new RequestAtDoor(door.name, this.#principal(found, head, body), head, body, this.#reserve);
      const answer = route.handle(request, request, parameters);
      return answer instanceof Promise ? answer.then(this.#last, this.#failed) : this.#last(answer);
    } catch (error) {
      return this.#failed(error);
    }
  }

  #principal({ door }: RouteMatch, head: DoorRequestHead, body: Uint8Array): Principal {
    const sender = this.#sender;
    if (sender === undefined) return anonymous(head.connection);
    if ("principal" in sender) return sender.principal;
    if (door.prove === undefined) throw unknownSender();
    const request = new RequestAtDoor(door.name, anonymous(head.connection), head, body, this.#reserve);
    return door.prove(request);
  }

  #missing(found: RouteMissing, head: DoorRequestHead): Http1Answer {
    return this.#last(this.#write(missing(found, head.method)));
  }

  /** `OPTIONS *` (RFC 9110, 9.3.7). */
  #aboutServer(): Http1Answer {
    return this.#last({ status: 200, headers: NO_BODY, body: "" });
  }

  readonly #last = (answer: DoorAnswer): Http1Answer =>
    this.#of.activity.closing ? { ...answer, close: true } : answer;

  readonly #failed = (error: unknown): Http1Answer => {
    if (error instanceof OperationError) {
      if (error.code === "unauthenticated") this.#logUnknown(error);
      return this.#last(this.#write(error));
    }
    this.#of.log.error(
      { ...new RequestTrace(this.#seen!.head).fields, err: error },
      "a request failed by a defect of the edge",
    );
    return { ...this.#write(error), close: true };
  };

  #unknown(error: unknown): Http1Answer {
    if (!(error instanceof OperationError)) return this.#failed(error);
    this.#logUnknown(error);
    return this.#refuse(error);
  }

  #logUnknown({ message: reason }: OperationError): void {
    const { head } = this.#seen!;
    const { log, connection } = this.#of;
    log.warn({ ...new RequestTrace(head).fields, remoteAddress: connection.peer, reason }, "a caller was not known");
  }

  /** In the door's words. */
  #write(error: unknown): DoorAnswer {
    const { found, head } = this.#seen!;
    const answer = found.door.refuse(error, head);
    if (found.route !== undefined || found.allow.length === 0) return answer;
    return { ...answer, headers: { ...answer.headers, Allow: found.allow.join(", ") } };
  }

  /** Ends the connection too: a body may come that nobody reads. */
  #refuse(error: OperationError): Http1Answer {
    return { ...this.#write(error), close: true };
  }

  refuse(status: RefusalStatus, reason: string): Http1Answer {
    if (status === 413 && this.#seen !== undefined) return this.#refuse(TOO_LARGE);
    const sentence = `This is not a request that is taken here: ${reason}.`;
    const code = status === 413 ? "too_large" : "invalid_request";
    return { ...writeProblem(problem(status, code, sentence)), close: true };
  }

  bodyAwaited(): void {
    this.#of.activity.bodyAwaited();
  }

  bodyTaken(): void {
    this.#of.activity.bodyTaken();
  }

  answerWaits(bytes: number): void {
    if (this.#share !== undefined) {
      this.#of.gate.charge(this.#share, this.#weight, this.#weight + bytes);
      this.#weight += bytes;
    }
    this.#of.activity.answerWaits();
  }

  answerStreams(): void {
    this.#of.activity.answerStreams();
  }

  answerFlows(): void {
    this.#of.activity.answerFlows();
  }

  answered(): void {
    this.#leave();
  }

  abandoned(): void {
    this.#leave();
  }

  #leave(): void {
    const share = this.#share;
    if (share !== undefined) {
      this.#of.gate.leave(share, this.#weight);
      if (share.connections <= 0) this.#of.shares.release(share);
      this.#share = undefined;
    }
    this.#of.activity.requestEnded();
  }

  ended(): void {
    this.#of.activity.lastAnswered();
  }

  failed(error: unknown): void {
    this.#of.log.error({ err: error }, "a connection failed by a defect of the edge");
  }
}

function missing({ allow }: RouteMissing, method: string): OperationError {
  return allow.length === 0
    ? new OperationError("not_found", "There is nothing at this path.")
    : new OperationError("method_not_allowed", `There is no ${method} here. It takes ${allow.join(", ")}.`);
}
