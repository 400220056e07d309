import type { Template } from "./shared.ts";

/** A sink that appends lines to a file. */
export function auditSinkTemplate(name: string): Template {
  return {
    purpose: "It appends each audit event to a file, as a line of JSON.",
    needsKeys: true,
    use: `audit: { operations: all, sinks: [{ use: ${name}, ${name}: { file: events.log } }] }\n`,
    plugin: `import { type FileHandle, open } from "node:fs/promises";
import { type AuditSink, contribution, definePlugin, Path, Section, type Static } from "crypto-edge/plugin";

const configuration = Section({
  file: Path({ description: "The file that the events are appended to." }),
});

function create({ file }: Static<typeof configuration>): AuditSink {
  let handle: FileHandle | undefined;
  let lastFailure: string | undefined;

  return {
    name: "${name}",

    // Resolves only once the events are safe. A rejection means "not taken": the same batch comes again later.
    async write(events, signal) {
      signal.throwIfAborted();
      try {
        handle ??= await open(file, "a", 0o640);
        await handle.appendFile(events.map((event) => \`\${JSON.stringify(event)}\\n\`).join(""));
        await handle.datasync();
        lastFailure = undefined;
      } catch (error) {
        lastFailure = error instanceof Error ? error.message : String(error);
        throw error;
      }
    },

    health: () => (lastFailure === undefined ? { ok: true } : { ok: false, detail: lastFailure }),

    async close() {
      const open = handle;
      handle = undefined;
      await open?.close();
    },
  };
}

export default definePlugin({
  name: "${name}",
  apiVersion: 1,
  auditSinks: { "${name}": contribution({ configuration, create }) },
});
`,
    tests: `test("what is done is in the file, and no key is", async () => {
  await until(async () => (await call("create", { tenant: "tenant-a", service: "billing" })).status === 201);
  const made = await call("create", { tenant: "tenant-a", service: "billing", plaintext: true });
  const file = Bun.file(join(import.meta.dir, "events.log"));
  await until(async () => (await file.exists()) && (await file.text()).includes('"operation":"create"'));
  expect(await file.text()).not.toContain(made.body.plaintext!);
});
`,
  };
}
