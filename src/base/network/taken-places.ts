import { realpathSync } from "node:fs";
import { isIPv4 } from "node:net";
import { basename, dirname, join } from "node:path";

interface Taker {
  readonly host: string;
  readonly port: number;
  readonly who: string;
}

/** Where listeners of one configuration are to listen: two on one port or path, and the second could not open. */
export class TakenPlaces {
  readonly #ports: Taker[] = [];
  readonly #paths = new Map<string, string>();

  /** `who` is for a person. Answers why it can't have the port, where it can't. Port 0 is a free one each time. */
  takePort({ host, port }: { readonly host: string; readonly port: number }, who: string): string | undefined {
    if (port === 0) return undefined;
    const other = this.#ports.find((taker) => taker.port === port && meet(taker.host, host));
    this.#ports.push({ host, port, who });
    return other && refusal(who, other.who, `${host}:${port}`);
  }

  /** Likewise, by whichever links the path is named. */
  takePath(path: string, who: string): string | undefined {
    const place = withoutLinks(path);
    const other = this.#paths.get(place);
    this.#paths.set(place, who);
    return other && refusal(who, other, path);
  }
}

function meet(one: string, other: string): boolean {
  const [a, b] = [addressOf(one), addressOf(other)];
  const covers = (all: string, each: string): boolean => all === "::" || (all === "0.0.0.0" && isIPv4(each));
  return a === b || covers(a, b) || covers(b, a);
}

function addressOf(host: string): string {
  return host === "localhost" ? "127.0.0.1" : host;
}

function withoutLinks(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path));
  } catch {
    return path;
  }
}

function refusal(who: string, other: string, place: string): string {
  return `${who} would listen where ${other} does already, on ${place}: choose another`;
}
