import type { Template } from "./shared.ts";

/** A hook that refuses keys for tenants that are closed, and counts. */
export function hookTemplate(name: string): Template {
  return {
    purpose: "It refuses new keys for tenants that are closed, and counts what it saw.",
    needsKeys: true,
    use: `hooks: [{ use: ${name}, on_failure: refuse, timeout: 100ms, ${name}: { closed_tenants: [tenant-closed] } }]\n`,
    plugin: `import { contribution, definePlugin, type Hooks, type PluginContext, refuse, Section, type Static, Type } from "crypto-edge/plugin";

const configuration = Section({
  closed_tenants: Type.Array(Type.String(), { default: [], description: "Tenants that get no new keys." }),
});

function create({ closed_tenants }: Static<typeof configuration>, { metrics }: PluginContext): Hooks {
  const closed = new Set(closed_tenants);
  const refused = metrics.counter("refused_total", "Keys refused since their tenant is closed.");

  return {
    // Answers at once, so the operation stays synchronous. A promise would make this operation, and no other, wait.
    beforeCreate({ tenant }) {
      if (!closed.has(tenant)) return undefined;
      refused.add();
      return refuse("tenant_closed", "This tenant is closed: ask its owner to open it again.");
    },
  };
}

export default definePlugin({
  name: "${name}",
  apiVersion: 1,
  hooks: { "${name}": contribution({ configuration, create }) },
});
`,
    tests: `test("a closed tenant gets no key, and is told why", async () => {
  const { status, body } = await call("create", { tenant: "tenant-closed", service: "billing" });
  expect(status).toBe(403);
  expect(body.code).toBe("refused_by_hook");
  expect(body.detail).toContain("tenant_closed");
});

test("any other tenant does", async () => {
  await until(async () => (await call("create", { tenant: "tenant-a", service: "billing" })).status === 201);
});
`,
  };
}
