import type { LeaseGate } from "../../../src/edge/cache/lease-cache.ts";
import type { LeaseEvent } from "../../../src/edge/cache/lease-events.ts";
import {
  createTtlLeaseCache,
  type TtlLeaseCache,
  type TtlLeaseCacheOptions,
} from "../../../src/edge/cache/ttl-lease-cache.ts";
import type { Cipher } from "../../../src/edge/cipher/cipher.ts";
import { type KeyMemory, KeyMemoryError, type KeySlot } from "../../../src/edge/key-memory/key-memory.ts";
import {
  type KeySource,
  KeySourceError,
  type KeySourceErrorCode,
  type LeasableState,
  type LeaseGrant,
  type LeaseRequest,
} from "../../../src/edge/key-source/key-source.ts";
import { nodeCipher } from "../../support/ciphers.ts";
import { settle, VirtualClock } from "../../support/virtual-clock.ts";

/** A question that the source has been asked and that the test answers. */
export interface Question {
  readonly request: LeaseRequest;
  readonly signal: AbortSignal;
  /** Answers with `versions`, by default version 1, active. Returns the grant, whose keys the cache must wipe. */
  grant(changes?: Partial<LeaseGrant>): Promise<LeaseGrant>;
  fail(code: KeySourceErrorCode, retryAfterMs?: number): Promise<void>;
  throwAnything(error: unknown): Promise<void>;
}

export function keyOf(version: number): Uint8Array {
  return new Uint8Array(32).fill(version);
}

export function granted(version: number, state: LeasableState = "active") {
  return { version, state, key: keyOf(version) };
}

/** A source that answers when the test says so. */
export class AskedSource implements KeySource {
  readonly name = "test";
  readonly questions: Question[] = [];
  /** When set, answers at once. */
  answer: ((question: Question) => unknown) | undefined;

  lease(request: LeaseRequest, signal: AbortSignal): Promise<LeaseGrant> {
    return new Promise((resolve, reject) => {
      const question: Question = {
        request,
        signal,
        grant: async (changes = {}) => {
          const { tenant, service, version } = request;
          const grant: LeaseGrant = {
            tenant,
            service,
            ttlMs: 300_000,
            refreshAfterMs: 240_000,
            log: "log-1",
            revocationSeq: 1,
            versions: [granted(version ?? 1, version === undefined ? "active" : "deprecated")],
            ...changes,
          };
          resolve(grant);
          await settle();
          return grant;
        },
        fail: async (code, retryAfterMs) => {
          reject(new KeySourceError(code, `test: ${code}`, retryAfterMs === undefined ? {} : { retryAfterMs }));
          await settle();
        },
        throwAnything: async (error) => {
          reject(error);
          await settle();
        },
      };
      this.questions.push(question);
      this.answer?.(question);
    });
  }

  async close(): Promise<void> {}
}

/** Key memory on the heap that knows what was not wiped. */
export class CountedKeyMemory implements Pick<KeyMemory, "store"> {
  readonly slots = new Set<Uint8Array>();
  full = false;

  store(key: Uint8Array): KeySlot {
    if (this.full) throw new KeyMemoryError("full", "Key memory is full.");
    const bytes = Uint8Array.from(key);
    const { slots } = this;
    slots.add(bytes);
    return {
      use: (reader) => {
        if (!slots.has(bytes)) throw new KeyMemoryError("released", "This key was released.");
        return reader(bytes);
      },
      release() {
        bytes.fill(0);
        slots.delete(bytes);
      },
      get released() {
        return !slots.has(bytes);
      },
    };
  }
}

/** A gate that the test opens, closes, and makes refuse. */
export class TestGate implements LeaseGate {
  readonly blocked = new Set<string>();
  lowestSeq = 0;
  open = true;

  isBlocked(tenant: string, service: string, version?: number): boolean {
    return this.blocked.has(`${tenant}/${service}`) || this.blocked.has(`${tenant}/${service}/${version}`);
  }

  admits(grant: { revocationSeq: number }): boolean {
    return grant.revocationSeq >= this.lowestSeq;
  }

  isOpen(): boolean {
    return this.open;
  }
}

/** A cipher whose sessions tell whether they were wiped. */
export class CountedCipher implements Cipher {
  readonly sessions: { wiped: boolean }[] = [];
  readonly #cipher = nodeCipher();
  readonly description = this.#cipher.description;

  renew(): void {
    this.#cipher.renew();
  }

  close(): void {
    this.#cipher.close();
  }

  begin(...parameters: Parameters<Cipher["begin"]>) {
    const session = this.#cipher.begin(...parameters);
    const state = { wiped: false };
    this.sessions.push(state);
    return {
      createKey: session.createKey.bind(session),
      createKeyTo: session.createKeyTo.bind(session),
      wrap: session.wrap.bind(session),
      unwrap: session.unwrap.bind(session),
      wipe(): void {
        state.wiped = true;
        session.wipe();
      },
    };
  }
}

export interface World {
  readonly clock: VirtualClock;
  readonly source: AskedSource;
  readonly keyMemory: CountedKeyMemory;
  readonly gate: TestGate;
  readonly cipher: CountedCipher;
  readonly events: LeaseEvent[];
  readonly cache: TtlLeaseCache;
}

/** A cache with everything around it in the test's hands. Random numbers are 0.5 unless given. */
export function createWorld(options: Partial<TtlLeaseCacheOptions> = {}): World {
  const clock = new VirtualClock();
  const source = new AskedSource();
  const keyMemory = new CountedKeyMemory();
  const gate = new TestGate();
  const cipher = new CountedCipher();
  const events: LeaseEvent[] = [];
  const cache = createTtlLeaseCache({
    source,
    cipher,
    keyMemory,
    clock,
    gate,
    ttlMs: 300_000,
    refreshAfterMs: 240_000,
    maxLeases: 1_000,
    random: () => 0.5,
    onEvent: (event) => events.push(event),
    ...options,
  });
  return { clock, source, keyMemory, gate, cipher, events, cache };
}

/** The code of the error that `use` throws or rejects with. */
export async function codeOf(use: () => unknown): Promise<string> {
  try {
    await use();
    return "no error";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
