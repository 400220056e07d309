import { OperationError } from "../errors.ts";
import type { Http1Head } from "./http1/head.ts";

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Whether what is sent there stays on this machine. */
export function isLoopbackUrl({ hostname }: URL): boolean {
  return isLoopback(hostname.replace(/^\[|\]$/g, ""));
}

/** Whether a `Host` header names this machine, with or without a port. */
export function namesLoopback(header: string): boolean {
  return LOOPBACK.test(header);
}

/**
 * For a listener on loopback: refuses requests that name another host. A browser on this machine can be led to send those
 * by a page whose own name was made to point at 127.0.0.1 (DNS rebinding); it could then read the answers.
 */
export function createHostCheck(): (head: Http1Head) => OperationError | undefined {
  let seen: string | undefined;
  return ({ headers }) => {
    const host = headers.fields.get("host");
    // One client writes the same name each time.
    if (host !== undefined && (host === seen || namesLoopback(host))) {
      seen = host;
      return undefined;
    }
    const sentence = "This listener is for this machine: call it as localhost, 127.0.0.1 or [::1].";
    return new OperationError("misdirected_request", sentence);
  };
}
