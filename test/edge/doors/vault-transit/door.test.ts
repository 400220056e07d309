/** The front door `vault-transit` of a whole edge: docs/door-vault-transit.md, by requests as Vault's clients send them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { type DoorEdge, startDoorEdge } from "../../../support/door-edge.ts";

let edge: DoorEdge;
beforeAll(async () => {
  edge = await startDoorEdge({
    listeners: `
  - { http: "127.0.0.1:0", principal: local, doors: [native, aws-kms, vault-transit] }
  - { unix: FOLDER/vault.sock, principal: local, doors: [vault-transit], vault-transit: { mount: a/b, tenant: tenant-d } }`,
    doors:
      "{ vault-transit: { keys: { my-key: { tenant: tenant-a, service: billing }, tenant-a/other: { tenant: tenant-o, service: main } } } }",
  });
});
afterAll(() => edge.close());

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly data: Record<string, unknown>;
  readonly errors: string[];
  readonly warnings: string[] | null;
  readonly auth: Record<string, unknown> | null;
  readonly text: string;
}

const TOKEN = { "x-vault-token": "any" };
const TENANT = { ...TOKEN, "x-vault-namespace": "tenant-a" };

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = TENANT,
): Promise<Answer> {
  const init = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
  const response = await fetch(`${edge.url}/v1/${path}`, { method, headers, ...init });
  const text = await response.text();
  return { ...(text === "" ? {} : JSON.parse(text)), status: response.status, headers: response.headers, text };
}

/** An edge of its own: one that finds its source failing leaves it alone for a while, for every key. */
async function withoutSource(use: (url: string) => Promise<void>): Promise<void> {
  const alone = await startDoorEdge({
    listeners: `  - { http: "127.0.0.1:0", principal: local, doors: [vault-transit] }`,
  });
  await use(alone.url);
  await alone.close();
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const PLAINTEXT = base64("the value");

describe("encrypt, decrypt and rewrap", () => {
  test("give back what was given, in Vault's envelope, with POST and PUT alike", async () => {
    for (const method of ["POST", "PUT"]) {
      const made = await call(method, "transit/encrypt/billing", { plaintext: PLAINTEXT, name: "billing" });
      expect(made.status).toBe(200);
      expect(made.data.ciphertext).toMatch(/^vault:v\d+:[A-Za-z0-9+/]+=*$/);
      expect(made.data.key_version).toBe(edge.activeVersion);
      expect(JSON.parse(made.text)).toMatchObject({
        lease_id: "",
        renewable: false,
        lease_duration: 0,
        wrap_info: null,
        warnings: null,
        auth: null,
      });
      expect(JSON.parse(made.text).request_id).toMatch(/^[0-9a-f]{16}$/);
      const opened = await call(method, "transit/decrypt/billing", { ciphertext: made.data.ciphertext });
      expect(opened.data).toEqual({ plaintext: PLAINTEXT });
    }
  });

  test("bind context and associated data, whatever way their base64 is written", async () => {
    const bound = { context: base64("context"), associated_data: base64("data") };
    const { data } = await call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT, ...bound });
    const { ciphertext } = data;
    const open = (more: object) => call("POST", "transit/decrypt/billing", { ciphertext, ...more });
    expect(
      (await open({ ...bound, context: `${bound.context.slice(0, 4)}\n${bound.context.slice(4)}` })).data.plaintext,
    ).toBe(PLAINTEXT);
    for (const wrong of [
      {},
      { context: bound.context },
      { associated_data: bound.associated_data },
      { context: bound.associated_data, associated_data: bound.context },
    ]) {
      const refused = await open(wrong);
      expect([refused.status, refused.errors]).toEqual([400, ["cipher: message authentication failed"]]);
    }
    const none = await call("POST", "transit/encrypt/billing", {
      plaintext: PLAINTEXT,
      context: "",
      associated_data: "",
    });
    expect((await call("POST", "transit/decrypt/billing", { ciphertext: none.data.ciphertext })).data.plaintext).toBe(
      PLAINTEXT,
    );
    for (const context of ["%", "AAA", 7]) {
      expect((await open({ context })).errors).toEqual(["failed to base64-decode context"]);
    }
  });

  test("rewrap goes to the active version, associated data or not, and old versions open", async () => {
    const associated_data = base64("data");
    const old = await call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT, associated_data });
    const before = edge.activeVersion++;
    const key = "tenant-a/transit/rewrap/fresh";
    const first = await call("POST", "tenant-a/transit/encrypt/fresh", { plaintext: PLAINTEXT }, TOKEN);
    expect(first.data.key_version).toBe(before + 1);
    const again = await call("PUT", key, { ciphertext: first.data.ciphertext }, TOKEN);
    expect(again.data.key_version).toBe(before + 1);
    const opened = await call("POST", "transit/decrypt/billing", { ciphertext: old.data.ciphertext, associated_data });
    expect(opened.data.plaintext).toBe(PLAINTEXT);
    const rewrapped = await call("POST", "transit/rewrap/billing", {
      ciphertext: old.data.ciphertext,
      associated_data,
    });
    expect(rewrapped.status).toBe(200);
    expect(rewrapped.data.ciphertext).not.toBe(old.data.ciphertext as string);
  });

  test("under a name whose key the ciphertext is not of are refused, to whoever may use the name", async () => {
    const { data } = await call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT });
    const other = (operation: string, name: string, headers = TENANT) =>
      call("POST", `transit/${operation}/${name}`, { ciphertext: data.ciphertext }, headers);
    for (const operation of ["decrypt", "rewrap"]) {
      expect(await other(operation, "another")).toMatchObject({
        status: 400,
        errors: ["invalid ciphertext: it was made under another key"],
      });
      expect(await other(operation, "billing", { ...TOKEN, "x-vault-namespace": "denied" })).toMatchObject({
        status: 403,
        errors: ["permission denied"],
      });
    }
  });

  test("refuse a ciphertext that is none, or whose version is not the blob's", async () => {
    const { data } = await call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT });
    const text = data.ciphertext as string;
    const changed = [
      text.replace(/v\d+/, "v9"),
      text.replace("vault:v", "vault:v0"),
      text.replace("vault", "Vault"),
      `${text}=`,
      "vault:v1:AAAA",
      "vault:v1:",
      "vault:v1",
      "x",
      "vault:vx:AAAA",
      text.replaceAll("vault:", ""),
    ];
    for (const ciphertext of changed) {
      const refused = await call("POST", "transit/decrypt/billing", { ciphertext });
      expect([ciphertext, refused.status, refused.errors[0]!.slice(0, 19)]).toEqual([
        ciphertext,
        400,
        "invalid ciphertext:",
      ]);
    }
    for (const ciphertext of [undefined, "", 7, null]) {
      expect((await call("POST", "transit/decrypt/billing", { ciphertext })).errors).toEqual([
        "missing ciphertext to decrypt",
      ]);
    }
  });

  test("refuse what must not be ignored, and ignore what may be", async () => {
    for (const member of [
      { nonce: "AAAA" },
      { convergent_encryption: true },
      { type: "rsa-2048" },
      { padding_scheme: "oaep" },
      { iv: "AA==" },
      { key_version: 99 },
      { key_version: -1 },
      { key_version: "x" },
    ]) {
      const refused = await call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT, ...member });
      expect([member, refused.status]).toEqual([member, 400]);
    }
    const wrapped = await call(
      "POST",
      "transit/encrypt/billing",
      { plaintext: PLAINTEXT },
      { ...TENANT, "x-vault-wrap-ttl": "60s" },
    );
    expect(wrapped.status).toBe(400);
    for (const member of [
      { nonce: "" },
      { convergent_encryption: false },
      { type: "aes256-gcm96" },
      { key_version: 0 },
      { name: "billing" },
      { something: [1] },
    ]) {
      expect((await call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT, ...member })).status).toBe(200);
    }
    const active = (await call("GET", "transit/keys/billing")).data.latest_version;
    expect((await call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT, key_version: active })).status).toBe(
      200,
    );
  });
});

describe("datakey", () => {
  test("takes no body, an empty one, `null` and no content type; its keys open natively", async () => {
    for (const body of [undefined, "", "null", " null\n", "{}"]) {
      const made = await call("PUT", "transit/datakey/plaintext/billing", body);
      expect([body, made.status, Buffer.from(String(made.data.plaintext), "base64").length]).toEqual([body, 200, 32]);
      const opened = await call("POST", "transit/decrypt/billing", { ciphertext: made.data.ciphertext });
      expect(opened.data.plaintext).toBe(made.data.plaintext as string);
      const wrapped = Buffer.from(String(made.data.ciphertext).split(":")[2]!, "base64");
      const native = await fetch(`${edge.url}/v1/keys/decrypt`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ wrapped: wrapped.toString("base64url") }),
      });
      expect(
        Buffer.from(((await native.json()) as { plaintext: string }).plaintext, "base64url").toString("base64"),
      ).toBe(made.data.plaintext as string);
    }
  });

  test("has the bits that are asked for, and gives no plaintext where none is wanted", async () => {
    for (const [bits, length] of [
      [128, 16],
      ["256", 32],
      [512, 64],
    ] as const) {
      const made = await call("POST", "transit/datakey/plaintext/billing", { bits, context: base64("c") });
      expect(Buffer.from(String(made.data.plaintext), "base64").length).toBe(length);
    }
    expect((await call("POST", "transit/datakey/wrapped/billing")).data.plaintext).toBeUndefined();
    for (const bits of [0, 192, "x", {}, "toString"]) {
      expect((await call("POST", "transit/datakey/plaintext/billing", { bits })).status).toBe(400);
    }
    expect((await call("POST", "transit/datakey/other/billing")).status).toBe(403);
  });
});

describe("batches", () => {
  test("keep their order and their references, across data keys and values", async () => {
    const key = (await call("POST", "transit/datakey/plaintext/billing")).data;
    const made = await call("POST", "transit/encrypt/billing", {
      batch_input: [
        { plaintext: base64("a"), reference: "first" },
        { plaintext: base64("b"), context: base64("c"), reference: 'q"' },
      ],
    });
    const [first, second] = made.data.batch_results as Record<string, string>[];
    expect([made.status, first!.reference, second!.reference]).toEqual([200, "first", 'q"']);
    const items = [
      { ciphertext: second!.ciphertext, context: base64("c") },
      { ciphertext: key.ciphertext, reference: "key" },
      { ciphertext: first!.ciphertext },
    ];
    const opened = await call("POST", "transit/decrypt/billing", { ciphertext: "", batch_input: items });
    expect(opened.data.batch_results).toEqual([
      { plaintext: base64("b") },
      { plaintext: key.plaintext, reference: "key" },
      { plaintext: base64("a") },
    ]);
    const rewrapped = await call("PUT", "transit/rewrap/billing", { batch_input: items });
    expect([rewrapped.status, (rewrapped.data.batch_results as object[]).length]).toEqual([200, 3]);
  });

  test("of many short items are read in turns", async () => {
    const batch_input = Array.from({ length: 2_000 }, (_, index) => ({ plaintext: base64(String(index % 10)) }));
    const made = await call("POST", "transit/encrypt/billing", { batch_input });
    const opened = await call("POST", "transit/decrypt/billing", { batch_input: made.data.batch_results });
    expect(opened.data.batch_results as unknown).toEqual(batch_input);
  });

  test("with failures are 400 with each item's own error, or what the caller says", async () => {
    const good = (await call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT })).data.ciphertext;
    const batch_input = [
      { ciphertext: "vault:v1:AAAA", reference: "bad" },
      { ciphertext: good },
      7,
      { ciphertext: good, context: base64("x") },
    ];
    const failed = await call("POST", "transit/decrypt/billing", { batch_input });
    expect([failed.status, failed.errors]).toEqual([400, undefined as never]);
    const [bad, fine, none, wrong] = failed.data.batch_results as Record<string, string>[];
    expect([bad!.reference, bad!.error!.slice(0, 18), fine!.plaintext, none!.error, wrong!.error]).toEqual([
      "bad",
      "invalid ciphertext",
      PLAINTEXT,
      "an item of batch_input is no object",
      "cipher: message authentication failed",
    ]);
    expect(
      (await call("POST", "transit/decrypt/billing", { batch_input, partial_failure_response_code: 207 })).status,
    ).toBe(207);
    const all = { batch_input: [batch_input[0]], partial_failure_response_code: 207 };
    expect((await call("POST", "transit/decrypt/billing", all)).status).toBe(400);
    for (const partial_failure_response_code of [204, 99, 500, "x", 1e9]) {
      expect(
        (await call("POST", "transit/decrypt/billing", { batch_input, partial_failure_response_code })).errors,
      ).toHaveLength(1);
    }
  });

  test("that find no lease are 503, which clients repeat, not a verdict about the items", async () => {
    await withoutSource(async (url) => {
      const body = JSON.stringify({ batch_input: [{ plaintext: PLAINTEXT }] });
      const answer = await fetch(`${url}/v1/away/transit/encrypt/billing`, { method: "POST", headers: TOKEN, body });
      expect([answer.status, Number(answer.headers.get("retry-after")) > 0]).toEqual([503, true]);
      expect(await answer.json()).toMatchObject({ errors: [expect.stringContaining("No lease is held")] });
    });
  });

  test("are of 1 to 10,000 items", async () => {
    for (const batch_input of [[], "x", {}, Array.from({ length: 10_001 }, () => ({ plaintext: "AA==" }))]) {
      expect((await call("POST", "transit/encrypt/billing", { batch_input })).status).toBe(400);
    }
    const most = await call("POST", "transit/encrypt/billing", {
      batch_input: Array.from({ length: 10_000 }, () => ({ plaintext: "AA==" })),
    });
    expect([most.status, (most.data.batch_results as object[]).length]).toEqual([200, 10_000]);
  });

  test("with another key's ciphertext are refused whole to whoever may not use the name", async () => {
    const other = (await call("POST", "transit/encrypt/another", { plaintext: PLAINTEXT })).data.ciphertext;
    const batch_input = [{ ciphertext: other }];
    const mine = await call("POST", "transit/decrypt/billing", { batch_input });
    expect(mine.data.batch_results).toEqual([{ error: "invalid ciphertext: it was made under another key" }]);
    const denied = await call(
      "POST",
      "transit/decrypt/billing",
      { batch_input },
      { ...TOKEN, "x-vault-namespace": "denied" },
    );
    expect([denied.status, denied.errors]).toEqual([403, ["permission denied"]]);
  });
});

describe("keys", () => {
  test("are found by namespace as header, before and after the mount, by the table, and by the default tenant", async () => {
    const places: [path: string, headers: Record<string, string>][] = [
      ["transit/%/billing", TENANT],
      ["transit/%/billing", { ...TOKEN, "x-vault-namespace": "/tenant-a/" }],
      ["tenant-a/transit/%/billing", TOKEN],
      ["transit/tenant-a/%/billing", TOKEN],
      ["tenant-a/transit/%/billing", TENANT],
      ["transit/%/my-key", TOKEN],
    ];
    const { data } = await call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT });
    for (const [path, headers] of places) {
      const answer = await call("POST", path.replace("%", "decrypt"), { ciphertext: data.ciphertext }, headers);
      expect([path, answer.data]).toEqual([path, { plaintext: PLAINTEXT }]);
    }
    const table = await call("POST", "transit/encrypt/other", { plaintext: PLAINTEXT });
    expect(Buffer.from(String(table.data.ciphertext).split(":")[2]!, "base64").toString("latin1")).toContain(
      "tenant-o",
    );
    const nowhere = await call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT }, TOKEN);
    expect([nowhere.status, nowhere.errors[0]!.includes("X-Vault-Namespace")]).toEqual([400, true]);
    for (const path of [
      "a/b/transit/encrypt/x",
      "transit/encrypt/a%2Fb",
      "transit/encrypt/%zz",
      "transit/encrypt/bill%69ng",
      "tenant%2Da/transit/encrypt/billing",
      "transit//encrypt/billing",
      "transit/encrypt//billing",
      "transit/tenant-a/encrypt/keys/billing",
      "transit/encrypt/-x",
    ]) {
      const { status } = await call("POST", path, { plaintext: PLAINTEXT });
      expect([path, status >= 400]).toEqual([path, true]);
    }
  });

  test("are read as Vault shows them; one that is not there is a 404 without a word", async () => {
    const read = await call("GET", "transit/keys/billing");
    expect(read.data).toMatchObject({
      name: "billing",
      type: "aes256-gcm96",
      min_encryption_version: 0,
      derived: false,
      exportable: false,
      deletion_allowed: false,
      supports_encryption: true,
      supports_decryption: true,
      supports_signing: false,
      imported_key: false,
    });
    expect(Object.keys(read.data.keys as object)).toContain(String(read.data.latest_version));
    const missing = await call("GET", "transit/keys/billing", undefined, { ...TOKEN, "x-vault-namespace": "nosuch" });
    expect([missing.status, missing.errors]).toEqual([404, []]);
    expect(
      (await call("GET", "transit/keys/billing", undefined, { ...TOKEN, "x-vault-namespace": "denied" })).status,
    ).toBe(403);
  });

  test("that are there are a good answer to their making, others and changes are not", async () => {
    const there = await call("POST", "transit/keys/billing", { type: "aes256-gcm96" });
    expect([there.status, there.warnings]).toEqual([200, ["key billing already existed"]]);
    expect((await call("POST", "transit/keys/billing", { type: "rsa-4096" })).status).toBe(400);
    expect((await call("POST", "transit/keys/billing", { exportable: true })).status).toBe(400);
    expect((await call("POST", "transit/keys/billing", {}, { ...TOKEN, "x-vault-namespace": "nosuch" })).status).toBe(
      403,
    );
    for (const path of [
      "keys/billing/rotate",
      "keys/billing/config",
      "export/encryption-key/billing",
      "sign/billing",
      "hmac/billing",
      "random/32",
      "hash",
      "backup/billing",
      "",
    ]) {
      expect([path, (await call("POST", `transit/${path}`, {})).status]).toEqual([path, 403]);
    }
    expect((await call("DELETE", "transit/keys/billing")).status).toBe(403);
    expect(await call("GET", "transit/encrypt/billing")).toMatchObject({
      status: 405,
      errors: ["unsupported operation"],
    });
  });

  test("are listed by LIST and by ?list=true alike", async () => {
    const list = await raw(
      `LIST /v1/transit/keys HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: x\r\nConnection: close\r\n\r\n`,
    );
    expect(list).toContain('"data":{"keys":["my-key"]}');
    expect((await call("GET", "transit/keys?list=true")).data).toEqual({ keys: ["billing", "other"] });
    expect((await call("GET", "transit/keys/?list=true")).data).toEqual({ keys: ["billing", "other"] });
    expect((await call("GET", "transit/keys")).status).toBe(405);
  });
});

/** By hand, since `fetch` makes a GET of LIST. */
function raw(text: string): Promise<string> {
  const { port } = new URL(edge.url);
  return new Promise((done, failed) => {
    let came = "";
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(text));
    socket.on("data", (bytes) => {
      came += bytes.toString("latin1");
    });
    socket.on("close", () => done(came));
    socket.on("error", failed);
  });
}

describe("errors", () => {
  test("have the statuses that Vault's clients act on", async () => {
    const encrypt = (tenant: string) =>
      call("POST", "transit/encrypt/billing", { plaintext: PLAINTEXT }, { ...TOKEN, "x-vault-namespace": tenant });
    expect(await encrypt("denied")).toMatchObject({ status: 403, errors: ["permission denied"] });
    expect(await encrypt("nosuch")).toMatchObject({ status: 400, errors: ["encryption key not found"] });
    const revoked = await encrypt("revoked");
    expect([revoked.status, revoked.errors[0]!.includes("disallowed by policy (too old)")]).toEqual([400, true]);
    await withoutSource(async (url) => {
      const away = await fetch(`${url}/v1/away/transit/datakey/plaintext/billing`, { method: "PUT", headers: TOKEN });
      expect([away.status, Number(away.headers.get("retry-after")) > 0]).toEqual([503, true]);
    });
    expect((await call("POST", "transit/encrypt/billing", { plaintext: "" })).status).toBe(400);
    for (const body of ["{", "[]", "7", '"x"', "nul"]) {
      expect([body, (await call("POST", "transit/encrypt/billing", body)).status]).toEqual([body, 400]);
    }
    expect(await call("POST", "other/encrypt/x", {})).toMatchObject({ status: 404 });
  });

  test("who sends none of the headers that Vault's clients send is refused: a web page can't", async () => {
    const bare = await call(
      "POST",
      "transit/encrypt/billing",
      { plaintext: PLAINTEXT },
      { "x-vault-namespace": "tenant-a" },
    );
    expect(bare.status).toBe(403);
    for (const headers of [{ "x-vault-request": "true" }, { authorization: "Bearer x" }] as Record<string, string>[]) {
      const one = await call("POST", "tenant-a/transit/encrypt/billing", { plaintext: PLAINTEXT }, headers);
      expect(one.status).toBe(200);
    }
  });
});

describe("the server", () => {
  test("tells its health without a token, in the status that is asked for", async () => {
    const health = await call("GET", "sys/health", undefined, {});
    expect(JSON.parse(health.text)).toMatchObject({ initialized: true, sealed: false, standby: false });
    expect((await call("GET", "sys/health?activecode=299", undefined, {})).status).toBe(299);
    expect((await call("GET", "sys/health?activecode=9999", undefined, {})).status).toBe(200);
    expect((await call("HEAD", "sys/health", undefined, {})).status).toBe(200);
    expect(JSON.parse((await call("GET", "sys/init", undefined, {})).text)).toEqual({ initialized: true });
    expect(JSON.parse((await call("GET", "sys/leader", undefined, {})).text)).toMatchObject({ ha_enabled: false });
    expect(JSON.parse((await call("GET", "sys/seal-status", undefined, {})).text)).toMatchObject({ sealed: false });
  });

  test("knows who calls, and takes logins whose token is the caller's own", async () => {
    const self = await call("GET", "auth/token/lookup-self");
    expect(self.data).toMatchObject({ id: "any", display_name: "local", renewable: false, ttl: 0 });
    expect((await call("PUT", "auth/token/renew-self", {})).errors).toEqual(["lease is not renewable"]);
    expect((await call("PUT", "auth/token/revoke-self")).status).toBe(204);
    const login = await call("POST", "auth/jwt/login", { role: "r", jwt: "a.b.c" }, {});
    expect(login.auth).toMatchObject({ client_token: "a.b.c", renewable: false, policies: [], token_type: "service" });
    expect((await call("POST", "auth/kubernetes/login", { jwt: 7 }, {})).status).toBe(403);
    expect((await call("POST", "auth/clusters-own/login", { role: "r", jwt: "a.b.c" }, {})).auth).toBeDefined();
    expect((await call("POST", "auth/approle/login", { role_id: "x" }, {})).status).toBe(403);
  });

  test("serves a Unix socket, another mount and a default tenant", async () => {
    const response = await fetch("http://localhost/v1/a/b/encrypt/billing", {
      unix: `${edge.folder}/vault.sock`,
      method: "POST",
      headers: TOKEN,
      body: JSON.stringify({ plaintext: PLAINTEXT }),
    } as RequestInit);
    const { data } = (await response.json()) as { data: { ciphertext: string } };
    expect(Buffer.from(data.ciphertext.split(":")[2]!, "base64").toString("latin1")).toContain("tenant-d");
  });
});
