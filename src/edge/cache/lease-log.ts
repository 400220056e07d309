import type { LogPort } from "../../base/log-port.ts";
import type { LeaseEvent } from "./lease-events.ts";

/**
 * Lease events as log lines, each at the level of its meaning. Warnings are as many as calls fail, which the circuit
 * bounds: an outage does not fill a disk.
 */
export function createLeaseLog(log: Pick<LogPort, "debug" | "info" | "warn">): (event: LeaseEvent) => void {
  let isAway = false;
  return (event) => {
    switch (event.type) {
      case "circuit":
        // While the source is away each try opens the circuit again: worth a line for who looks closely.
        if (event.state === "open" && !isAway) log.warn(event, "the key source failed and is left alone for a moment");
        else if (event.state === "closed") log.info(event, "the key source answers again");
        else log.debug(event, "lease");
        if (event.state !== "half_open") isAway = event.state === "open";
        break;
      case "renewal_failed":
        log.warn(event, "a lease could not be renewed: it is served to its deadline");
        break;
      case "withdrawn":
        log.warn(event, "the key source refuses a key that was leased: it was wiped");
        break;
      case "clock_jump":
        log.warn(event, "the wall clock jumped, or the machine slept");
        break;
      default:
        log.debug(event, "lease");
    }
  };
}
