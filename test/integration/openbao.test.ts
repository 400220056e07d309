/** The OpenBao plugin against a real server: `bao` or `vault` from the PATH. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createOpenBaoSource } from "../../plugins/openbao/plugin.ts";
import { plaintextOf } from "../../plugins/openbao/server.ts";
import { createThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { systemClock } from "../../src/base/time/system-clock.ts";
import type { KeySource, LeaseGrant, LeaseRequest } from "../../src/edge/key-source/key-source.ts";
import type { PluginContext } from "../../src/edge/plugin-host/plugin.ts";
import { checkPlugin } from "../../src/sdk/conformance/check-plugin.ts";
import { printReport, totalsOf } from "../../src/sdk/conformance/report.ts";
import { freePort } from "../support/free-port.ts";
import { openBaoProgram } from "../support/installed.ts";
import { OpenBaoServer } from "./support/openbao-server.ts";

const PLUGIN = resolve(import.meta.dir, "../../plugins/openbao");
const PROGRAM = openBaoProgram();
const ROOT = "root-of-the-tests";
const never = new AbortController().signal;

const nothing = { add() {}, set() {}, observe() {} };
const context: PluginContext = {
  log: { info() {}, warn() {}, error() {} },
  clock: systemClock,
  metrics: { counter: () => nothing, gauge: () => nothing, histogram: () => nothing },
  edgeId: "edge-test",
  directory: "/",
  signal: never,
  attempt: async (_name, run) => run(),
  follow: async ({ take }) => take(),
};

describe.skipIf(PROGRAM === undefined)("OpenBao or Vault as the key source", () => {
  let folder: string;
  let address: string;
  let bao: OpenBaoServer;
  const sources: KeySource[] = [];

  const api: OpenBaoServer["call"] = (...call) => bao.call(...call);

  function keys(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(PLUGIN, "keys.ts"), ...args, "--address", address, "--transit-key", "crypto-edge"],
      { encoding: "utf8", env: { ...process.env, VAULT_TOKEN: ROOT } },
    );
    if (status !== 0) throw new Error(stdout + stderr);
    return stdout;
  }

  function sourceWith(section: object): KeySource {
    const configuration = {
      address,
      transit: { mount: "transit", key: "crypto-edge" },
      kv: { mount: "secret", prefix: "crypto-edge" },
      timeout: 3_000,
      ttl: 300_000,
      refresh_after: 240_000,
    };
    // As they are: a property may give another value each time.
    Object.defineProperties(configuration, Object.getOwnPropertyDescriptors(section));
    const source = createOpenBaoSource(configuration as never, context);
    sources.push(source);
    return source;
  }

  const lease = (source: KeySource, request: Partial<LeaseRequest> = {}): Promise<LeaseGrant> =>
    source.lease({ tenant: "tenant-a", service: "billing", ...request }, never);
  const versionsOf = ({ versions }: LeaseGrant): string[] =>
    versions.map(({ version, state }) => `${version} ${state}`).sort();

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "crypto-edge-bao-"));
    bao = await OpenBaoServer.start(PROGRAM!, "crypto-edge");
    address = bao.address;
    await api("sys/policies/acl/edge", {
      policy: `path "secret/data/crypto-edge/*" { capabilities = ["read"] }
               path "transit/decrypt/crypto-edge" { capabilities = ["update"] }`,
    });
    await api("sys/auth/approle", { type: "approle" });
    keys("create", "tenant-a", "billing");
  }, 300_000);

  afterAll(async () => {
    for (const source of sources) await source.close();
    await bao?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  async function approle(settings: object): Promise<{ role_id: string; secret_id: string; mount: string }> {
    await api("auth/approle/role/edge", { token_policies: "edge", ...settings });
    const { data: role } = await api("auth/approle/role/edge/role-id");
    const { data: secret } = await api("auth/approle/role/edge/secret-id", {});
    return {
      ...(role as { role_id: string }),
      secret_id: (secret as { secret_id: string }).secret_id,
      mount: "approle",
    };
  }

  test("leases a key that Transit opens, the same each time, bound to its name", async () => {
    const source = sourceWith({ token: ROOT });
    const [first, second] = [await lease(source), await lease(source)];
    expect(versionsOf(first)).toEqual(["1 active"]);
    expect(first.versions[0]!.key).toHaveLength(32);
    expect(Buffer.compare(first.versions[0]!.key, second.versions[0]!.key)).toBe(0);

    const { data } = await api("secret/data/crypto-edge/tenant-a/billing");
    await api("secret/data/crypto-edge/tenant-z/billing", { data: (data as { data: object }).data });
    await expect(lease(source, { tenant: "tenant-z" })).rejects.toMatchObject({ code: "unavailable" });
  });

  test("a rotation is leased with the old version beside it; states and unknown names are answers", async () => {
    const source = sourceWith({ token: ROOT });
    keys("create", "tenant-r", "billing");
    keys("create", "tenant-r", "billing");
    expect(versionsOf(await lease(source, { tenant: "tenant-r" }))).toEqual(["1 deprecated", "2 active"]);
    expect(keys("list", "tenant-r", "billing")).toBe("tenant-r/billing/1 deprecated\ntenant-r/billing/2 active\n");
    keys("state", "tenant-r", "billing", "1", "compromised");
    expect(versionsOf(await lease(source, { tenant: "tenant-r" }))).toEqual(["2 active"]);
    await expect(lease(source, { tenant: "tenant-r", version: 1 })).rejects.toMatchObject({ code: "key_revoked" });
    await expect(lease(source, { tenant: "tenant-r", version: 7 })).rejects.toMatchObject({ code: "key_not_found" });
    await expect(lease(source, { tenant: "nobody" })).rejects.toMatchObject({ code: "key_not_found" });
    await api("secret/data/crypto-edge/tenant-r/billing", undefined, ROOT, "DELETE");
    await expect(lease(source, { tenant: "tenant-r" })).rejects.toMatchObject({ code: "key_revoked" });
  });

  test("a store or an engine that is not there is no answer about the key", async () => {
    for (const section of [{ kv: { mount: "nowhere", prefix: "x" } }, { transit: { mount: "nowhere", key: "x" } }]) {
      await expect(lease(sourceWith({ token: ROOT, ...section }))).rejects.toMatchObject({ code: "unavailable" });
    }
  });

  test("logs in with AppRole, once for many calls", async () => {
    const source = sourceWith({ approle: await approle({ token_ttl: "1h" }) });
    const grants = await Promise.all(Array.from({ length: 20 }, () => lease(source)));
    expect(grants).toHaveLength(20);
    expect(source.health?.()).toEqual({ ok: true });
  });

  test("shows the token and the secret id of the time: a section's secrets follow their files", async () => {
    const token = async (): Promise<string> => {
      const { auth } = await api("auth/token/create", { policies: ["edge"] });
      return (auth as { client_token: string }).client_token;
    };
    let given = await token();
    const source = sourceWith({
      get token() {
        return given;
      },
    });
    await lease(source);
    await api("auth/token/revoke", { token: given });
    await expect(lease(source)).rejects.toMatchObject({ code: "unavailable" });
    given = await token();
    await lease(source);
    // One that is still good is shown no more once there is another.
    given = "wrong";
    await expect(lease(source)).rejects.toMatchObject({ code: "unavailable" });

    const role = await approle({ token_ttl: "1h" });
    let secretId = "wrong";
    const byRole = sourceWith({
      approle: {
        ...role,
        get secret_id() {
          return secretId;
        },
      },
    });
    await expect(lease(byRole)).rejects.toMatchObject({ code: "unavailable" });
    secretId = role.secret_id;
    await lease(byRole);
  });

  test("renews a token before it ends, logs in anew at its longest life, and once more when it was withdrawn", async () => {
    const source = sourceWith({ approle: await approle({ token_ttl: "2s", token_max_ttl: "4s" }) });
    const endMs = performance.now() + 7_000;
    while (performance.now() < endMs) {
      await lease(source);
      await Bun.sleep(500);
    }
    await api("sys/leases/revoke-prefix/auth/approle/login", {}, ROOT, "PUT");
    expect(versionsOf(await lease(source))).toEqual(["1 active"]);
  }, 300_000);

  test("logs in with a Kubernetes service account, whose token the server has reviewed", async () => {
    const reviewer = await startTokenReviewer("the-jwt-of-the-pod");
    try {
      await api("sys/auth/kubernetes", { type: "kubernetes" });
      await api("auth/kubernetes/config", {
        kubernetes_host: `http://127.0.0.1:${(reviewer.address() as AddressInfo).port}`,
        disable_local_ca_jwt: true,
        // The server wants one, though the address has no TLS.
        kubernetes_ca_cert: (await createThrowAwayPki()).authority.certificate,
        disable_iss_validation: true,
      });
      await api("auth/kubernetes/role/edge", {
        bound_service_account_names: "crypto-edge",
        bound_service_account_namespaces: "default",
        token_policies: "edge",
      });
      const jwtFile = join(folder, "jwt");
      const section = { kubernetes: { role: "edge", jwt_file: jwtFile, mount: "kubernetes" } };
      writeFileSync(jwtFile, "another.jwt.altogether");
      await expect(lease(sourceWith(section))).rejects.toMatchObject({ code: "unavailable" });
      writeFileSync(jwtFile, `${jwtOf("the-jwt-of-the-pod")}\n`);
      expect(versionsOf(await lease(sourceWith(section)))).toEqual(["1 active"]);
    } finally {
      reviewer.close();
    }
  });

  test("a token that is no good is unavailable; one that is not allowed is an answer", async () => {
    const source = sourceWith({ token: "wrong" });
    await source.start?.();
    await expect(lease(source)).rejects.toMatchObject({ code: "unavailable" });
    expect(source.health?.()).toMatchObject({ ok: false });

    await api("sys/policies/acl/nothing", { policy: 'path "nothing" { capabilities = ["read"] }' });
    const { auth } = await api("auth/token/create", { policies: ["nothing"] });
    const notAllowed = sourceWith({ token: (auth as { client_token: string }).client_token });
    await expect(lease(notAllowed)).rejects.toMatchObject({ code: "edge_not_allowed" });
  });

  test("the namespace goes with every call", async () => {
    const seen: IncomingHttpHeaders[] = [];
    const proxy = createServer((request, response) => {
      seen.push(request.headers);
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", async () => {
        const { "x-vault-namespace": _, host: __, connection: ___, ...headers } = request.headers;
        const answer = await fetch(`${address}${request.url}`, {
          method: request.method!,
          headers: headers as Record<string, string>,
          ...(chunks.length > 0 ? { body: Buffer.concat(chunks) } : {}),
        });
        response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
      });
    });
    await new Promise<void>((listening) => proxy.listen(0, "127.0.0.1", listening));
    const through = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    await lease(sourceWith({ address: through, namespace: "team-a", token: ROOT }));
    proxy.close();
    expect(seen.length).toBeGreaterThanOrEqual(3);
    expect(new Set(seen.map((headers) => headers["x-vault-namespace"]))).toEqual(new Set(["team-a"]));
  });

  test("a sealed server and one that is gone are unavailable, and it is used again once it is back", async () => {
    const source = sourceWith({ token: ROOT });
    await lease(source);
    await api("sys/seal", {}, ROOT, "PUT");
    await expect(lease(source)).rejects.toMatchObject({ code: "unavailable" });
    await bao.kill();
    await expect(lease(source)).rejects.toMatchObject({ code: "unavailable" });
    await bao.start();
    keys("create", "tenant-a", "billing");
    expect(versionsOf(await lease(source))).toEqual(["1 active"]);
    expect(source.health?.()).toEqual({ ok: true });
  }, 300_000);

  test("the plugin keeps every rule of the conformance kit", async () => {
    keys("create", "tenant-k", "billing");
    const configuration = (url: string): string => `
edge: { id: check }
key_source: { use: openbao, openbao: { address: "${url}", token: ${ROOT}, timeout: 1s, transit: { key: crypto-edge } } }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create] }]
plugins: ["${PLUGIN}"]`;
    const config = join(folder, "check.yaml");
    const away = join(folder, "away.yaml");
    writeFileSync(config, configuration(address));
    writeFileSync(away, configuration(`http://127.0.0.1:${await freePort()}`));
    const report = await checkPlugin(PLUGIN, { config, away, key: "tenant-k/billing" });
    console.log(printReport(report));
    expect(totalsOf(report)).toMatchObject({ broken: 0, notTried: 0 });
  }, 300_000);
});

test("the key is decoded from the answer's bytes, whatever stands around it", () => {
  const key = crypto.getRandomValues(new Uint8Array(32));
  const body = (text: string): Buffer => Buffer.from(`{"a":"b","data":{"plaintext":"${text}"},"auth":null}`);
  expect(plaintextOf(body(Buffer.from(key).toString("base64")), 32)).toEqual(key);
  expect(plaintextOf(body(Buffer.alloc(31).toString("base64")), 32)).toBeUndefined();
  expect(plaintextOf(body(Buffer.alloc(33).toString("base64")), 32)).toBeUndefined();
  expect(plaintextOf(body("€"), 32)).toBeUndefined();
  expect(plaintextOf(Buffer.from("{}"), 32)).toBeUndefined();
  expect(plaintextOf(Buffer.from('{"plaintext":"AAAA'), 32)).toBeUndefined();
});

/** A token that has the form of a service account's, with a claim to tell it by. */
function jwtOf(name: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const account = { namespace: "default", serviceaccount: { name: "crypto-edge", uid: "uid-1" } };
  const claims = {
    iss: "kubernetes/serviceaccount",
    sub: "system:serviceaccount:default:crypto-edge",
    name,
    "kubernetes.io": account,
  };
  return `${part({ alg: "RS256" })}.${part(claims)}.${Buffer.from("signature").toString("base64url")}`;
}

/** The one call that the server makes to Kubernetes: a TokenReview. */
async function startTokenReviewer(name: string): Promise<Server> {
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk));
    request.on("end", () => {
      const { spec } = JSON.parse(text) as { spec: { token: string } };
      const authenticated = spec.token === jwtOf(name);
      const user = { username: "system:serviceaccount:default:crypto-edge", uid: "uid-1", groups: [] };
      response.writeHead(201, { "content-type": "application/json" }).end(
        JSON.stringify({
          apiVersion: "authentication.k8s.io/v1",
          kind: "TokenReview",
          status: authenticated ? { authenticated, user } : { authenticated: false, error: "no" },
        }),
      );
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return server;
}
