import type { Template } from "./shared.ts";

/** A door that makes and opens data keys over text lines in HTTP. */
export function doorTemplate(name: string): Template {
  return {
    purpose: "It makes and opens data keys by two paths, in hexadecimal.",
    needsKeys: true,
    doors: `native, ${name}`,
    use: `doors: { ${name}: { mount: ${name} } }\n`,
    plugin: `import {
  OperationError,
  definePlugin,
  door,
  type DoorAnswer,
  type DoorContext,
  type HttpDoor,
  Section,
  type Static,
  Type,
  wipe,
} from "crypto-edge/plugin";

const configuration = Section({
  mount: Type.String({ pattern: "^[a-z0-9-]+$", description: "What its paths begin with." }),
});

const text = (status: number, body: string, more: Record<string, string> = {}): DoorAnswer => ({
  status,
  headers: { "Content-Type": "text/plain", ...more },
  body: \`\${body}\\n\`,
});

/** In this protocol's words: what the listener refuses, and what operations throw. A defect's own message is for the log. */
function refuse(error: unknown): DoorAnswer {
  if (!(error instanceof OperationError)) return text(500, "It failed.");
  const seconds = error.retryAfterMs === undefined ? {} : { "Retry-After": String(Math.ceil(error.retryAfterMs / 1000)) };
  return text(error.status, \`\${error.code}: \${error.message}\`, seconds);
}

function create({ mount }: Static<typeof configuration>, { operations }: DoorContext): HttpDoor {
  return {
    name: "${name}",
    transport: "http",
    routes: [
      {
        methods: ["POST"],
        path: \`/\${mount}/make/:tenant/:service\`,
        bodyBytesMax: 0,
        async handle(_request, caller, { tenant = "", service = "" }) {
          try {
            const { wrapped } = await operations.createKey(caller, { tenant, service });
            return text(201, Buffer.from(wrapped).toString("hex"));
          } catch (error) {
            return refuse(error);
          }
        },
      },
      {
        methods: ["POST"],
        path: \`/\${mount}/open\`,
        bodyBytesMax: 4_096,
        async handle({ body }, caller) {
          const wrapped = Buffer.from(Buffer.from(body).toString("latin1").trim(), "hex");
          try {
            const { plaintext } = await operations.decryptKey(caller, { wrapped });
            const answer = text(200, Buffer.from(plaintext).toString("hex"));
            wipe(plaintext);
            return answer;
          } catch (error) {
            return refuse(error);
          }
        },
      },
    ],
    refuse,
  };
}

export default definePlugin({
  name: "${name}",
  apiVersion: 1,
  doors: { "${name}": door({ transport: "http", configuration, create }) },
});
`,
    tests: `test("a key that it made opens again, natively too", async () => {
  const post = (path: string, body = "") => fetch(\`\${url}/${name}/\${path}\`, { method: "POST", body });
  await until(async () => (await post("make/tenant-a/billing")).status === 201);
  const wrapped = (await (await post("make/tenant-a/billing")).text()).trim();
  const opened = (await (await post("open", wrapped)).text()).trim();
  const native = await call("decrypt", { wrapped: Buffer.from(wrapped, "hex").toString("base64url") });
  expect(Buffer.from(native.body.plaintext!, "base64url").toString("hex")).toBe(opened);
});

test("what it refuses is in its own words", async () => {
  const answer = await fetch(\`\${url}/${name}/open\`, { method: "POST", body: "nonsense" });
  expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining("invalid_blob: ")]);
});
`,
  };
}
