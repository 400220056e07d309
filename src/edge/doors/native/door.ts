/** The edge's own API as a front door. */
import { OperationError } from "../../../base/errors.ts";
import { writeError } from "../../../base/network/problem.ts";
import { RequestTrace } from "../../../base/network/trace-context.ts";
import { roomFor } from "../../../base/time/turns.ts";
import type { Caller, MaybePromise } from "../../operations/operations.ts";
import type { DoorAnswer, DoorRequest, DoorRequestHead, DoorRoute, HttpDoor } from "../door.ts";
import type { AppParts, NativeCall } from "./app.ts";
import { GET_ROUTES } from "./get-routes.ts";
import { INTROSPECTION } from "./introspection.ts";
import type { ItemsRoute, OperationRoute } from "./route.ts";
import { ROUTES } from "./routes.ts";
import type { mistakeAtStart } from "./serve.ts";
import { JSON_TYPE, serveFast } from "./serve-fast.ts";

export interface NativeParts extends AppParts {
  /** Of a batch. */
  readonly bodyBytesMax: number;
  /** Told of every request that was not answered as asked: an expected error, or a defect (anything else). */
  readonly onFailure: (error: unknown, trace: RequestTrace) => void;
}

/** Of a slice of a turn: what the app takes for a request, beside what its operation takes. */
const PART_BY_APP = 1 / 8;

export interface NativeDoorOptions {
  /** Whether `/v1/status` and `/metrics` are served. */
  readonly administration: boolean;
  /** Whether well-formed requests go the short way, as they do; a test compares it with the long one. */
  readonly shortWay?: boolean;
}

/** Makes the app once; then a door for each listener. */
export function createNativeDoors(parts: NativeParts): (options: NativeDoorOptions) => HttpDoor {
  const { operations, onFailure } = parts;
  /** Loaded by the first request that needs it: those in the forms that clients write never do. */
  let loading: Promise<(call: NativeCall) => Promise<DoorAnswer>> | undefined;
  let judgeStart: typeof mistakeAtStart | undefined;
  const app = async (): Promise<(call: NativeCall) => Promise<DoorAnswer>> => {
    const { answerByApp, createApp } = await import("./app.ts");
    const made = createApp(parts);
    judgeStart = (await import("./serve.ts")).mistakeAtStart;
    return (call) => answerByApp(made, call);
  };

  function fail(error: unknown, { requestId }: Pick<Caller, "requestId">): DoorAnswer {
    const trace = requestId instanceof RequestTrace ? requestId : new RequestTrace({ headers: new Map() });
    onFailure(error, trace);
    return writeError(error, trace);
  }

  /** By the app that declares the route. */
  async function byApp(request: DoorRequest, caller: Caller): Promise<DoorAnswer> {
    const call: NativeCall = { request, caller, answer: undefined, failure: undefined };
    loading ??= app();
    await roomFor(PART_BY_APP);
    const answer = await (await loading)(call);
    return call.failure === undefined ? answer : fail(call.failure.error, caller);
  }

  function refuseByStart(route: ItemsRoute, head: DoorRequestHead, start: Uint8Array): DoorAnswer | undefined {
    loading ??= app();
    const mistake = judgeStart?.(route, head, start);
    return mistake === undefined ? undefined : fail(mistake, { requestId: new RequestTrace(head) });
  }

  function operationRoute(route: OperationRoute, shortWay: boolean): DoorRoute {
    const { path, bodyBytesMax = parts.bodyBytesMax } = route;
    const methods = ["POST"];
    if (route.kind !== "single" || !shortWay) {
      const long: DoorRoute = { methods, path, bodyBytesMax, handle: byApp };
      if (route.kind !== "items") return long;
      return { ...long, refuseByStart: (head, start) => refuseByStart(route, head, start) };
    }
    return {
      methods,
      path,
      bodyBytesMax,
      // What has the form that clients write is answered here, at once where the lease is held; everything else by the app.
      handle(request, caller): MaybePromise<DoorAnswer> {
        if (request.headers.get("content-type") !== JSON_TYPE) return byApp(request, caller);
        try {
          const answer = serveFast(route, operations, caller, request.body as Buffer);
          if (answer === undefined) return byApp(request, caller);
          return answer instanceof Promise ? answer.catch((error: unknown) => fail(error, caller)) : answer;
        } catch (error) {
          return fail(error, caller);
        }
      },
    };
  }

  function getHandler(id: string, shortWay: boolean): DoorRoute["handle"] {
    const light = shortWay ? INTROSPECTION[id] : undefined;
    if (light === undefined) return (request, caller) => byApp(request, caller);
    return async (request, caller) => {
      try {
        return await light(parts, request);
      } catch (error) {
        return fail(error, caller);
      }
    };
  }

  return ({ administration, shortWay = true }) => ({
    name: "native",
    transport: "http",
    routes: [
      ...ROUTES.map((route) => operationRoute(route, shortWay)),
      ...GET_ROUTES.filter((route) => administration || !route.administration).map(
        (route): DoorRoute => ({
          methods: ["GET"],
          path: route.path,
          bodyBytesMax: 0,
          open: route.for !== "caller",
          probe: route.for === "probe",
          handle: getHandler(route.id, shortWay),
        }),
      ),
    ],
    refuse: (error: unknown, head: DoorRequestHead) => writeError(pointed(error, head), new RequestTrace(head)),
  });
}

/** Of routing: where to look. */
function pointed(error: unknown, { method }: DoorRequestHead): unknown {
  if (!(error instanceof OperationError)) return error;
  if (error.code !== "not_found" && error.code !== "method_not_allowed") return error;
  return new OperationError(error.code, `There is no ${method} here. /openapi.json lists the operations.`);
}
