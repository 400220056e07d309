import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openServiceManager, watchdogMs } from "../../../src/base/system/service-manager.ts";
import { DatagramSocket } from "../../support/datagram-socket.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

describe.if(process.platform === "linux")("the service manager", () => {
  for (const kind of ["path", "abstract"] as const) {
    test(`is told over a socket (${kind}) when the edge serves, reloads and stops`, async () => {
      const directory = mkdtempSync(join(tmpdir(), "notify-"));
      const path = kind === "path" ? join(directory, "notify") : `@crypto-edge-test-${process.pid}`;
      using socket = new DatagramSocket(path);
      const warnings: string[] = [];
      const manager = await openServiceManager(new VirtualClock(), (message) => warnings.push(message), {
        NOTIFY_SOCKET: path,
      });
      manager.ready();
      manager.reloading();
      manager.stopping();
      expect(socket.messages()).toEqual([
        "READY=1\nSTATUS=serving",
        "RELOADING=1\nMONOTONIC_USEC=1000000",
        "STOPPING=1\nSTATUS=finishing requests in flight",
      ]);
      expect(warnings).toEqual([]);
      rmSync(directory, { recursive: true });
    });
  }

  test("has its watchdog fed twice in the time that it allows, for as long as the event loop turns", async () => {
    const path = `@crypto-edge-watchdog-${process.pid}`;
    using socket = new DatagramSocket(path);
    const clock = new VirtualClock();
    const manager = await openServiceManager(clock, () => {}, {
      NOTIFY_SOCKET: path,
      WATCHDOG_USEC: "10000000",
      WATCHDOG_PID: String(process.pid),
    });
    manager.ready();
    await clock.advance(30_000);
    expect(socket.messages().filter((message) => message === "WATCHDOG=1")).toHaveLength(7);
    manager.close();
    expect(clock.pending).toBe(0);
  });

  test("that is not there is warned of once, and one that never was costs nothing", async () => {
    const warnings: string[] = [];
    const gone = await openServiceManager(new VirtualClock(), (message) => warnings.push(message), {
      NOTIFY_SOCKET: "/nonexistent/notify",
    });
    gone.ready();
    gone.stopping();
    expect(warnings).toHaveLength(1);
    const none = await openServiceManager(new VirtualClock(), (message) => warnings.push(message), {});
    none.ready();
    expect(warnings).toHaveLength(1);
  });

  test("watches only the process that it names", () => {
    expect(watchdogMs({ WATCHDOG_USEC: "30000000" })).toBe(30_000);
    expect(watchdogMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: String(process.pid + 1) })).toBeUndefined();
    expect(watchdogMs({ WATCHDOG_USEC: "0" })).toBeUndefined();
    expect(watchdogMs({})).toBeUndefined();
  });
});
