/** docs/console.md, "Sign in by OpenID Connect": who gets which role, and what of an issuer's answer is not believed. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { systemClock } from "../../../src/base/time/system-clock.ts";
import { SealedCookies } from "../../../src/core/console/sealed-cookies.ts";
import type { ConsoleSignIn } from "../../../src/core/console-port.ts";
import { type Answer, type ConsoleWorld, startConsoleWorld } from "./browser.ts";
import { startTestIssuer, type TestIssuer } from "./issuer.ts";

/** For a busy machine. */
setDefaultTimeout(90_000);

const CLIENT = "crypto-edge-console";
let issuer: TestIssuer;

beforeAll(async () => {
  issuer = await startTestIssuer();
});
afterAll(() => issuer[Symbol.asyncDispose]());

function signInOptions(options: Partial<ConsoleSignIn> = {}): ConsoleSignIn {
  return {
    issuer: issuer.url,
    clientId: CLIENT,
    audience: CLIENT,
    scopes: ["profile"],
    rolesClaim: "groups",
    administrators: ["keys-admins"],
    viewers: ["auditors"],
    sessionMs: 3_600_000,
    ...options,
  };
}

/** A browser without a certificate, which keeps its cookies. */
class Person {
  readonly cookies = new Map<string, string>();
  readonly #world: ConsoleWorld;

  constructor(world: ConsoleWorld) {
    this.#world = world;
  }

  async get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.#keep(await this.#world.getWith(path, { accept: "text/html", ...this.#sent(), ...headers }));
  }

  async post(path: string, fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Answer> {
    return this.#keep(await this.#world.postWith(path, fields, { ...this.#sent(), ...headers }));
  }

  /** From the first page to where the sign-in leads. */
  async signIn(path = "/", change: (back: string) => string = (back) => back): Promise<Answer> {
    const sent = await this.get(path);
    const begun = await this.get(String(sent.headers.location));
    return this.get(change(issuer.authorize(String(begun.headers.location))));
  }

  async token(): Promise<string> {
    return /name="token" value="([^"]+)"/.exec((await this.get("/services")).text)![1]!;
  }

  #sent(): Record<string, string> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    return cookie === "" ? {} : { cookie };
  }

  #keep(answer: Answer): Answer {
    for (const line of (answer.headers["set-cookie"] ?? []) as string[]) {
      const [pair, ...attributes] = line.split("; ");
      expect(attributes).toContain("Secure");
      expect(attributes).toContain("HttpOnly");
      const [name, value] = pair!.split("=", 2) as [string, string];
      expect(name).toStartWith("__Host-");
      if (attributes.includes("Max-Age=0")) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return answer;
  }
}

describe("a person without a certificate", () => {
  test("is led to the issuer, and back to the page that they asked for, as what their groups make them", async () => {
    await using console = await startConsoleWorld({ signIn: signInOptions() });
    const alice = new Person(console);
    expect((await alice.get("/edges")).headers.location).toBe("/sign-in?to=%2Fedges");
    const back = await alice.signIn("/events?until=3");
    expect([back.status, back.headers.location]).toEqual([303, "/events?until=3"]);
    expect((await alice.get("/")).text).toContain("alice, administrator, by session");
    expect(issuer.redeemed.at(-1)!.get("code_verifier")).toMatch(/^[\w-]{43}$/);
    const form = { tenant: "tenant-a", service: "billing", token: await alice.token() };
    expect((await alice.post("/services", form)).status).toBe(303);
    expect(console.logged.findLast(({ message }) => message === "an administrator acted")?.fields).toMatchObject({
      call: "console /services",
      caller: "alice",
      subject: "4711",
      by: "session",
    });
    // What one person's page holds is no use to another.
    const ofCertificate = await console.token();
    expect((await alice.post("/rotate", { ...form, token: ofCertificate })).status).toBe(403);
  });

  test("of a viewers' group may look, and change nothing", async () => {
    await using console = await startConsoleWorld({ signIn: signInOptions() });
    await console.world.core.admin.createService("tenant-a", "billing");
    const bob = new Person(console);
    issuer.spoil = { claims: { sub: "42", preferred_username: "bob", groups: ["auditors", "others"] } };
    await bob.signIn();
    const page = await bob.get("/services?tenant=tenant-a&service=billing");
    expect(page.text).toContain("bob, viewer");
    expect(page.text).not.toContain('name="token"');
    const refused = await bob.post("/rotate", { tenant: "tenant-a", service: "billing", token: "x" });
    expect(refused.status).toBe(403);
    expect(console.world.core.lastSeq).toBe(0);
    issuer.spoil = {};
  });

  test("signs out: the next page leads to the issuer again", async () => {
    await using console = await startConsoleWorld({ signIn: signInOptions() });
    const alice = new Person(console);
    await alice.signIn();
    expect((await alice.post("/sign-out", {}, { "sec-fetch-site": "cross-site" })).status).toBe(403);
    const out = await alice.post("/sign-out", {});
    expect([out.status, out.headers.location]).toEqual([303, "/signed-out"]);
    expect((await alice.get("/signed-out")).text).toContain(`${issuer.url}/end?client_id=${CLIENT}`);
    expect((await alice.get("/")).status).toBe(303);
    const late = await alice.post("/rotate", { tenant: "tenant-a", service: "billing" });
    expect([late.status, late.text]).toEqual([401, expect.stringContaining("you are not signed in")]);
  });

  test("gets no page, and no script gets one, without signing in", async () => {
    await using console = await startConsoleWorld({ signIn: signInOptions() });
    const answer = await console.getWith("/edges", { accept: "application/json" });
    expect([answer.status, answer.headers["www-authenticate"]]).toEqual([401, 'Bearer realm="crypto-edge Core"']);
    expect((await console.getWith("/console.css", {})).status).toBe(200);
    expect((await console.get("/")).text).toContain("by certificate");
  });
});

describe("of an issuer's answer it is not believed", () => {
  const spoilt: Record<string, TestIssuer["spoil"]> = {
    "a token that another key signed": { foreignKey: true },
    "a token for another client": { claims: { aud: "another" } },
    "a token for two, made for the other": { claims: { aud: [CLIENT, "another"], azp: "another" } },
    "a token of another issuer": { claims: { iss: "https://elsewhere.example" } },
    "a token of another sign-in": { claims: { nonce: "another" } },
    "a token that has ended": { claims: { exp: 1 } },
    "a refusal": { status: 400 },
    "somebody without a group that counts": { claims: { groups: ["others"] } },
    "a group that only looks alike": { claims: { groups: "keys-admins2 xkeys-admins" } },
    "no groups": { claims: { groups: { "keys-admins": true } } },
  };
  for (const [what, spoil] of Object.entries(spoilt)) {
    test(what, async () => {
      await using console = await startConsoleWorld({ signIn: signInOptions() });
      const mallory = new Person(console);
      issuer.spoil = spoil;
      const answer = await mallory.signIn();
      issuer.spoil = {};
      expect([what, answer.status >= 400]).toEqual([what, true]);
      expect(mallory.cookies.has("__Host-crypto-edge-session")).toBe(false);
      expect((await mallory.get("/")).status).toBe(303);
    });
  }

  test("an answer that was not asked for: another state, another browser, another issuer, no code", async () => {
    await using console = await startConsoleWorld({ signIn: signInOptions() });
    const changed: ((back: string) => string)[] = [
      (back) => back.replace(/state=[^&]+/, "state=guessed"),
      (back) => back.replace(/iss=[^&]+/, "iss=https%3A%2F%2Felsewhere.example"),
      (back) => back.replace(/code=[^&]+/, "code=guessed"),
      (back) => `${back}&error=access_denied`,
    ];
    for (const change of changed) {
      const mallory = new Person(console);
      expect((await mallory.signIn("/", change)).status).toBeGreaterThanOrEqual(400);
      expect((await mallory.get("/")).status).toBe(303);
    }
    const alice = new Person(console);
    const begun = await alice.get("/sign-in");
    const another = new Person(console);
    const stolen = await another.get(issuer.authorize(String(begun.headers.location)));
    expect([stolen.status, stolen.text]).toEqual([
      403,
      expect.stringContaining("no sign-in was begun in this browser"),
    ]);
  });
});

describe("a session", () => {
  test("is good at every Core of the same master key, and at no other", async () => {
    const secret = randomBytes(32);
    await using one = await startConsoleWorld({ signIn: signInOptions(), secret });
    await using two = await startConsoleWorld({ signIn: signInOptions(), secret });
    await using other = await startConsoleWorld({ signIn: signInOptions() });
    const alice = new Person(one);
    await alice.signIn();
    const cookie = [...alice.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { accept: "text/html", cookie };
    const page = await two.getWith("/services", headers);
    expect(page.text).toContain("alice, administrator");
    // A form of one Core's page, sent to another one behind the same address.
    const form = { tenant: "tenant-a", service: "billing", token: await alice.token() };
    expect((await two.postWith("/services", form, { cookie })).status).toBe(303);
    expect((await other.getWith("/", headers)).status).toBe(303);
  });

  test("ends by itself, and can't be made from another cookie, or changed", async () => {
    const secret = randomBytes(32);
    let nowMs = Date.now();
    const clock = { ...systemClock, wallMs: () => nowMs };
    const cookies = new SealedCookies(secret, clock);
    const cookie = (await cookies.seal("session", { role: "viewer" }, 60_000)).split(";")[0]!;
    expect(await cookies.open("session", cookie)).toMatchObject({ role: "viewer" });
    expect(await cookies.open("session", `a=b; ${cookie}`)).toMatchObject({ role: "viewer" });
    expect(await cookies.open("sign-in", cookie.replace("edge-session", "edge-sign-in"))).toBeUndefined();
    expect(await cookies.open("session", `${cookie.slice(0, -4)}AAAA`)).toBeUndefined();
    expect(await cookies.open("session", undefined)).toBeUndefined();
    nowMs += 61_000;
    expect(await cookies.open("session", cookie)).toBeUndefined();
  });

  test("leads to no other host, whatever the address said", async () => {
    await using console = await startConsoleWorld({ signIn: signInOptions() });
    for (const to of [
      "//elsewhere.example",
      "https://elsewhere.example/",
      "/\\elsewhere.example",
      "/.//elsewhere.example",
      "javascript:alert(1)",
    ]) {
      const alice = new Person(console);
      const begun = await alice.get(`/sign-in?${new URLSearchParams({ to })}`);
      const back = await alice.get(issuer.authorize(String(begun.headers.location)));
      const place = new URL(String(back.headers.location), "https://console.example");
      expect([to, back.status, place.origin]).toEqual([to, 303, "https://console.example"]);
    }
  });
});

describe("a token that is presented", () => {
  test("counts as its groups say, for the audience that was configured", async () => {
    const rolesClaim = "realm_access.roles";
    await using console = await startConsoleWorld({
      signIn: signInOptions({ audience: "https://console.example", rolesClaim }),
    });
    const claims = { sub: "robot", aud: "https://console.example", realm_access: { roles: ["keys-admins"] } };
    const get = async (token: string) => console.getWith("/services", { authorization: `Bearer ${token}` });
    expect((await get(await issuer.sign(claims))).text).toContain("robot, administrator, by token");
    expect((await get(await issuer.sign({ ...claims, aud: CLIENT }))).status).toBe(403);
    expect((await get(await issuer.sign({ ...claims, exp: 1 }))).text).toContain("it has expired");
    expect((await get(await issuer.sign(claims, { foreignKey: true }))).status).toBe(403);
    expect((await get(await issuer.sign({ ...claims, realm_access: { roles: [] } }))).status).toBe(403);
    expect((await get("e30.e30.")).status).toBe(403);
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from(JSON.stringify({ ...claims, iss: issuer.url, exp: 9e9 })).toString("base64url")}.x`;
    expect((await get(unsigned)).status).toBe(403);
    expect((await console.getWith("/", { authorization: "Basic YTpi" })).status).toBe(403);
  });

  test("is of no use while the issuer is away, and certificates go on", async () => {
    await using console = await startConsoleWorld({ signIn: signInOptions({ issuer: "http://127.0.0.1:9" }) });
    const token = await issuer.sign({ sub: "robot", aud: CLIENT });
    const answer = await console.getWith("/", { authorization: `Bearer ${token}` });
    expect([answer.status, answer.text]).toEqual([503, expect.stringContaining("the issuer could not be asked")]);
    expect((await console.getWith("/sign-in", {})).status).toBe(503);
    expect((await console.get("/")).status).toBe(200);
  });
});

test("the client's secret is that of the time: its file may be replaced", async () => {
  let clientSecret = "first";
  await using console = await startConsoleWorld({ signIn: signInOptions({ clientSecret: () => clientSecret }) });
  const shown: unknown[] = [];
  for (clientSecret of ["first", "second"]) {
    expect((await new Person(console).signIn()).status).toBe(303);
    shown.push(issuer.authorizations.at(-1));
  }
  expect(shown).toEqual(["first", "second"].map((one) => `Basic ${btoa(`${CLIENT}:${one}`)}`));
});

test("no proxy of the environment hears what goes to an issuer on this machine", async () => {
  const asked: string[] = [];
  const proxy = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      asked.push(request.url);
      return new Response("{}");
    },
  });
  const before = process.env.HTTP_PROXY;
  process.env.HTTP_PROXY = `http://127.0.0.1:${proxy.port}`;
  try {
    await using console = await startConsoleWorld({ signIn: signInOptions({ clientSecret: "secret" }) });
    const alice = new Person(console);
    expect((await alice.signIn()).status).toBe(303);
    expect(asked).toEqual([]);
  } finally {
    if (before === undefined) delete process.env.HTTP_PROXY;
    else process.env.HTTP_PROXY = before;
    await proxy.stop(true);
  }
});
