/** HTTP/1.1 with one caller of a listener: admission, the listener's doors, and everything else by way of a `Request`. */

import type { CryptoEdgeError } from "../../base/errors.ts";
import type { ConnectionActivity } from "../../base/network/connections.ts";
import {
  type Http1Answer,
  type Http1Head,
  type Http1Request,
  type Http1Socket,
  serveHttp1,
} from "../../base/network/http1.ts";
import { type Problem, problem, problemOf, writeError, writeProblem } from "../../base/network/problem.ts";
import { type CallerLoad, type RequestGate, TOO_LARGE } from "../../base/network/request-gate.ts";
import type { TokenVerifier } from "../access/bearer-token.ts";
import type { DoorConnection, DoorRequestHead } from "../doors/door.ts";
import { answerAtDoor, doorHead, missing, refusalAtDoor } from "./door-requests.ts";
import type { DoorRoutes, RouteMatch, RouteMissing } from "./door-routes.ts";
import type { ListenerLimits, QuickHandler } from "./listener.ts";

export interface Http1Caller {
  readonly connection: DoorConnection;
  readonly load: CallerLoad;
  /** An error turns a request away by its head, and ends the connection. */
  readonly refusalOf: (head: Http1Head) => CryptoEdgeError | undefined;
  /** The native door; undefined where the listener has none. */
  readonly answer: ((request: Request) => Response | Promise<Response>) | undefined;
  readonly quick: QuickHandler | undefined;
  /** The other doors; undefined where there are none. */
  readonly doors: DoorRoutes | undefined;
  readonly tokens: TokenVerifier | undefined;
  readonly gate: RequestGate;
  readonly limits: Pick<ListenerLimits, "headerBytesMax" | "bodyBytesMax">;
  readonly activity: ConnectionActivity;
  readonly onError: (error: unknown) => void;
  readonly onRefused: (error: CryptoEdgeError) => void;
}

/** The request that is being read or answered: which door it is at. */
interface AtDoor {
  readonly found: RouteMatch | RouteMissing;
  readonly head: DoorRequestHead;
}

export function speakHttp1(socket: Http1Socket, caller: Http1Caller): void {
  const { connection, load, refusalOf, quick, doors, tokens, gate, limits, activity, onError } = caller;
  const { principal } = connection;
  /** Of the request that has been let in: one at a time. */
  let weight = 0;
  let atDoor: AtDoor | undefined;
  const leave = (): void => {
    gate.leave(load, weight);
    activity.requestEnded();
  };

  /** Undefined: the native door's. */
  function doorOf(head: Http1Head): AtDoor | undefined {
    if (doors === undefined) return undefined;
    const asDoor = doorHead(head, connection);
    const found = doors.find(asDoor.method, asDoor.path);
    if (found.route === undefined && found.allow.length === 0 && caller.answer !== undefined) return undefined;
    return { found, head: asDoor };
  }

  function refuse(error: CryptoEdgeError): Http1Answer {
    if (atDoor === undefined) return errorAnswer(error);
    return refusalAtDoor(atDoor.found.door, error, atDoor.head, { close: true });
  }

  function answer(request: Http1Request): Http1Answer | Promise<Http1Answer> {
    const { method, target, headers, body } = request;
    if (atDoor !== undefined) return answerDoor(atDoor, body);
    if (method === "POST" && principal !== undefined && quick !== undefined) {
      const answer = quick(target, body.toString("utf8"), principal, headers.fields);
      if (answer !== undefined) return answer;
    }
    let web: Request;
    try {
      const bodyless = method === "GET" || method === "HEAD";
      const scheme = connection.kind === "https" ? "https" : "http";
      web = new Request(`${scheme}://${headers.fields.get("host") || "localhost"}${target}`, {
        method,
        headers: [...headers.fields],
        ...(bodyless ? {} : { body: new Uint8Array(body) }),
      });
    } catch {
      return problemAnswer(problem(400, "invalid_request", "This is not a request that is taken here."));
    }
    const response = caller.answer!(web);
    return response instanceof Promise ? response.then(fromResponse) : fromResponse(response);
  }

  function answerDoor({ found, head }: AtDoor, body: Uint8Array): Http1Answer | Promise<Http1Answer> {
    if (found.route !== undefined) return answerAtDoor(found, { ...head, body }, tokens, caller.onRefused);
    const { door, allow } = found;
    return refusalAtDoor(door, missing(allow, head), head, allow.length === 0 ? {} : { allow });
  }

  const last = (answer: Http1Answer): Http1Answer => (activity.closing ? { ...answer, close: true } : answer);
  const failed = (error: unknown): Http1Answer => {
    onError(error);
    if (atDoor === undefined) return problemAnswer(problemOf(error));
    return refusalAtDoor(atDoor.found.door, error, atDoor.head, { close: true });
  };

  serveHttp1(socket, {
    maxHeaderBytes: limits.headerBytesMax,
    maxBodyBytes: limits.bodyBytesMax,
    admit(head) {
      atDoor = doorOf(head);
      const refused = refusalOf(head);
      if (refused !== undefined) return refuse(refused);
      weight = head.contentLength ?? 0;
      if (weight > (atDoor?.found.route?.bodyBytesMax ?? limits.bodyBytesMax)) return refuse(TOO_LARGE);
      const turnedAway = gate.enter(load, weight);
      if (turnedAway !== undefined) return refuse(turnedAway);
      activity.requestBegan();
      return undefined;
    },
    bodyGrew(bytes) {
      if (bytes > (atDoor?.found.route?.bodyBytesMax ?? limits.bodyBytesMax)) return refuse(TOO_LARGE);
      const turnedAway = gate.grow(load, weight, bytes);
      if (turnedAway !== undefined) return refuse(turnedAway);
      weight = bytes;
      return undefined;
    },
    answerWaits(bytes) {
      gate.charge(load, weight, weight + bytes);
      weight += bytes;
      activity.answerWaits();
    },
    answer(request) {
      try {
        const made = answer(request);
        return made instanceof Promise ? made.then(last, failed) : last(made);
      } catch (error) {
        return failed(error);
      }
    },
    refuse(status, reason) {
      if (status === 413) return errorAnswer(TOO_LARGE);
      return problemAnswer(problem(status, "invalid_request", `This is not a request that is taken here: ${reason}.`));
    },
    bodyAwaited: activity.bodyAwaited,
    bodyTaken: activity.bodyTaken,
    answered: leave,
    abandoned: leave,
    ended: activity.lastAnswered,
    failed: onError,
  });
}

function errorAnswer(error: CryptoEdgeError): Http1Answer {
  return { ...writeError(error), close: true };
}

/** Refuses and ends the connection: what comes after on it is not read as a request. */
function problemAnswer(details: Problem): Http1Answer {
  return { ...writeProblem(details), close: true };
}

async function fromResponse(response: Response): Promise<Http1Answer> {
  const body = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: Object.fromEntries(response.headers), body };
}
