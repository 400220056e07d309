/** The door of `crypto-edge dev` that serves its page, beside the edge's own API. */
import { messageOf, OperationError } from "../../base/errors.ts";
import { isName } from "../../base/names.ts";
import { isOwnRequest, PAGE_HEADERS } from "../../base/web/html.ts";
import type { DoorAnswer, DoorContext, DoorRequest, HttpDoor } from "../../edge/doors/door.ts";
import { type Done, describeDone, FILE_PATHS, fileAnswer, pageAnswer } from "./page.ts";
import { type DevParts, readState } from "./state.ts";

const JSON_TYPE = "application/json";
const BODY_BYTES_MAX = 4_096;
const ACTIONS = ["create", "open", "rotate", "revoke", "restore"] as const;

interface Asked {
  readonly action: (typeof ACTIONS)[number];
  readonly tenant: string;
  readonly service: string;
}

export function devDoor(parts: DevParts, { operations }: DoorContext): HttpDoor {
  /** The wrapped key that the page made last, of each service: what an application would store. */
  const wrappedKeys = new Map<string, Uint8Array>();
  let last: Done | undefined;

  async function act(
    { action, tenant, service }: Asked,
    caller: Parameters<typeof operations.createKey>[0],
  ): Promise<Done> {
    const name = `${tenant}/${service}`;
    const started = performance.now();
    const done = (what: string, answer: string): Done => ({
      what,
      answer,
      ok: true,
      microseconds: Math.round((performance.now() - started) * 1_000),
    });
    switch (action) {
      case "create": {
        const { wrapped, version } = await operations.createKey(caller, { tenant, service });
        const made = done(`create a data key of ${name}`, `wrapped under version ${version}: ${base64url(wrapped)}`);
        if (wrappedKeys.size >= 100) wrappedKeys.clear();
        wrappedKeys.set(name, wrapped);
        return made;
      }
      case "open": {
        const wrapped = wrappedKeys.get(name);
        if (wrapped === undefined) throw new Error("create a key first");
        const { plaintext, version } = await operations.decryptKey(caller, { wrapped });
        const opened = done(
          `open the data key of ${name} that was made last`,
          `opened: ${plaintext.length} bytes, wrapped under version ${version}`,
        );
        plaintext.fill(0);
        return opened;
      }
      case "rotate": {
        await parts.admin.rotate(tenant, service);
        return done(`rotate ${name}`, "a new version is active; older ones open on");
      }
      case "revoke": {
        await parts.admin.revoke({ tenant, service }, { reason: "asked for on the page" });
        return done(`revoke ${name}`, "every edge has wiped it, or will at once");
      }
      case "restore": {
        await parts.admin.restore({ tenant, service });
        return done(`restore ${name}`, "it may be used again");
      }
    }
  }

  return {
    name: "dev-page",
    transport: "http",
    routes: [
      {
        methods: ["GET"],
        path: "/",
        bodyBytesMax: 0,
        open: true,
        handle: async () => pageAnswer(await readState(parts), last),
      },
      ...FILE_PATHS.map((path) => ({
        methods: ["GET"],
        path,
        bodyBytesMax: 0,
        open: true,
        handle: (): DoorAnswer => fileAnswer(path),
      })),
      {
        methods: ["GET"],
        path: "/dev/state",
        bodyBytesMax: 0,
        open: true,
        handle: async () => json(200, await readState(parts)),
      },
      {
        methods: ["POST"],
        path: "/dev/act",
        bodyBytesMax: BODY_BYTES_MAX,
        async handle(request, caller) {
          if (!isOwnRequest((name) => request.headers.get(name))) {
            return json(403, { text: "This was asked by another page." });
          }
          const asked = readAsked(request);
          if (asked === undefined) return json(400, { text: "Name a tenant, a service and one of the actions." });
          const started = performance.now();
          try {
            last = await act(asked, caller);
          } catch (error) {
            const microseconds = Math.round((performance.now() - started) * 1_000);
            last = {
              what: `${asked.action} ${asked.tenant}/${asked.service}`,
              answer: messageOf(error),
              ok: false,
              microseconds,
            };
          }
          if (isJson(request)) return json(200, { text: describeDone(last) });
          // A form without JavaScript: the page again, with what came of it.
          return { status: 303, headers: { ...PAGE_HEADERS, Location: "/" }, body: "" };
        },
      },
    ],
    refuse: (error) => json(error instanceof OperationError ? error.status : 500, { text: messageOf(error) }),
  };
}

function readAsked(request: DoorRequest): Asked | undefined {
  const text = Buffer.from(request.body).toString("utf8");
  let fields: Record<string, unknown>;
  try {
    fields = isJson(request)
      ? (JSON.parse(text) as Record<string, unknown>)
      : Object.fromEntries(new URLSearchParams(text));
  } catch {
    return undefined;
  }
  const { action, tenant, service } = fields ?? {};
  if (typeof tenant !== "string" || typeof service !== "string" || !isName(tenant) || !isName(service))
    return undefined;
  const known = ACTIONS.find((each) => each === action);
  return known === undefined ? undefined : { action: known, tenant, service };
}

function isJson(request: DoorRequest): boolean {
  return request.headers.get("content-type")?.startsWith(JSON_TYPE) ?? false;
}

function json(status: number, body: unknown): DoorAnswer {
  return { status, headers: { ...PAGE_HEADERS, "Content-Type": JSON_TYPE }, body: JSON.stringify(body) };
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}
