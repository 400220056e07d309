/** The container while the edge is composed: tsyringe's, which leaves the heap when everything is made. */
import type { DependencyContainer } from "tsyringe";
import type { Binding, Resolve, Token } from "../base/module.ts";
import { runForStart } from "../base/system/start-code.ts";

type Functions = Record<PropertyKey, unknown>;

class Injector {
  #container: DependencyContainer | undefined;
  readonly #made = new Map<symbol, unknown>();

  constructor(container: DependencyContainer) {
    this.#container = container;
  }

  add({ token, value }: Binding): void {
    this.#container?.register(token, { useFactory: () => value });
    this.#made.set(token, undefined);
  }

  has(token: Token<unknown>): boolean {
    return this.#container?.isRegistered(token) === true;
  }

  readonly resolve = ((token: symbol) =>
    this.#container === undefined ? this.#made.get(token) : this.#container.resolve(token)) as Resolve;

  /** All is made: what is resolved after this is looked up in a table. */
  finish(): void {
    for (const token of this.#made.keys()) this.#made.set(token, this.#container?.resolve(token));
    this.#container = undefined;
  }
}

export async function openInjector(): Promise<Injector> {
  const { container } = await runForStart(importTsyringe);
  return new Injector(container.createChildContainer());
}

/**
 * tsyringe refuses to load without the metadata of decorators, which nothing here has, and its helpers put themselves on the global object:
 * neither stays there.
 */
async function importTsyringe(): Promise<typeof import("tsyringe")> {
  const reflect = Reflect as unknown as Functions;
  const missing = reflect.getMetadata === undefined;
  const before = new Set(Object.keys(globalThis));
  if (missing) reflect.getMetadata = () => undefined;
  try {
    return await import("tsyringe");
  } finally {
    if (missing) Reflect.deleteProperty(reflect, "getMetadata");
    for (const name of Object.keys(globalThis)) {
      if (name.startsWith("__") && !before.has(name)) Reflect.deleteProperty(globalThis, name);
    }
  }
}
