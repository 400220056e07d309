/**
 * How the rooms of the edge say what they contribute to it: a token that names a port, and a module that makes what answers for it
 * out of other ports. The composition root (edge/container.ts) lists the modules and binds them; nothing here knows the container.
 */
import type { LogPort } from "./log-port.ts";

declare const PORT: unique symbol;

/** The name of a port in the container. `Port` is what stands behind it. */
export type Token<Port> = symbol & { readonly [PORT]?: Port };

export function token<Port>(name: string): Token<Port> {
  return Symbol(name);
}

/** Gives what is bound to a port. At the start alone: nothing is resolved on the path of a request. */
export type Resolve = <Port>(token: Token<Port>) => Port;

/** What answers for one port. */
export interface Module<Port = unknown> {
  readonly token: Token<Port>;
  /** Makes it of the ports it needs, once. May take its time: the edge starts when all are there. */
  readonly make: (get: Resolve) => Port | Promise<Port>;
}

/** A value for a port in place of its module: the settings of a room, or a part that a test brings. */
export interface Binding<Port = unknown> {
  readonly token: Token<Port>;
  readonly value: Port;
}

/** Checks that the value is of the port's type. */
export function bind<Port>(token: Token<Port>, value: Port): Binding {
  return { token, value } as Binding;
}

export const LOG = token<LogPort>("Log");

/** Aborts when the process stops. */
export const STOPPING = token<AbortSignal>("Stopping");
