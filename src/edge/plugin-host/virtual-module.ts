/**
 * How `import … from "crypto-edge/plugin"` works in a plugin that lies anywhere, with no package of that name near it.
 *
 * Under Bun, from source or compiled, the name is a virtual module that gives this program's own copy, which goes before
 * any copy in the plugin's `node_modules`: so there is one `KeySourceError`, and one TypeBox. Under Deno the import map of
 * deno.json does the same. What the module holds is the kit's to say (sdk/plugin/provide.ts): the host only offers it.
 */
const MODULE_NAME = "crypto-edge/plugin";

interface BunPluginBuilder {
  module(specifier: string, load: () => Promise<{ exports: Record<string, unknown>; loader: "object" }>): void;
}

interface BunRuntime {
  plugin(plugin: { name: string; setup(builder: BunPluginBuilder): void }): void;
}

let provided = false;

/** Makes the module importable by plugins; it is loaded when the first of them imports it. The first call counts. */
export function provideVirtualModule(load: () => Promise<Readonly<Record<string, unknown>>>): void {
  if (provided) return;
  provided = true;
  const bun = (globalThis as { Bun?: BunRuntime }).Bun;
  bun?.plugin({
    name: "crypto-edge",
    setup: (builder) => builder.module(MODULE_NAME, async () => ({ exports: { ...(await load()) }, loader: "object" })),
  });
}
