/** The contracts of the other contributions: transports, audit sinks, hooks. */
import { messageOf } from "../../base/errors.ts";
import { type Hooks, isRefusal } from "../../edge/plugin-host/hooks.ts";
import type { AuthorityOrder, AuthorityOutcome } from "../../edge/revocation/authority-blocks.ts";
import type { Delivery, RevocationSink, RevocationTransport } from "../../edge/revocation/revocation-transport.ts";
import type { AuditEvent, AuditSink } from "../../edge/usage/audit-sink.ts";
import { broken, checkCloseTwice, checkHealth, notTried, pause, type Rule, SOON_MS, within } from "./rules.ts";

export interface Limits {
  /** For anything that should be soon. */
  readonly soonMs: number;
  /** For what goes to a backend and back. */
  readonly connectMs: number;
}

const LIMITS: Limits = { soonMs: SOON_MS, connectMs: 15_000 };

/** A guard that only counts. */
class CountingSink implements RevocationSink {
  calls = 0;
  isConnected = false;
  deliver(): void {
    this.calls++;
  }
  async deliverSigned(): Promise<void> {
    this.calls++;
  }
  async confirmSigned(): Promise<Delivery> {
    this.calls++;
    return { state: "applied" };
  }
  applyAuthority({ type }: AuthorityOrder): AuthorityOutcome {
    this.calls++;
    return type === "revoke" ? { outcome: "applied", wiped: 0 } : { outcome: "lifted", blocks: 0 };
  }
  connected(): void {
    this.calls++;
    this.isConnected = true;
  }
  disconnected(): void {
    this.calls++;
    this.isConnected = false;
  }
  resumeAfter(): undefined {
    return undefined;
  }
}

export function transportRules(
  transport: RevocationTransport,
  away: (() => Promise<RevocationTransport>) | undefined,
  { soonMs, connectMs }: Limits = LIMITS,
): Rule[] {
  const sink = new CountingSink();
  return [
    {
      rule: "start",
      title: "start resolves once the first attempt has begun",
      run: () => within(soonMs, transport.start(sink), "start"),
    },
    {
      rule: "connected",
      title: "it says when it is connected",
      async run() {
        const endMs = performance.now() + connectMs;
        while (!sink.isConnected) {
          if (performance.now() > endMs) throw broken(`it has not said so within ${connectMs / 1000} s`);
          await pause(20);
        }
      },
    },
    {
      rule: "away",
      title: "with its broker away it still starts, says that it is not connected, and closes",
      async run() {
        if (away === undefined) throw notTried("no configuration with the broker away was given (--away FILE)");
        const lost = await away();
        const lostSink = new CountingSink();
        await within(soonMs, lost.start(lostSink), "start").catch((error: unknown) => {
          throw broken(`start failed, so that the edge would not start while the broker is away: ${messageOf(error)}`);
        });
        await pause(500);
        if (lostSink.isConnected) throw broken("it says that it is connected");
        await within(soonMs, lost.close(), "close");
      },
    },
    {
      rule: "close",
      title: "close may be called twice, and nothing is delivered afterwards",
      async run() {
        await checkCloseTwice(transport);
        const { calls } = sink;
        await pause(300);
        if (sink.calls !== calls) throw broken("it called the sink after it was closed");
      },
    },
  ];
}

export function auditSinkRules(
  sink: AuditSink,
  away: (() => Promise<AuditSink>) | undefined,
  { soonMs, connectMs }: Limits = LIMITS,
): Rule[] {
  const never = new AbortController().signal;
  const batch = (): readonly AuditEvent[] =>
    Object.freeze(
      Array.from({ length: 3 }, (_, index) =>
        Object.freeze({
          type: "operation",
          time: new Date(0).toISOString(),
          principal: "conformance-kit",
          principalKind: "listener",
          tenant: "conformance-kit",
          service: "default",
          version: 1,
          operation: "create",
          outcome: "ok",
          count: index + 1,
        } satisfies AuditEvent),
      ),
    );
  return [
    { rule: "start", title: "start resolves", run: async () => within(2 * soonMs, sink.start?.(), "start") },
    { rule: "write", title: "a batch is taken", run: () => within(connectMs, sink.write(batch(), never), "write") },
    {
      rule: "write-again",
      title: "the same batch is taken again",
      run: () => within(connectMs, sink.write(batch(), never), "write"),
    },
    {
      rule: "aborted",
      title: "a write whose signal has aborted settles soon",
      run: () =>
        within(
          soonMs,
          Promise.resolve()
            .then(() => sink.write(batch(), AbortSignal.abort()))
            .catch(() => {}),
          "write",
        ),
    },
    { rule: "health", title: "health answers from memory: { ok, detail? }", run: async () => checkHealth(sink) },
    {
      rule: "away",
      title: "with its receiver away a write rejects: no event is said to be safe that is not",
      async run() {
        if (away === undefined) throw notTried("no configuration with the receiver away was given (--away FILE)");
        const lost = await away();
        await lost.start?.().catch(() => {});
        const abort = AbortSignal.timeout(soonMs);
        const taken = await within(2 * soonMs, lost.write(batch(), abort), "write").then(
          () => true,
          () => false,
        );
        if (taken) throw broken("the write resolved");
        await within(soonMs, lost.close(), "close");
      },
    },
    { rule: "close", title: "close may be called twice", run: () => checkCloseTwice(sink) },
  ];
}

const PRINCIPAL = Object.freeze({ kind: "listener", name: "conformance-kit" } as const);
const WHO = { principal: PRINCIPAL, door: "native", tenant: "conformance-kit", service: "default" } as const;
const CREATE = { ...WHO, operation: "create", length: 32, count: 1, plaintext: false } as const;
const ENCRYPT = { ...WHO, operation: "encrypt", length: 100 } as const;
const DECRYPT = { ...WHO, operation: "decrypt", version: 1, content: "data_key" } as const;
const SAMPLES = {
  beforeCreate: CREATE,
  afterCreate: { ...CREATE, version: 1 },
  beforeEncrypt: ENCRYPT,
  afterEncrypt: { ...ENCRYPT, version: 1 },
  beforeDecrypt: DECRYPT,
  afterDecrypt: { ...DECRYPT, operation: "rewrap" },
  onLease: {
    source: "conformance-kit",
    tenant: WHO.tenant,
    service: WHO.service,
    versions: Object.freeze([Object.freeze({ version: 1, state: "active" } as const)]),
    ttlMs: 300_000,
  },
  onRevocation: { scope: Object.freeze({ tenant: WHO.tenant, service: WHO.service, version: 1 }), wiped: 1 },
  onDenied: { ...WHO, operation: "create", code: "access_denied" },
} as const;
const MAY_REFUSE: readonly (keyof typeof SAMPLES)[] = [
  "beforeCreate",
  "afterCreate",
  "beforeEncrypt",
  "afterEncrypt",
  "beforeDecrypt",
  "afterDecrypt",
  "onLease",
];
const KNOWN = [...Object.keys(SAMPLES), "start", "health", "close"];

export function hookRules(hooks: Hooks, timeoutMs: number): Rule[] {
  const points = Object.keys(SAMPLES) as (keyof typeof SAMPLES)[];
  const present = points.filter((point) => hooks[point] !== undefined);
  const calls = present.map(
    (point): Rule => ({
      rule: point,
      title: `${point} answers in time, with nothing${MAY_REFUSE.includes(point) ? " or refuse(code, sentence)" : ""}`,
      async run() {
        const call = hooks[point]!.bind(hooks) as (event: object) => unknown;
        // As long as the configuration allows, and a little: this machine may be busy.
        const verdict = await within(
          timeoutMs + 500,
          Promise.resolve(call(Object.freeze({ ...SAMPLES[point] }))),
          point,
        );
        if (verdict === undefined) return;
        if (!MAY_REFUSE.includes(point)) throw broken("it answers something, where it can only observe");
        if (!isRefusal(verdict)) throw broken("it answers neither nothing nor refuse(code, sentence)");
        if (!/^[a-z][a-z0-9_]{0,63}$/.test(verdict.code))
          throw broken(`its code ${JSON.stringify(verdict.code)} is none`);
        if (typeof verdict.sentence !== "string" || verdict.sentence.length < 8 || verdict.sentence.length > 300) {
          throw broken("its sentence says nothing, or has more than 300 characters");
        }
      },
    }),
  );
  return [
    {
      rule: "points",
      title: "it has a hook, and only hooks that there are",
      async run() {
        const own = Object.keys(hooks).filter((key) => typeof hooks[key as keyof Hooks] === "function");
        const unknown = own.find((key) => !KNOWN.includes(key));
        if (unknown !== undefined) throw broken(`there is no hook "${unknown}"; there are ${KNOWN.join(", ")}`);
        if (present.length === 0) throw broken(`it has none of ${points.join(", ")}`);
      },
    },
    { rule: "start", title: "start resolves", run: async () => within(2 * SOON_MS, hooks.start?.(), "start") },
    ...calls,
    { rule: "health", title: "health answers from memory: { ok, detail? }", run: async () => checkHealth(hooks) },
    { rule: "close", title: "close may be called twice", run: () => checkCloseTwice(hooks) },
  ];
}
