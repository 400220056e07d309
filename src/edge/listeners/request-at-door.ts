/** One request on its way through a door: what the door is given, and the caller of its operations, in one object. */
import type { OperationError } from "../../base/errors.ts";
import { type RequestId, RequestTrace } from "../../base/network/trace-context.ts";
import type { Principal } from "../access/principal.ts";
import type { DoorConnection, DoorRequest, DoorRequestHead } from "../doors/door.ts";
import type { Caller } from "../operations/operations.ts";

export class RequestAtDoor implements DoorRequest, Caller {
  readonly door: string;
  readonly principal: Principal;
  readonly body: Uint8Array;
  readonly reserve: (bytes: number) => OperationError | undefined;
  private readonly head: DoorRequestHead;
  private trace: RequestTrace | undefined;

  constructor(
    door: string,
    principal: Principal,
    head: DoorRequestHead,
    body: Uint8Array,
    reserve: (bytes: number) => OperationError | undefined,
  ) {
    this.door = door;
    this.principal = principal;
    this.head = head;
    this.body = body;
    this.reserve = reserve;
    this.trace = undefined;
  }

  get method(): string {
    return this.head.method;
  }

  get path(): string {
    return this.head.path;
  }

  get query(): string {
    return this.head.query;
  }

  get headers(): ReadonlyMap<string, string> {
    return this.head.headers;
  }

  get connection(): DoorConnection {
    return this.head.connection;
  }

  get requestId(): RequestId {
    this.trace ??= new RequestTrace(this.head);
    return this.trace;
  }
}
