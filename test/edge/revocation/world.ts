/** A guard with a cache that only takes notes, a Core that answers from a list, and time that stands still. */
import type { LeaseControl, RevocationScope } from "../../../src/edge/cache/lease-cache.ts";
import type { PluginLog } from "../../../src/edge/plugin-host/plugin.ts";
import type { CoreEvents } from "../../../src/edge/revocation/core-events.ts";
import { createRevocationGuard } from "../../../src/edge/revocation/guard.ts";
import type { RevocationGuard, RevocationGuardOptions } from "../../../src/edge/revocation/revocation-guard.ts";
import type { RevocationEvent } from "../../../src/edge/revocation/revocation-transport.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

export const LOG = "log-a";

export class NotingControl implements LeaseControl {
  readonly calls: string[] = [];
  revoke({ tenant, service, version }: RevocationScope): number {
    this.calls.push(`revoke ${[tenant, service, version].filter((part) => part !== undefined).join("/")}`);
    return 1;
  }
  forget({ tenant, service, version }: RevocationScope): void {
    this.calls.push(`forget ${[tenant, service, version].filter((part) => part !== undefined).join("/")}`);
  }
  dropAll(): void {
    this.calls.push("dropAll");
  }
  renew(tenant: string, service: string): void {
    this.calls.push(`renew ${tenant}/${service}`);
  }
  renewAll(): void {
    this.calls.push("renewAll");
  }
  lowestRevocationSeq(): number | undefined {
    return undefined;
  }
  count(call: string): number {
    return this.calls.filter((other) => other === call).length;
  }
}

/** The Core's stream as a list: everything after the id asked for, then a heartbeat, then silence. */
export class ListCore implements CoreEvents {
  log = LOG;
  events: RevocationEvent[] = [];
  /** The events up to here are gone. */
  retainedFrom = 1;
  down = false;
  readonly asked: (string | undefined)[] = [];
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  get seq(): number {
    return this.events.at(-1)?.seq ?? 0;
  }

  async follow(
    lastEventId: string | undefined,
    onEvent: (event: RevocationEvent) => void,
    signal: AbortSignal,
  ): Promise<void> {
    this.asked.push(lastEventId);
    await Promise.resolve();
    if (this.down) throw new Error("connection refused");
    const at = new Date(this.#clock.wallMs()).toISOString();
    const [log, after] = lastEventId?.split(":") ?? [this.log, `${this.seq}`];
    if (log !== this.log || Number(after) > this.seq || Number(after) + 1 < this.retainedFrom) {
      onEvent({ type: "reset", log: this.log, seq: this.seq, at, reason: "not retained" });
    } else {
      for (const event of this.events) if (event.seq > Number(after)) onEvent(event);
    }
    onEvent({ type: "heartbeat", log: this.log, seq: this.seq, at });
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }
}

export interface World {
  readonly clock: VirtualClock;
  readonly control: NotingControl;
  readonly core: ListCore;
  readonly guard: RevocationGuard;
  readonly lines: string[];
  readonly applied: number[];
}

export function createWorld(options: Partial<RevocationGuardOptions> & { withoutCore?: boolean } = {}): World {
  const clock = new VirtualClock();
  const control = new NotingControl();
  const core = new ListCore(clock);
  const lines: string[] = [];
  const applied: number[] = [];
  const { withoutCore, ...rest } = options;
  const guard = createRevocationGuard({
    clock,
    log: noteTo(lines),
    core: withoutCore === true ? undefined : core,
    maxSilenceMs: 30_000,
    onSilence: "renew_early",
    onApplied: (event) => applied.push(event.seq),
    ...rest,
  });
  guard.attach(control);
  return { clock, control, core, guard, lines, applied };
}

export function noteTo(lines: string[]): PluginLog {
  const note = (level: string) => (fields: Readonly<Record<string, unknown>>, message: string) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  };
  return { info: note("info"), warn: note("warn"), error: note("error") };
}

const AT = "2026-01-01T00:00:00.000Z";

export function revoke(
  seq: number,
  scope: RevocationScope,
  state: "compromised" | "destroyed" = "compromised",
): RevocationEvent {
  return { type: "revoke", log: LOG, seq, at: AT, ...scope, state, reason: "test" };
}

export function restore(seq: number, scope: RevocationScope): RevocationEvent {
  return { type: "restore", log: LOG, seq, at: AT, ...scope };
}

export function rotate(seq: number, tenant: string, service: string, version: number): RevocationEvent {
  return { type: "rotate", log: LOG, seq, at: AT, tenant, service, version };
}

export function heartbeat(seq: number, log: string = LOG, at: string = AT): RevocationEvent {
  return { type: "heartbeat", log, seq, at };
}

export const V3: Required<RevocationScope> = { tenant: "t", service: "s", version: 3 };

/** A lease answer as the cache shows it to the gate. */
export function answer(revocationSeq: number, tenant = "t", service = "s", log: string | undefined = LOG) {
  return { tenant, service, log, revocationSeq };
}
