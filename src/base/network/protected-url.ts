/** Whether what is fetched there comes from whom the address names: over https, or on this machine. Names no user: a secret is no part of an address. */
import { isLoopback } from "./loopback-host.ts";

export function isProtectedUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== "" || password !== "") return false;
  return protocol === "https:" || (protocol === "http:" && isLoopback(hostname.replace(/^\[|\]$/g, "")));
}
