import type { Template } from "./shared.ts";

/** A transport that reads signed events from a folder. */
export function revocationTransportTemplate(name: string): Template {
  return {
    purpose: "It hands the edge the Core's signed events (JWS) that something else puts into a folder, one file each.",
    needsKeys: true,
    use: `revocation: { transports: [{ use: ${name}, ${name}: { folder: inbox } }] }\n`,
    files: { "inbox/README": "Signed events (JWS compact serializations) go here, as files that end in .jws.\n" },
    plugin: `import { readdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import {
  contribution,
  definePlugin,
  Duration,
  Path,
  type PluginContext,
  type RevocationSink,
  type RevocationTransport,
  Section,
  sleep,
  type Static,
} from "crypto-edge/plugin";

const configuration = Section({
  folder: Path({ description: "The folder that the events come into." }),
  every: Duration({ default: "200ms", minimumMs: 10, description: "How often the folder is looked at." }),
});

function create({ folder, every }: Static<typeof configuration>, { clock }: PluginContext): RevocationTransport {
  const stop = new AbortController();
  let running: Promise<void> | undefined;

  async function run(sink: RevocationSink): Promise<void> {
    let connected = false;
    while (!stop.signal.aborted) {
      try {
        const names = await readdir(folder);
        if (!connected && !stop.signal.aborted) sink.connected();
        connected = true;
        for (const name of names.filter((each) => each.endsWith(".jws")).sort()) {
          if (stop.signal.aborted) return;
          const file = join(folder, name);
          // Resolves once the event is applied or dropped. Only then is it put aside: after a crash it comes again.
          await sink.deliverSigned((await readFile(file, "utf8")).trim());
          await rename(file, \`\${file}.done\`);
        }
      } catch (error) {
        if (connected && !stop.signal.aborted) sink.disconnected(error instanceof Error ? error.message : String(error));
        connected = false;
      }
      await sleep(clock, every, stop.signal);
    }
  }

  return {
    name: "${name}",

    // The first look has begun when this resolves; a folder that is away does not stop the start.
    async start(sink) {
      running = run(sink);
    },

    async close() {
      stop.abort();
      await running;
    },
  };
}

export default definePlugin({
  name: "${name}",
  apiVersion: 1,
  revocationTransports: { "${name}": contribution({ configuration, create }) },
});
`,
    tests: `test("the edge sees the transport as connected", async () => {
  await until(async () => {
    const status = (await (await fetch(\`\${url}/v1/status\`)).json()) as {
      revocation: { transports: { name: string; connected: boolean }[] };
    };
    return status.revocation.transports.some(({ name, connected }) => name === "${name}" && connected);
  });
});

test("an event that the Core did not sign changes nothing, and is put aside", async () => {
  const inbox = join(import.meta.dir, "inbox");
  await Bun.write(join(inbox, "forged.jws"), "not.a.jws");
  await until(() => Bun.file(join(inbox, "forged.jws.done")).exists());
  await until(async () => (await call("create", { tenant: "tenant-a", service: "billing" })).status === 201);
});
`,
  };
}
