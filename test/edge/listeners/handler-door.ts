/** A door over a web-standard handler, which tests write more shortly than routes. */
import { writeError } from "../../../src/base/network/problem.ts";
import type { Principal } from "../../../src/edge/access/principal.ts";
import type { DoorAnswer, DoorRoute, HttpDoor } from "../../../src/edge/doors/door.ts";
import { DoorRoutes } from "../../../src/edge/listeners/door-routes.ts";

export type Handler = (request: Request, principal: Principal) => Response | Promise<Response>;

const METHODS = ["GET", "POST", "PUT", "DELETE"];

/** Takes every path; who calls is asked for, but at `/open`, and at `/probe`, which is counted nowhere. */
export function handlerDoor(handler: Handler, changes: Partial<HttpDoor> = {}): HttpDoor {
  const route = (path: string, more: Partial<DoorRoute> = {}): DoorRoute => ({
    methods: METHODS,
    path,
    bodyBytesMax: Number.MAX_SAFE_INTEGER,
    async handle({ method, path, query, headers, body }, { principal }) {
      const bodyless = method === "GET" || method === "HEAD";
      const request = new Request(`http://edge${path}?${query}`, {
        method,
        headers: [...headers],
        ...(bodyless ? {} : { body: Uint8Array.from(body) }),
      });
      return answerOf(await handler(request, principal));
    },
    ...more,
  });
  return {
    name: "handler",
    transport: "http",
    routes: [route("/open", { open: true }), route("/probe", { open: true, probe: true }), route("/*all")],
    refuse: (error) => writeError(error),
    ...changes,
  };
}

export const routesOf = (handler: Handler): DoorRoutes => new DoorRoutes([handlerDoor(handler)]);

async function answerOf(response: Response): Promise<DoorAnswer> {
  const body = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: Object.fromEntries(response.headers), body };
}
