/** The native door without a listener: asked as a listener asks it. */
import { allowAll, heldLeases, ignoreAll, PRINCIPAL } from "../../../../bench/harness/edge-in-process.ts";
import type { OperationError } from "../../../../src/base/errors.ts";
import { AnswerText } from "../../../../src/base/network/http1/answer-text.ts";
import { createNativeDoors, type NativeParts } from "../../../../src/edge/doors/native/door.ts";
import { DoorRoutes } from "../../../../src/edge/listeners/door-routes.ts";
import { RequestAtDoor } from "../../../../src/edge/listeners/request-at-door.ts";
import type { Caller } from "../../../../src/edge/operations/operations.ts";
import { createOperations } from "../../../../src/edge/operations/pipeline.ts";

export const operations = createOperations({
  access: allowAll,
  leases: heldLeases(),
  recorder: ignoreAll,
  cacheSeconds: () => 60,
});

export const caller: Caller = { principal: PRINCIPAL, door: "native", requestId: undefined };

export function nativeParts(changes: Partial<NativeParts> = {}): NativeParts {
  return {
    operations,
    readiness: () => ({ ready: true }),
    status: () => ({}),
    metrics: async () => "",
    revocations: { blocked: () => [], watch: () => () => undefined },
    bodyBytesMax: 1 << 24,
    onFailure() {},
    ...changes,
  };
}

export const routesOf = (parts: NativeParts, shortWay = true): DoorRoutes =>
  new DoorRoutes([createNativeDoors(parts)({ administration: true, shortWay })]);

export interface Asking {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly reserve?: (bytes: number) => OperationError | undefined;
}

export async function ask(routes: DoorRoutes, path: string, body: string | Uint8Array, asking: Asking = {}) {
  const { method = "POST", headers = {}, reserve = () => undefined } = asking;
  const found = routes.find(method, path);
  if (found.route === undefined) throw new Error(`there is no ${method} ${path}`);
  const fields = new Map(Object.entries({ "content-type": "application/json", "x-request-id": "r-1", ...headers }));
  const connection = {
    kind: "http",
    principal: PRINCIPAL,
    peer: "127.0.0.1",
    peerCertificate: undefined,
    otherCertificates: [],
  } as const;
  const head = { method, path, query: "", headers: fields, connection };
  // A copy: the short way may decode a body where it stands.
  const request = new RequestAtDoor("native", PRINCIPAL, head, Buffer.from(body as string), reserve);
  const answer = await found.route.handle(request, request, found.parameters);
  // As a listener does who can't send it at once.
  return answer.body instanceof AnswerText ? { ...answer, body: answer.body.take() } : answer;
}
