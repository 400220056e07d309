/**
 * Tells systemd how the edge is (sd_notify): when it serves, that it stops, and, for the watchdog, that its event loop still
 * turns. Where no service manager asks, nothing is done.
 */

import type { Clock, Timer } from "../time/clock.ts";
import { unixAddress } from "../unix-address.ts";
import { loadSystemCalls, type SystemCalls } from "./system-calls.ts";

export interface ServiceManager {
  /** The edge listens. From now on the watchdog is fed. */
  ready(): void;
  /** SIGHUP was taken; `ready` says when it is done. */
  reloading(): void;
  stopping(): void;
  /** One line for `systemctl status`. */
  status(text: string): void;
  close(): void;
}

const NONE: ServiceManager = { ready() {}, reloading() {}, stopping() {}, status() {}, close() {} };

/** @param environment `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`, as systemd sets them. */
export async function openServiceManager(
  clock: Clock,
  warn: (message: string) => void,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<ServiceManager> {
  const path = environment.NOTIFY_SOCKET;
  if (path === undefined || path === "") return NONE;
  const { calls } = await loadSystemCalls();
  const address = unixAddress(path);
  if (calls === undefined || address === undefined) {
    warn("The service manager can't be told that the edge is ready: use Type=exec, or run the compiled binary.");
    return NONE;
  }
  return notifying(calls, address, clock, warn, watchdogMs(environment));
}

function notifying(
  calls: SystemCalls,
  address: Uint8Array,
  clock: Clock,
  warn: (message: string) => void,
  watchdog: number | undefined,
): ServiceManager {
  const encoder = new TextEncoder();
  let failed = false;
  let timer: Timer | undefined;
  const tell = (state: string): void => {
    const message = encoder.encode(state);
    if (calls.sendDatagram(address, message) === message.length || failed) return;
    failed = true;
    warn(`The service manager did not take a notification (errno ${calls.errno()}).`);
  };
  const feed = (intervalMs: number): void => {
    tell("WATCHDOG=1");
    timer = clock.schedule(intervalMs, () => feed(intervalMs));
  };
  return {
    ready() {
      tell("READY=1\nSTATUS=serving");
      // Twice in the time allowed, as sd_watchdog_enabled(3) asks.
      if (watchdog !== undefined && timer === undefined) feed(watchdog / 2);
    },
    reloading: () => tell(`RELOADING=1\nMONOTONIC_USEC=${Math.round(clock.monotonicMs() * 1000)}`),
    stopping: () => tell("STOPPING=1\nSTATUS=finishing requests in flight"),
    status: (text) => tell(`STATUS=${text.replaceAll("\n", " ")}`),
    close: () => timer?.cancel(),
  };
}

/** Undefined when no watchdog watches this process. */
export function watchdogMs(environment: Readonly<Record<string, string | undefined>>): number | undefined {
  const { WATCHDOG_USEC: microseconds, WATCHDOG_PID: pid } = environment;
  if (microseconds === undefined || !/^[1-9]\d{0,15}$/.test(microseconds)) return undefined;
  if (pid !== undefined && pid !== String(process.pid)) return undefined;
  return Number(microseconds) / 1000;
}
