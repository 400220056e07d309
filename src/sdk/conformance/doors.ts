/** The rules of front doors: docs/doors.md, and the contract in src/edge/doors/door.ts. */
import { Duplex } from "node:stream";
import { ERROR_CODES, type ErrorCode, messageOf, OperationError, type RequestErrorCode } from "../../base/errors.ts";
import type { Principal } from "../../edge/access/principal.ts";
import type { Door, DoorAnswer, DoorConnection, DoorRequestHead, HttpDoor, SocketDoor } from "../../edge/doors/door.ts";
import { DoorRoutes } from "../../edge/listeners/door-routes.ts";
import { RequestAtDoor } from "../../edge/listeners/request-at-door.ts";
import type { Operations } from "../../edge/operations/operations.ts";
import { broken, pause, type Rule, SOON_MS, within } from "./rules.ts";

/** Operations that all end with the error that is set, and say whether they were asked. */
export class RefusingOperations {
  code: ErrorCode = "access_denied";
  asked = 0;

  readonly operations: Operations = new Proxy({} as Operations, {
    get: (_target, name) => {
      if (name === "cacheSeconds") return () => 0;
      if (name === "namedServices") return () => [];
      return () => {
        this.asked++;
        throw new OperationError(this.code, SECRET_FREE, { retryAfterMs: 1_000 });
      };
    },
  });
}

const SECRET_FREE = "This is what the edge says.";
const DEFECT = "a-defect-that-callers-must-not-see";
const PRINCIPAL: Principal = { kind: "listener", name: "conformance-kit" };
const CONNECTION: DoorConnection = {
  kind: "https",
  principal: PRINCIPAL,
  peer: "192.0.2.1",
  peerCertificate: undefined,
  otherCertificates: [],
};
/** What a listener refuses by itself. */
const GATE: readonly (ErrorCode | RequestErrorCode)[] = [
  "unauthenticated",
  "too_large",
  "rate_limited",
  "not_found",
  "method_not_allowed",
  "unsupported_media_type",
  "cross_site_request",
  "misdirected_request",
  "overloaded",
];
/** Bodies that no client means. */
const BODIES: readonly Uint8Array[] = [
  "",
  "{",
  "null",
  "[]",
  "{}",
  '{"a":1,"a":2}',
  "\xff\xfe\x00",
  `${"[".repeat(5_000)}`,
  '{"tenant":"tenant-a","service":"billing","plaintext":"AAAA","ciphertext":"AAAA","wrapped":"AAAA"}',
].map((text) => Buffer.from(text, "latin1"));

export function doorRules(
  door: Door,
  name: string,
  transport: Door["transport"],
  refusing: RefusingOperations,
): Rule[] {
  const shape: Rule = {
    rule: "shape",
    title: "it has the name and the transport that it was contributed by",
    async run() {
      if (door.name !== name) throw broken(`its name is "${door.name}", not "${name}"`);
      if (door.transport !== transport) throw broken(`its transport is "${door.transport}", not "${transport}"`);
    },
  };
  return [shape, ...(door.transport === "http" ? httpRules(door, refusing) : socketRules(door))];
}

function httpRules(door: HttpDoor, refusing: RefusingOperations): Rule[] {
  const tries = door.routes.flatMap((route) => route.methods.map((method) => ({ route, method })));

  /** Asks a route as a listener does; whatever it does wrong breaks the rule. */
  async function ask(
    { route, method }: (typeof tries)[number],
    body: Uint8Array,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<DoorAnswer> {
    const path = samplePath(route.path);
    const fields = new Map(Object.entries({ host: "localhost", ...headers }));
    const head: DoorRequestHead = { method, path, query: "", headers: fields, connection: CONNECTION };
    const found = new DoorRoutes([door]).find(method, path);
    if (found.route === undefined) throw broken(`${method} ${path} is no path of its own`);
    const request = new RequestAtDoor(door.name, PRINCIPAL, head, Buffer.from(body), () => undefined);
    let answer: DoorAnswer;
    try {
      answer = await within(SOON_MS, found.route.handle(request, request, found.parameters), `${method} ${path}`);
    } catch (error) {
      throw broken(`${method} ${path} throws for what a caller may send: ${messageOf(error)}`);
    }
    checkAnswer(answer, `${method} ${path}`);
    return answer;
  }

  return [
    {
      rule: "routes",
      title: "its routes have methods, paths of segments, and limits",
      async run() {
        if (door.routes.length === 0) throw broken("it has none");
        new DoorRoutes([door]);
        for (const { methods, path, bodyBytesMax, open, probe } of door.routes) {
          if (methods.length === 0) throw broken(`${path} takes no method`);
          if (!Number.isSafeInteger(bodyBytesMax) || bodyBytesMax < 0) throw broken(`${path} has no bodyBytesMax`);
          if (probe === true && (open !== true || bodyBytesMax > 0)) {
            throw broken(`${path} is a probe, so it must be open and take no body`);
          }
        }
      },
    },
    {
      rule: "refuse",
      title: "refuse writes what the listener refuses, from the head alone",
      async run() {
        const head = { method: "POST", path: "/nowhere", query: "", headers: new Map(), connection: CONNECTION };
        for (const code of GATE) {
          const answer = door.refuse(new OperationError(code, SECRET_FREE, { retryAfterMs: 1_000 }), head);
          checkAnswer(answer, code);
          if (answer.status < 400) throw broken(`${code} is answered ${answer.status}, as if it had been done`);
        }
        const defect = door.refuse(new TypeError(DEFECT), head);
        checkAnswer(defect, "a defect");
        if (defect.status < 500) throw broken(`a defect is answered ${defect.status}: it is none of the caller's`);
        if (textOf(defect).includes(DEFECT)) throw broken("a defect's message is told to the caller");
      },
    },
    {
      rule: "hostile-bodies",
      title: "whatever body comes, it answers, and no defect comes of it",
      async run() {
        refusing.code = "access_denied";
        for (const one of tries) {
          for (const body of BODIES) {
            for (const type of [undefined, "application/json", "text/plain"]) {
              const answer = await ask(one, body, type === undefined ? {} : { "content-type": type });
              if (answer.status >= 500 && answer.status !== 501) {
                throw broken(`${one.method} ${one.route.path} answers ${answer.status} to a body that is no good`);
              }
            }
          }
        }
      },
    },
    {
      rule: "operation-errors",
      title: "an error of an operation is never answered as a success",
      async run() {
        for (const code of ERROR_CODES) {
          refusing.code = code;
          for (const one of tries) {
            for (const body of BODIES) {
              refusing.asked = 0;
              const answer = await ask(one, body, { "content-type": "application/json" });
              if (refusing.asked > 0 && answer.status < 300) {
                throw broken(
                  `${one.method} ${one.route.path} answers ${answer.status} though an operation said ${code}`,
                );
              }
            }
          }
        }
        refusing.code = "access_denied";
      },
    },
    {
      rule: "identify",
      title: "identify says who calls, or that nobody is known, whatever the head holds",
      async run() {
        if (door.identify === undefined) return;
        const heads: Readonly<Record<string, string>>[] = [
          {},
          { authorization: "" },
          { authorization: "Bearer" },
          { authorization: "\xff".repeat(100) },
          {
            authorization: `AWS4-HMAC-SHA256 ${"x".repeat(5_000)}`,
            "x-vault-token": "\x01",
            "x-amz-security-token": "",
          },
        ];
        for (const headers of heads) {
          const fields = new Map(Object.entries(headers));
          const connection = { ...CONNECTION, principal: undefined };
          const head = { method: "POST", path: "/", query: "", headers: fields, connection };
          let kind: string;
          try {
            kind = door.identify(head).kind;
          } catch (error) {
            throw broken(`identify throws: ${messageOf(error)}`);
          }
          if (!["token", "proven", "unproven", "none", "refused"].includes(kind))
            throw broken(`identify gives the kind "${kind}"`);
          if (kind === "proven") throw broken("identify takes a head that proves nothing for a proof");
          if (kind === "unproven" && door.prove === undefined) throw broken("it has no prove for what is unproven");
        }
      },
    },
  ];
}

function socketRules(door: SocketDoor): Rule[] {
  const serve = async (bytes: Uint8Array, end: boolean): Promise<{ entered: number }> => {
    const [near, far] = pair();
    let entered = 0;
    far.on("error", () => undefined);
    far.resume();
    try {
      door.serve(near, CONNECTION, {
        messageBytesMax: 65_536,
        idleTimeoutMs: 60_000,
        enter() {
          entered++;
          return true;
        },
        leave() {
          entered--;
        },
        countAgainstAddress() {},
      });
    } catch (error) {
      throw broken(`serve throws: ${messageOf(error)}`);
    }
    far.write(bytes);
    await pause(50);
    if (end) far.destroy();
    await pause(50);
    near.destroy();
    await pause(50);
    return { entered };
  };
  return [
    {
      rule: "hostile-bytes",
      title: "whatever bytes come, the connection alone ends",
      async run() {
        for (const body of [...BODIES, Buffer.alloc(200_000, 0xff), Buffer.from("GET / HTTP/1.1\r\n\r\n")]) {
          await within(SOON_MS, serve(body, false), "a connection");
        }
      },
    },
    {
      rule: "leave",
      title: "every operation that was let in has left when its connection is gone",
      async run() {
        for (const body of BODIES) {
          const { entered } = await serve(body, true);
          if (entered !== 0) throw broken(`${entered} operations were let in and have not left`);
        }
      },
    },
  ];
}

/** A path that a pattern takes. */
function samplePath(pattern: string): string {
  return pattern.replace(/:[^/]+/g, "sample").replace(/\*[^/]*$/, "sample");
}

function checkAnswer(answer: DoorAnswer, what: string): void {
  const { status, headers, body } = answer;
  if (!Number.isInteger(status) || status < 200 || status > 599)
    throw broken(`${what} is answered with status ${status}`);
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[A-Za-z][A-Za-z0-9-]*$/.test(name) || /[^\t\x20-\x7e\x80-\xff]/.test(value)) {
      throw broken(`${what} is answered with the header ${JSON.stringify(`${name}: ${value}`)}`);
    }
  }
  if (typeof body !== "string" && !(body instanceof Uint8Array) && !(body instanceof ReadableStream)) {
    throw broken(`${what} is answered without a body: "" is one`);
  }
}

function textOf({ body }: DoorAnswer): string {
  return typeof body === "string" ? body : body instanceof Uint8Array ? Buffer.from(body).toString() : "";
}

/** Two ends of a stream. */
function pair(): [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const make = (other: () => Duplex): Duplex =>
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        other().push(chunk);
        done();
      },
      final(done) {
        other().push(null);
        done();
      },
      destroy(error, done) {
        if (!other().destroyed) queueMicrotask(() => other().destroy());
        done(error);
      },
    });
  ends.push(
    make(() => ends[1]!),
    make(() => ends[0]!),
  );
  for (const end of ends) end.on("error", () => undefined);
  return [ends[0]!, ends[1]!];
}
