/** The kit finds what is wrong: for each rule, a plugin that breaks just that one. */
import { describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { OperationError } from "../../src/base/errors.ts";
import type { DoorAnswer, DoorRoute, HttpDoor, SocketDoor } from "../../src/edge/doors/door.ts";
import { type KeySource, KeySourceError, type LeaseGrant } from "../../src/edge/key-source/key-source.ts";
import { type Hooks, refuse } from "../../src/edge/plugin-host/hooks.ts";
import type { RevocationTransport } from "../../src/edge/revocation/revocation-transport.ts";
import type { AuditSink } from "../../src/edge/usage/audit-sink.ts";
import { checkPlugin } from "../../src/sdk/conformance/check-plugin.ts";
import { doorRules, RefusingOperations } from "../../src/sdk/conformance/doors.ts";
import { keySourceRules } from "../../src/sdk/conformance/key-source.ts";
import { auditSinkRules, hookRules, transportRules } from "../../src/sdk/conformance/other-kinds.ts";
import { printReport, type RuleResult, totalsOf } from "../../src/sdk/conformance/report.ts";
import { type Rule, runRules } from "../../src/sdk/conformance/rules.ts";
import { folderOf, MINIMAL } from "../edge/plugin-host/support.ts";

const KEY = { tenant: "tenant-a", service: "billing" };
const KEYS = [
  { version: 1, state: "deprecated" as const, key: new Uint8Array(32).fill(1) },
  { version: 2, state: "active" as const, key: new Uint8Array(32).fill(2) },
];

function goodSource(): KeySource {
  let closed = false;
  return {
    name: "good",
    async lease({ tenant, service, version }, signal): Promise<LeaseGrant> {
      if (closed || signal.aborted) throw new KeySourceError("unavailable", "closed or aborted");
      const known = tenant === KEY.tenant && service === KEY.service;
      const asked = known ? KEYS.filter((key) => version === undefined || key.version === version) : [];
      if (asked.length === 0) throw new KeySourceError("key_not_found", "no such key");
      const versions = asked.map((key) => ({ ...key, key: key.key.slice() }));
      return { tenant, service, ttlMs: 1_000, refreshAfterMs: 800, log: undefined, revocationSeq: 0, versions };
    },
    health: () => ({ ok: true }),
    async close() {
      closed = true;
    },
  };
}

const awaySource = async (): Promise<KeySource> => ({
  ...goodSource(),
  async lease() {
    throw new KeySourceError("unavailable", "away");
  },
});

const LIMITS = { soonMs: 300, connectMs: 500 };

async function brokenRules(rules: readonly Rule[]): Promise<string[]> {
  const results = await runRules(rules);
  return results.filter(({ outcome }) => outcome === "broken").map(({ rule }: RuleResult) => rule);
}

/** A good source with one thing wrong. */
function bad(change: (good: KeySource) => Partial<KeySource>): KeySource {
  const good = goodSource();
  return { ...good, ...change(good) };
}

const grants = (change: (grant: LeaseGrant) => LeaseGrant) => (good: KeySource) => ({
  lease: async (...args: Parameters<KeySource["lease"]>) => change(await good.lease(...args)),
});

describe("of a key source, the kit", () => {
  const check = (source: KeySource, away = awaySource, logged = ""): Promise<string[]> =>
    brokenRules(keySourceRules({ source, key: KEY, away, logged: () => logged }));

  test("finds nothing wrong with a good one", async () => {
    expect(await check(goodSource())).toEqual([]);
  });

  const cases: Record<string, () => Promise<string[]>> = {
    name: () => check(bad(() => ({ name: "" }))),
    start: () => check(bad(() => ({ start: () => Promise.reject(new Error("no")) }))),
    lease: () => check(bad(grants((grant) => ({ ...grant, tenant: "another" })))),
    "lease-times": () => check(bad(grants((grant) => ({ ...grant, refreshAfterMs: grant.ttlMs + 1 })))),
    "lease-version": () =>
      check(bad(({ lease }) => ({ lease: ({ tenant, service }, signal) => lease({ tenant, service }, signal) }))),
    "lease-owned": () => {
      const own = KEYS.map((key) => ({ ...key, key: key.key.slice() }));
      return check(
        bad(
          grants((grant) => ({
            ...grant,
            versions: own.filter((key) => grant.versions.some(({ version }) => version === key.version)),
          })),
        ),
      );
    },
    "lease-bytes": () =>
      check(
        bad(
          grants((grant) => ({
            ...grant,
            versions: grant.versions.map((v) => ({ ...v, key: new Uint8Array(32).fill(3) })),
          })),
        ),
      ),
    "unknown-key": () =>
      check(
        bad(({ lease }) => ({
          lease: (request, signal) => lease({ ...request, ...KEY }, signal).then((grant) => ({ ...grant, ...request })),
        })),
      ),
    concurrent: () => {
      let open = 0;
      return check(
        bad(({ lease }) => ({
          async lease(request, signal) {
            if (open > 0) throw new KeySourceError("unavailable", "one at a time");
            open++;
            try {
              await Promise.resolve();
              return await lease(request, signal);
            } finally {
              open--;
            }
          },
        })),
      );
    },
    aborted: () =>
      check(
        bad(({ lease }) => ({
          lease: (request, signal) => lease(request, signal.aborted ? new AbortController().signal : signal),
        })),
      ),
    abort: () =>
      check(
        bad(({ lease }) => ({
          lease: (request, signal) =>
            new Promise((settled, failed) => {
              signal.addEventListener("abort", () => failed(new Error("aborted")));
              lease(request, signal).then(
                (grant) => queueMicrotask(() => queueMicrotask(() => settled(grant))),
                failed,
              );
            }),
        })),
      ),
    health: () => check(bad(() => ({ health: (() => Promise.resolve({ ok: true })) as never }))),
    away: () => check(goodSource(), async () => goodSource()),
    close: () => {
      let closed = 0;
      return check(
        bad(({ close }) => ({
          async close() {
            if (closed++ > 0) throw new Error("closed already");
            await close();
          },
        })),
      );
    },
    "no-secrets": () => check(goodSource(), awaySource, `leased ${"02".repeat(32)}`),
  };

  for (const [rule, run] of Object.entries(cases)) {
    test(`finds what breaks "${rule}"`, async () => {
      expect(await run()).toContain(rule);
    });
  }

  test("has a bad plugin here for every rule", () => {
    const rules = keySourceRules({ source: goodSource(), key: KEY, away: awaySource, logged: () => "" });
    expect(rules.map(({ rule }) => rule).sort()).toEqual(Object.keys(cases).sort());
  });

  test("does not call an error of another class, or without a code, an answer", async () => {
    const throwing = (error: unknown) => bad(() => ({ lease: () => Promise.reject(error) }));
    expect(await check(throwing(new Error("x")))).toContain("unknown-key");
    expect(await check(throwing(new KeySourceError("gone" as never, "x")))).toContain("unknown-key");
  });

  test("takes an error about the key from a source that is away for a mistake", async () => {
    const lying = async () => bad(() => ({ lease: () => Promise.reject(new KeySourceError("key_not_found", "x")) }));
    expect(await check(goodSource(), lying)).toContain("away");
  });
});

describe("of a revocation transport, the kit", () => {
  function good(): RevocationTransport {
    return {
      name: "good",
      async start(sink) {
        sink.connected();
      },
      async close() {},
    };
  }
  const awayTransport = async (): Promise<RevocationTransport> => ({ ...good(), async start() {} });
  const check = (change: Partial<RevocationTransport>, away = awayTransport): Promise<string[]> =>
    brokenRules(transportRules({ ...good(), ...change }, away, LIMITS));

  test("finds nothing wrong with a good one", async () => {
    expect(await check({})).toEqual([]);
  });

  const cases: Record<string, () => Promise<string[]>> = {
    start: () => check({ start: () => Promise.reject(new Error("no")) }),
    connected: () => check({ async start() {} }),
    away: () => check({}, async () => good()),
    close: () => {
      let timer: ReturnType<typeof setInterval>;
      return check({
        async start(sink) {
          sink.connected();
          timer = setInterval(() => void sink.deliverSigned("late"), 20);
        },
        async close() {
          setTimeout(() => clearInterval(timer), 1_000);
        },
      });
    },
  };
  for (const [rule, run] of Object.entries(cases)) {
    test(`finds what breaks "${rule}"`, async () => {
      expect(await run()).toContain(rule);
    }, 40_000);
  }

  test("has a bad plugin here for every rule", () => {
    expect(
      transportRules(good(), undefined)
        .map(({ rule }) => rule)
        .sort(),
    ).toEqual(Object.keys(cases).sort());
  });
});

describe("of an audit sink, the kit", () => {
  const good: AuditSink = {
    name: "good",
    async write(_events, signal) {
      signal.throwIfAborted();
    },
    health: () => ({ ok: true }),
    async close() {},
  };
  const awaySink = async (): Promise<AuditSink> => ({ ...good, write: () => Promise.reject(new Error("away")) });
  const check = (change: Partial<AuditSink>, away = awaySink): Promise<string[]> =>
    brokenRules(auditSinkRules({ ...good, ...change }, away, LIMITS));

  test("finds nothing wrong with a good one", async () => {
    expect(await check({})).toEqual([]);
  });

  let writes = 0;
  const cases: Record<string, () => Promise<string[]>> = {
    start: () => check({ start: () => Promise.reject(new Error("no")) }),
    write: () => check({ write: (events) => Promise.resolve(void Object.assign(events[0]!, { count: 9 })) }),
    "write-again": () =>
      check({ write: () => (writes++ > 0 ? Promise.reject(new Error("twice")) : Promise.resolve()) }),
    aborted: () => check({ write: (_events, signal) => (signal.aborted ? new Promise(() => {}) : Promise.resolve()) }),
    health: () => check({ health: () => undefined as never }),
    away: () => check({}, async () => good),
    close: () => check({ close: () => Promise.reject(new Error("no")) }),
  };
  for (const [rule, run] of Object.entries(cases)) {
    test(`finds what breaks "${rule}"`, async () => {
      expect(await run()).toContain(rule);
    }, 40_000);
  }

  test("has a bad plugin here for every rule", () => {
    expect(
      auditSinkRules(good, undefined)
        .map(({ rule }) => rule)
        .sort(),
    ).toEqual(Object.keys(cases).sort());
  });
});

describe("of hooks, the kit", () => {
  const check = (hooks: Hooks): Promise<string[]> => brokenRules(hookRules(hooks, 100));

  test("finds nothing wrong with good ones, that refuse or not", async () => {
    const no = () => refuse("closed", "Ask for it to be opened.");
    expect(await check({ beforeCreate: no, afterCreate: async () => {}, onDenied() {}, onLease: no })).toEqual([]);
  });

  test("finds hooks that there are not, none at all, late, wrong and unsaid answers, and changed events", async () => {
    expect(await check({})).toContain("points");
    expect(await check({ beforeCreat() {} } as never)).toContain("points");
    expect(await check({ beforeCreate: () => new Promise(() => {}) })).toContain("beforeCreate");
    expect(await check({ afterDecrypt: () => "no" as never })).toContain("afterDecrypt");
    expect(await check({ onLease: () => refuse("No Code", "Ask for it.") })).toContain("onLease");
    expect(await check({ beforeDecrypt: () => refuse("closed", "") })).toContain("beforeDecrypt");
    expect(await check({ afterCreate: (event) => void Object.assign(event, { count: 9 }) })).toContain("afterCreate");
    expect(await check({ onRevocation: () => refuse("closed", "It can't be.") as never })).toContain("onRevocation");
    expect(await check({ onDenied: () => refuse("closed", "It can't be.") as never })).toContain("onDenied");
    expect(await check({ onDenied() {}, start: () => Promise.reject(new Error("no")) })).toContain("start");
    expect(await check({ onDenied() {}, health: () => ({}) as never })).toContain("health");
    expect(await check({ onDenied() {}, close: () => Promise.reject(new Error("no")) })).toContain("close");
  }, 300_000);
});

test("a section that takes any key, or has a key without a description, is found", async () => {
  const source = (schema: string): string => `
    import { contribution, definePlugin, Type } from "crypto-edge/plugin";
    export default definePlugin({ name: "x", apiVersion: 1, hooks: { x: contribution({ configuration: ${schema}, create: () => ({}) }) } });`;
  using open = folderOf({ "plugin.ts": source("Type.Object({ a: Type.String() })") });
  const report = await checkPlugin(open.path);
  const outcomes = Object.fromEntries(report.sections[0]!.results.map(({ rule, outcome }) => [rule, outcome]));
  expect(outcomes).toEqual({ loads: "kept", "schema-closed": "broken", "schema-described": "broken" });
  expect(printReport(report)).toContain("FAIL schema-closed");
  expect(printReport(report)).not.toContain("allow:");
});

test("what its entry has to allow beside a pin is told with the pin", async () => {
  using folder = folderOf({ "plugin.ts": MINIMAL, "more.ts": "export const load = (name: string) => import(name);" });
  expect(printReport(await checkPlugin(folder.path))).toMatch(/\nsha256: [0-9a-f]{64}\nallow: \[computed_imports\]\n/);
});

test("the shipped static plugin keeps every rule, and the report says what was not tried", async () => {
  const report = await checkPlugin(resolve(import.meta.dir, "../../plugins/static"));
  expect(totalsOf(report)).toMatchObject({ broken: 0 });
  expect(report.sections.map(({ subject }) => subject)).toEqual(["definition", 'key source "static"']);
  expect(report.sections[1]!.results.filter(({ outcome }) => outcome === "kept").length).toBeGreaterThan(10);
});

describe("of a front door, the kit", () => {
  const text = (status: number, body = ""): DoorAnswer => ({ status, headers: { "Content-Type": "text/plain" }, body });
  const refuse = (error: unknown): DoorAnswer =>
    error instanceof OperationError ? text(error.status, error.message) : text(500, "It failed.");

  function goodDoor(
    refusing: RefusingOperations,
    change: Partial<HttpDoor> = {},
    handle?: DoorRoute["handle"],
  ): HttpDoor {
    return {
      name: "good",
      transport: "http",
      routes: [
        {
          methods: ["POST"],
          path: "/good/:tenant/*rest",
          bodyBytesMax: 100,
          async handle(request, caller, parameters) {
            if (handle !== undefined) return handle(request, caller, parameters);
            try {
              await refusing.operations.createKey(caller, { tenant: parameters.tenant!, service: "default" });
              return text(201);
            } catch (error) {
              return refuse(error);
            }
          },
        },
      ],
      identify: () => ({ kind: "none" }),
      refuse,
      ...change,
    };
  }

  const check = (change: Partial<HttpDoor> = {}, handle?: DoorRoute["handle"]): Promise<string[]> => {
    const refusing = new RefusingOperations();
    return brokenRules(doorRules(goodDoor(refusing, change, handle), "good", "http", refusing));
  };

  test("finds nothing wrong with a good one", async () => {
    expect(await check()).toEqual([]);
  });

  const cases: Record<string, () => Promise<string[]>> = {
    shape: () => check({ name: "another" }),
    routes: () => check({ routes: [] }),
    refuse: () => check({ refuse: () => text(200) }),
    "hostile-bodies": () =>
      check({}, (request) => {
        JSON.parse(Buffer.from(request.body).toString());
        return text(200);
      }),
    "operation-errors": () => {
      const refusing = new RefusingOperations();
      const swallows = goodDoor(refusing, {}, (_request, caller) => {
        try {
          void refusing.operations.createKey(caller, { tenant: "a", service: "b" });
        } catch {
          // It says that all is well.
        }
        return text(200);
      });
      return brokenRules(doorRules(swallows, "good", "http", refusing));
    },
    identify: () => check({ identify: () => ({ kind: "proven", principal: { kind: "listener", name: "anyone" } }) }),
  };
  for (const [rule, run] of Object.entries(cases)) {
    test(`finds what breaks "${rule}"`, async () => expect(await run()).toContain(rule));
  }

  test("has a bad door here for every rule", () => {
    const refusing = new RefusingOperations();
    const rules = doorRules(goodDoor(refusing), "good", "http", refusing);
    expect(rules.map(({ rule }) => rule).sort()).toEqual(Object.keys(cases).sort());
  });

  test("finds a refusal that tells a defect's message, and an answer that is none", async () => {
    expect(
      await check({ refuse: (error) => (error instanceof OperationError ? refuse(error) : text(500, String(error))) }),
    ).toEqual(["refuse"]);
    expect(await check({}, () => ({ status: 200, headers: { "X-A": "b\r\nc: d" }, body: "" }))).toContain(
      "hostile-bodies",
    );
  });

  test("finds a socket door that throws, or forgets what was let in", async () => {
    const refusing = new RefusingOperations();
    const socketDoor = (serve: SocketDoor["serve"]) =>
      brokenRules(doorRules({ name: "good", transport: "socket", serve }, "good", "socket", refusing));
    expect(await socketDoor((socket) => void socket.resume())).toEqual([]);
    expect(
      await socketDoor(() => {
        throw new Error("a defect");
      }),
    ).toEqual(["hostile-bytes", "leave"]);
    expect(await socketDoor((socket, _connection, limits) => void socket.on("data", () => limits.enter(1)))).toEqual([
      "leave",
    ]);
  }, 300_000);
});
