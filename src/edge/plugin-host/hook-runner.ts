/**
 * Runs the hooks of every plugin at a point of an operation, and contains them: what a hook throws, how long it takes, and how
 * many of its calls are open never reach further than the operation it was asked about.
 *
 * A hook that never returns (an endless loop) is beyond any containment inside one process: docs/plugins.md says so.
 */

import { messageOf } from "../../base/errors.ts";
import type { Health } from "../../base/health.ts";
import type { Clock } from "../../base/time/clock.ts";
import {
  type CreatedEvent,
  type CreateEvent,
  type DecryptEvent,
  type DeniedEvent,
  type EncryptEvent,
  type EncryptedEvent,
  type Hooks,
  isRefusal,
  type LeaseEvent,
  type RevocationApplied,
} from "./hooks.ts";
import type { PluginLog } from "./plugin.ts";

export interface RegisteredHooks {
  /** The name that the configuration's `use` gives. */
  readonly name: string;
  readonly hooks: Hooks;
  /** What a hook that fails does to the operation. */
  readonly onFailure: "refuse" | "allow";
  /** How long a hook's promise may take. */
  readonly timeoutMs: number;
}

/** The points, and what a hook is told there. */
export interface HookEvents {
  readonly beforeCreate: CreateEvent;
  readonly afterCreate: CreatedEvent;
  readonly beforeEncrypt: EncryptEvent;
  readonly afterEncrypt: EncryptedEvent;
  readonly beforeDecrypt: DecryptEvent;
  readonly afterDecrypt: DecryptEvent;
  readonly onLease: LeaseEvent;
  readonly onRevocation: RevocationApplied;
  readonly onDenied: DeniedEvent;
}

export type HookPoint = keyof HookEvents;

/** A hook said no, or failed where failure refuses. */
export interface HookRefusal {
  readonly hook: string;
  /** The hook's own code; `hook_failed` for a failure. */
  readonly code: string;
  readonly sentence: string;
  /** True when the hook did not decide but failed: asking again may help. */
  readonly failed: boolean;
}

/** Of one plugin's hooks; read it at any time, it only grows (`open` aside). */
export interface HookCounters {
  readonly hook: string;
  refused: number;
  /** It threw, or answered neither nothing nor a refusal. */
  threw: number;
  late: number;
  /** It was not called, since too many of its calls were open. */
  overloaded: number;
  /** Calls whose promise has not settled; those that were late count until they settle. */
  open: number;
}

const OPEN_MAX = 1_000;
const LOG_EVERY_MS = 1_000;
const CODE = /^[a-z][a-z0-9_]{0,63}$/;
const SENTENCE_MAX = 300;

type Answer = HookRefusal | undefined;

interface Registered {
  readonly settings: RegisteredHooks;
  readonly counters: HookCounters;
  loggedMs: number;
  unlogged: number;
}

interface Callee<Point extends HookPoint> {
  readonly registered: Registered;
  readonly call: (event: HookEvents[Point]) => unknown;
}

type Callees = { readonly [Point in HookPoint]: readonly Callee<Point>[] };

export class HookRunner {
  readonly #clock: Clock;
  readonly #log: PluginLog;
  readonly #registered: readonly Registered[];
  readonly #callees: Callees;

  constructor(hooks: readonly RegisteredHooks[], clock: Clock, log: PluginLog) {
    this.#clock = clock;
    this.#log = log;
    this.#registered = hooks.map((settings) => ({
      settings,
      counters: { hook: settings.name, refused: 0, threw: 0, late: 0, overloaded: 0, open: 0 },
      loggedMs: Number.NEGATIVE_INFINITY,
      unlogged: 0,
    }));
    const at = <Point extends HookPoint>(point: Point): readonly Callee<Point>[] =>
      this.#registered.flatMap((registered) => {
        const { hooks } = registered.settings;
        const hook = hooks[point];
        if (hook === undefined) return [];
        return [{ registered, call: (hook as (event: HookEvents[Point]) => unknown).bind(hooks) }];
      });
    this.#callees = {
      beforeCreate: at("beforeCreate"),
      afterCreate: at("afterCreate"),
      beforeEncrypt: at("beforeEncrypt"),
      afterEncrypt: at("afterEncrypt"),
      beforeDecrypt: at("beforeDecrypt"),
      afterDecrypt: at("afterDecrypt"),
      onLease: at("onLease"),
      onRevocation: at("onRevocation"),
      onDenied: at("onDenied"),
    };
  }

  /** Starts every plugin's hooks; rejects with the first failure. */
  async start(): Promise<void> {
    for (const { settings } of this.#registered) await settings.hooks.start?.();
  }

  /** For status: what each says of itself, and its counters. */
  status(): readonly (HookCounters & Health)[] {
    return this.#registered.map(({ settings, counters }) => ({
      ...counters,
      ...(settings.hooks.health?.() ?? { ok: true }),
    }));
  }

  /** Closes every one, whatever another does at that. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#registered.map(async ({ settings }) => settings.hooks.close?.()));
  }

  /** Whether anyone listens there: if not, no event needs to be made. */
  has(point: HookPoint): boolean {
    return this.#callees[point].length > 0;
  }

  get counters(): readonly Readonly<HookCounters>[] {
    return this.#registered.map(({ counters }) => counters);
  }

  /**
   * Asks the hooks in the configuration's order until one refuses. At once while they answer at once; a promise from the
   * first that answers later. Never throws or rejects.
   */
  ask<Point extends HookPoint>(point: Point, event: HookEvents[Point]): Answer | Promise<Answer> {
    return this.#askFrom(this.#callees[point] as readonly Callee<Point>[], 0, event);
  }

  /** Tells the hooks, without waiting for any. */
  tell<Point extends HookPoint>(point: Point, event: HookEvents[Point]): void {
    for (const callee of this.#callees[point] as readonly Callee<Point>[]) void this.#call(callee, event);
  }

  #askFrom<Point extends HookPoint>(
    callees: readonly Callee<Point>[],
    from: number,
    event: HookEvents[Point],
  ): Answer | Promise<Answer> {
    for (let index = from; index < callees.length; index++) {
      const answer = this.#call(callees[index]!, event);
      if (answer === undefined) continue;
      if (!(answer instanceof Promise)) return answer;
      return answer.then((later) => later ?? this.#askFrom(callees, index + 1, event));
    }
    return undefined;
  }

  #call<Point extends HookPoint>(callee: Callee<Point>, event: HookEvents[Point]): Answer | Promise<Answer> {
    const { registered, call } = callee;
    if (registered.counters.open >= OPEN_MAX) {
      registered.counters.overloaded++;
      return this.#failed(registered, `${OPEN_MAX} of its calls are open`);
    }
    try {
      const verdict = call(event);
      if (verdict === undefined) return undefined;
      if (isThenable(verdict)) return this.#await(registered, verdict);
      return this.#judge(registered, verdict);
    } catch (error) {
      return this.#threw(registered, error);
    }
  }

  #await(registered: Registered, verdict: PromiseLike<unknown>): Promise<Answer> {
    const { counters, settings } = registered;
    counters.open++;
    return new Promise((resolve) => {
      let decided = false;
      const decide = (answer: Answer): void => {
        decided = true;
        timer.cancel();
        resolve(answer);
      };
      const timer = this.#clock.schedule(settings.timeoutMs, () => {
        counters.late++;
        decide(this.#failed(registered, `it gave no answer within ${settings.timeoutMs} ms`));
      });
      Promise.resolve(verdict).then(
        (value) => {
          counters.open--;
          if (!decided) decide(value === undefined ? undefined : this.#judge(registered, value));
        },
        (error: unknown) => {
          counters.open--;
          if (!decided) decide(this.#threw(registered, error));
        },
      );
    });
  }

  #judge(registered: Registered, verdict: unknown): Answer {
    if (!isRefusal(verdict) || typeof verdict.sentence !== "string" || !CODE.test(String(verdict.code))) {
      registered.counters.threw++;
      return this.#failed(registered, "it answered neither nothing nor refuse(code, sentence)");
    }
    registered.counters.refused++;
    const { code } = verdict;
    return { hook: registered.settings.name, code, sentence: printable(verdict.sentence), failed: false };
  }

  #threw(registered: Registered, error: unknown): Answer {
    registered.counters.threw++;
    return this.#failed(registered, `it threw: ${printable(messageOf(error))}`);
  }

  #failed(registered: Registered, reason: string): Answer {
    const { name, onFailure } = registered.settings;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - registered.loggedMs >= LOG_EVERY_MS) {
      this.#log.warn({ hook: name, on_failure: onFailure, unlogged: registered.unlogged }, `a hook failed: ${reason}`);
      registered.loggedMs = nowMs;
      registered.unlogged = 0;
    } else {
      registered.unlogged++;
    }
    if (onFailure === "allow") return undefined;
    return { hook: name, code: "hook_failed", sentence: "A hook of this edge failed; ask its operator.", failed: true };
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null)?.then === "function";
}

/** One line of bounded length, whatever a plugin says. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is taken out.
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
  return line.length <= SENTENCE_MAX ? line : `${line.slice(0, SENTENCE_MAX)}…`;
}
