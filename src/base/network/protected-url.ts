/** Whether what is fetched there comes from whom the address names: over https, or on this machine. Names no user: a secret is no part of an address. */
import { isLoopbackUrl } from "./loopback-host.ts";

export function isProtectedUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") return false;
  return url.protocol === "https:" || (url.protocol === "http:" && isLoopbackUrl(url));
}
