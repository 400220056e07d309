/**
 * Several Cores over one store as one (core-protocol.md, "Several Cores"): a call goes to the one that answered last, and to
 * the others in turn where that gives no answer. One that failed is left alone for a while.
 */
import { type Backoff, backoffMs } from "../../../base/time/backoff.ts";
import type { Clock } from "../../../base/time/clock.ts";
import { systemClock } from "../../../base/time/system-clock.ts";
import { KeySourceError } from "../key-source.ts";
import { CoreCallError } from "./core-call-error.ts";
import {
  type CoreClient,
  type CoreClientOptions,
  createCoreClient,
  DEFAULT_TIMEOUT_MS,
  newInstance,
} from "./core-client.ts";

export interface CoreClientsOptions extends Omit<CoreClientOptions, "url"> {
  /** One or several, each `https://host:port`. */
  readonly urls: readonly string[];
  /** From 0 (included) to 1: which Core is asked first, and for how long a failed one is left. Spreads a fleet. */
  readonly random?: () => number;
}

/** With others to ask, one that does not answer is not waited for as long. */
const TIMEOUT_OF_SEVERAL_MS = 1_500;
const LEFT: Backoff = { firstMs: 1_000, maxMs: 15_000 };
/** A stream that was given up after so long a silence was the Core's fault. Heartbeats come every second. */
const SILENT_MS = 3_000;

interface Member {
  readonly client: CoreClient;
  failures: number;
  leftUntilMs: number;
}

/** @throws Error with a sentence that says what to do, for a URL or certificates that can never work. */
export function createCoreClients(options: CoreClientsOptions): CoreClient {
  const { urls, random = Math.random, clock = systemClock, ...rest } = options;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const [only] = urls;
  if (only !== undefined && urls.length === 1) return createCoreClient({ ...rest, clock, timeoutMs, url: only });
  const clients: CoreClient[] = [];
  const instance = options.instance ?? newInstance();
  try {
    for (const url of urls) {
      clients.push(
        createCoreClient({ ...rest, clock, url, instance, timeoutMs: Math.min(timeoutMs, TIMEOUT_OF_SEVERAL_MS) }),
      );
    }
  } catch (error) {
    for (const client of clients) client.close();
    throw error;
  }
  return combineCoreClients(clients, clock, random);
}

/** Clients of Cores over one store as one; closing it closes them. */
export function combineCoreClients(
  clients: readonly CoreClient[],
  clock: Pick<Clock, "monotonicMs">,
  random: () => number,
): CoreClient {
  const members = clients.map((client): Member => ({ client, failures: 0, leftUntilMs: 0 }));
  let first = Math.floor(random() * members.length);

  /** Those that are not left alone, the one in use first; where all are, those whose time ends first. */
  const inTurn = (): Member[] => {
    const nowMs = clock.monotonicMs();
    const turn = members.map((_, index) => members[(first + index) % members.length]!);
    const usable = turn.filter(({ leftUntilMs }) => leftUntilMs <= nowMs);
    return usable.length > 0 ? usable : turn.toSorted((a, b) => a.leftUntilMs - b.leftUntilMs);
  };
  const answered = (member: Member): void => {
    member.failures = 0;
    member.leftUntilMs = 0;
    first = members.indexOf(member);
  };
  const leave = (member: Member): void => {
    // At least the half of it: one that is away is not asked by every call in between.
    const leftMs = backoffMs(LEFT, member.failures, () => 0.5 + random() / 2);
    member.failures++;
    member.leftUntilMs = clock.monotonicMs() + leftMs;
  };

  async function ask<T>(call: (client: CoreClient) => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    let failure: unknown;
    for (const member of inTurn()) {
      try {
        const value = await call(member.client);
        answered(member);
        return value;
      } catch (error) {
        if (signal?.aborted || !mayAskAnother(error)) throw error;
        leave(member);
        failure = error;
      }
    }
    throw failure;
  }

  return {
    url: members[0]!.client.url,
    lease: (request, signal) => ask((client) => client.lease(request, signal), signal),
    keys: (signal) => ask((client) => client.keys(signal), signal),
    usage: (batch, signal) => ask((client) => client.usage(batch, signal), signal),
    applied: (place, signal) => ask((client) => client.applied(place, signal), signal),
    revocations: (lastEventId, handlers, signal) => {
      let following: Member | undefined;
      let heardMs = clock.monotonicMs();
      const heard = {
        ...handlers,
        onMessage: (message: Parameters<typeof handlers.onMessage>[0]): void => {
          heardMs = clock.monotonicMs();
          if (following !== undefined && following.failures > 0) answered(following);
          handlers.onMessage(message);
        },
      };
      const follow = async (): Promise<void> => {
        let failure: unknown;
        for (const member of inTurn()) {
          following = member;
          let isOpen = false;
          heardMs = clock.monotonicMs();
          try {
            await member.client.revocations(
              lastEventId,
              {
                ...heard,
                onOpen: () => {
                  isOpen = true;
                  handlers.onOpen?.();
                },
              },
              signal,
            );
            return;
          } catch (error) {
            const isSilent = clock.monotonicMs() - heardMs >= SILENT_MS;
            if (!signal.aborted || isSilent) leave(member);
            // The next stream resumes where this one broke off: whoever follows says where.
            if (signal.aborted || isOpen || !mayAskAnother(error)) throw error;
            failure = error;
          }
        }
        throw failure;
      };
      return follow();
    },
    reload(certificates) {
      for (const { client } of members) client.reload(certificates);
    },
    close() {
      for (const { client } of members) client.close();
    },
  };
}

/** No answer, or one that says that this Core can't answer now; a refusal is the same at every Core. */
function mayAskAnother(error: unknown): boolean {
  const cause = error instanceof KeySourceError ? error.cause : error;
  return cause instanceof CoreCallError && cause.retryable && cause.status !== 429;
}
