/** HTTP/1.1 with one caller of a listener: admission, the hot path, and everything else by way of a `Request`. */

import type { ConnectionActivity } from "../../base/network/connections.ts";
import {
  type Http1Answer,
  type Http1Head,
  type Http1Request,
  type Http1Socket,
  serveHttp1,
} from "../../base/network/http1.ts";
import { type Problem, problem, problemOf, writeProblem } from "../../base/network/problem.ts";
import { type CallerLoad, type RequestGate, TOO_LARGE } from "../../base/network/request-gate.ts";
import type { Principal } from "../access/principal.ts";
import type { ListenerLimits, QuickHandler } from "./listener.ts";

export interface Http1Caller {
  readonly scheme: "http" | "https";
  /** Undefined: each request brings its own proof of who sends it. */
  readonly principal: Principal | undefined;
  readonly load: CallerLoad;
  /** An answer turns a request away by its head, and ends the connection. */
  readonly refusalOf: (head: Http1Head) => Http1Answer | undefined;
  readonly answer: (request: Request) => Response | Promise<Response>;
  readonly quick: QuickHandler | undefined;
  readonly gate: RequestGate;
  readonly limits: Pick<ListenerLimits, "headerBytesMax" | "bodyBytesMax">;
  readonly activity: ConnectionActivity;
  readonly onError: (error: unknown) => void;
}

export function speakHttp1(socket: Http1Socket, caller: Http1Caller): void {
  const { scheme, principal, load, refusalOf, quick, gate, limits, activity, onError } = caller;
  /** Of the request that has been let in: one at a time. */
  let weight = 0;
  const leave = (): void => {
    gate.leave(load, weight);
    activity.requestEnded();
  };

  function answer(request: Http1Request): Http1Answer | Promise<Http1Answer> {
    const { method, target, headers, body } = request;
    if (method === "POST" && principal !== undefined && quick !== undefined) {
      const answer = quick(target, body.toString("utf8"), principal, headers.fields);
      if (answer !== undefined) return answer;
    }
    let web: Request;
    try {
      const bodyless = method === "GET" || method === "HEAD";
      web = new Request(`${scheme}://${headers.fields.get("host") || "localhost"}${target}`, {
        method,
        headers: [...headers.fields],
        ...(bodyless ? {} : { body: new Uint8Array(body) }),
      });
    } catch {
      return problemAnswer(problem(400, "invalid_request", "This is not a request that is taken here."));
    }
    const response = caller.answer(web);
    return response instanceof Promise ? response.then(fromResponse) : fromResponse(response);
  }

  const last = (answer: Http1Answer): Http1Answer => (activity.closing ? { ...answer, close: true } : answer);
  const failed = (error: unknown): Http1Answer => {
    onError(error);
    return problemAnswer(problemOf(error));
  };

  serveHttp1(socket, {
    maxHeaderBytes: limits.headerBytesMax,
    maxBodyBytes: limits.bodyBytesMax,
    admit(head) {
      const refused = refusalOf(head);
      if (refused !== undefined) return refused;
      weight = head.contentLength ?? 0;
      const turnedAway = gate.enter(load, weight);
      if (turnedAway !== undefined) return problemAnswer(turnedAway.details, turnedAway.retryAfterMs);
      activity.requestBegan();
      return undefined;
    },
    bodyGrew(bytes) {
      const turnedAway = gate.grow(load, weight, bytes);
      if (turnedAway !== undefined) return problemAnswer(turnedAway.details, turnedAway.retryAfterMs);
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
      if (status === 413) return problemAnswer(TOO_LARGE.details);
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

/** Refuses and ends the connection: what comes after on it is not read as a request. */
export function problemAnswer(details: Problem, retryAfterMs?: number): Http1Answer {
  return { ...writeProblem(details, retryAfterMs), close: true };
}

async function fromResponse(response: Response): Promise<Http1Answer> {
  const body = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: Object.fromEntries(response.headers), body };
}
