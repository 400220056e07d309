/**
 * A handshake costs more than all that a small request does after it, and who calls is known only at its end. So what is bounded before it are
 * addresses: one whose handshakes fail again and again is turned away at the door, for a quarter of the cost.
 */
import type { Clock } from "../../time/clock.ts";
import { TokenBuckets } from "../../time/token-bucket.ts";

/** Addresses that are remembered. */
const ADDRESSES_MAX = 10_000;
/** How often an address that is turned away is told of. */
const TELL_EVERY_SECONDS = 60;

export class HandshakeLimit {
  readonly #failures: TokenBuckets;
  readonly #told: TokenBuckets;

  /** `failuresPerSecond`: of one address, and as many at once after a rest. */
  constructor(failuresPerSecond: number, clock: Pick<Clock, "monotonicMs">) {
    this.#failures = new TokenBuckets({ perSecond: failuresPerSecond }, clock, ADDRESSES_MAX);
    this.#told = new TokenBuckets({ perSecond: 1 / TELL_EVERY_SECONDS, burst: 1 }, clock, ADDRESSES_MAX);
  }

  /** Asked before a handshake: whether the address may try. */
  admits(address: string): boolean {
    return this.#failures.peek(networkOf(address))?.isEmpty !== true;
  }

  /** Whether it is time to tell that the address is turned away. */
  isToBeTold(address: string): boolean {
    return this.#told.get(networkOf(address)).take(1) === 0;
  }

  failed(address: string): void {
    this.#failures.get(networkOf(address)).take(1);
  }

  /** Makes up for a failure: callers behind one address (a load balancer, a NAT) are not all to pay for one of them. */
  succeeded(address: string): void {
    this.#failures.peek(networkOf(address))?.giveBack(1);
  }
}

/** Whoever has one address of IPv6 has its whole /64. */
export function networkOf(address: string): string {
  if (!address.includes(":") || address.startsWith("::ffff:")) return address;
  const [head = "", tail] = address.split("%")[0]!.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - front.length - back.length);
  return [...front, ...Array<string>(zeros).fill("0"), ...back].slice(0, 4).join(":");
}
