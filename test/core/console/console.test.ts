import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createThrowAwayPki } from "../../../src/base/pki/throw-away.ts";
import { problemsOf } from "../../../src/core/console/overview-page.ts";
import { until } from "../../support/until.ts";
import { startConsoleWorld } from "./browser.ts";

/** For a busy machine. */
setDefaultTimeout(90_000);

const PAGES = [
  "/",
  "/services",
  "/services?tenant=tenant-a",
  "/services?tenant=tenant-a&service=billing",
  "/edges",
  "/events",
  "/audit",
] as const;
const HOSTILE = `"><script>alert('1')</script>`;

describe("the console lets in", () => {
  test("an administrator, to every page, none of which loads anything from elsewhere or holds a script", async () => {
    await using console = await startConsoleWorld();
    await (await console.world.client()).lease({ tenant: "tenant-a", service: "billing" });
    for (const path of [...PAGES, "/revoke?tenant=tenant-a&service=billing&version=1"]) {
      const { status, text, headers } = await console.get(path);
      expect([path, status]).toEqual([path, 200]);
      expect(headers["content-security-policy"]).toBe(
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
      );
      expect(headers["cache-control"]).toBe("no-store");
      expect(headers["x-content-type-options"]).toBe("nosniff");
      expect(text).not.toMatch(/<script|https?:\/\/|\sstyle=|\son\w+=/);
    }
    expect((await console.get("/console.css")).headers["content-type"]).toStartWith("text/css");
    expect((await console.get("/edges")).text).toContain("edge-1");
  });

  test("nobody else: no edge, no client, nobody of another authority, nobody without a certificate", async () => {
    await using console = await startConsoleWorld();
    const { pki } = console.world;
    for (const path of PAGES) {
      expect((await console.get(path, await pki.edge("edge-1"))).status).toBe(403);
    }
    const client = await pki.issue({ identity: { kind: "client", path: "client/billing" } });
    const answer = await console.get("/", { ca: pki.core.clientCa, cert: client.certificate, key: client.key });
    expect([answer.status, answer.text]).toEqual([403, expect.stringContaining("only an administrator")]);
    const stranger = await (await createThrowAwayPki("example.org")).admin();
    await expect(console.get("/", { ...stranger, ca: pki.core.clientCa })).rejects.toThrow();
    await expect(console.get("/", { ca: pki.core.clientCa } as never)).rejects.toThrow();
  });

  test("no administrator whose certificate is on a revocation list", async () => {
    await using console = await startConsoleWorld({
      revocationLists: { refusalOf: () => "the certificate is revoked" } as never,
    });
    await expect(console.get("/")).rejects.toThrow();
  });

  test("those who may look, to pages without a form, and to no change", async () => {
    await using console = await startConsoleWorld({ viewers: ["spiffe://example.org/people/*"] });
    await console.world.core.admin.createService("tenant-a", "billing");
    const { certificate, key } = await console.world.pki.issue({ identity: { kind: "client", path: "people/anna" } });
    const viewer = { ca: console.world.pki.core.clientCa, cert: certificate, key };
    for (const path of PAGES) {
      const { status, text } = await console.get(path, viewer);
      expect([path, status]).toEqual([path, 200]);
      expect(text).not.toMatch(/method="post"|name="token"|href="\/(revoke|destroy)/);
    }
    expect((await console.get("/revoke?tenant=tenant-a", viewer)).status).toBe(404);
    const fields = { tenant: "tenant-a", service: "billing", token: await console.token() };
    for (const path of ["/rotate", "/services", "/restore", "/revoke", "/destroy"]) {
      expect(
        (await console.post(path, { ...fields, reason: "x", confirmation: "tenant-a/billing" }, {}, viewer)).status,
      ).toBe(403);
    }
    expect(console.world.core.lastSeq).toBe(0);
    const client = await console.world.pki.issue({ identity: { kind: "client", path: "robots/one" } });
    expect((await console.get("/", { ...viewer, cert: client.certificate, key: client.key })).status).toBe(403);
  });

  test("nobody any more whose certificate gets on a revocation list, on open connections too", async () => {
    await using console = await startConsoleWorld();
    await using kept = await console.keptConnection();
    expect(await kept.isOpen()).toBe(true);
    console.console.useCertificates(console.world.pki.core, { refusalOf: () => "the certificate is revoked" } as never);
    await kept.closed;
    await expect(console.get("/")).rejects.toThrow();
  });

  test("no administrator of another trust domain", async () => {
    await using console = await startConsoleWorld({ trustDomain: "other.example" });
    expect((await console.get("/")).status).toBe(403);
  });
});

describe("a change", () => {
  const FORM = { tenant: "tenant-a", service: "billing" };

  test("needs a form of the console's own: the token, this origin, a form's type", async () => {
    await using console = await startConsoleWorld();
    await console.world.core.admin.createService("tenant-a", "billing");
    const token = await console.token();
    const refused = async (...[fields, headers]: [Record<string, string>, Record<string, string>?]) =>
      (await console.post("/rotate", fields, headers)).status;
    expect(await refused(FORM)).toBe(403);
    expect(await refused({ ...FORM, token: "" })).toBe(403);
    expect(await refused({ ...FORM, token: `${token.slice(0, -1)}?` })).toBe(403);
    expect(await refused({ ...FORM, token }, { "sec-fetch-site": "cross-site" })).toBe(403);
    expect(await refused({ ...FORM, token }, { "sec-fetch-site": "same-site" })).toBe(403);
    expect(await refused({ ...FORM, token }, { "content-type": "text/plain" })).toBe(400);
    expect(console.world.core.lastSeq).toBe(0);
    expect((await console.post("/rotate", { ...FORM, token })).status).toBe(303);
    expect(console.world.core.lastSeq).toBe(1);
  });

  test("is made by no address: a page that is only loaded changes nothing", async () => {
    await using console = await startConsoleWorld();
    await console.world.core.admin.createService("tenant-a", "billing");
    const query = new URLSearchParams({ ...FORM, reason: "x", confirmation: "tenant-a/billing" });
    for (const path of ["/rotate", "/restore", "/revoke", "/destroy"]) await console.get(`${path}?${query}`);
    expect(console.world.core.lastSeq).toBe(0);
  });

  test("is the same event as the command line's, and is logged with the certificate's number", async () => {
    await using console = await startConsoleWorld();
    const { admin } = console.world.core;
    const token = await console.token();
    const send = (path: string, fields: Record<string, string>) => console.post(path, { ...FORM, ...fields, token });
    expect((await send("/services", {})).headers.location).toBe(
      "/services?tenant=tenant-a&service=billing&done=create",
    );
    await send("/rotate", {});
    const revoked = await send("/revoke", {
      version: "1",
      reason: "lost backup",
      confirmation: "tenant-a/billing/1",
      rotate: "yes",
    });
    expect([revoked.status, revoked.headers.location]).toEqual([
      303,
      "/services?tenant=tenant-a&service=billing&version=1&done=revoke&seq=2",
    ]);
    await send("/restore", { version: "1" });
    await send("/destroy", { version: "1", reason: "the end", confirmation: "tenant-a/billing/1" });
    expect(await admin.eventsAfter(0)).toMatchObject([
      { type: "rotate", version: 2 },
      { type: "revoke", ...FORM, version: 1, state: "compromised", reason: "lost backup" },
      { type: "rotate", version: 3 },
      { type: "restore", version: 1 },
      { type: "revoke", version: 1, state: "destroyed", reason: "the end" },
    ]);
    const actions = console.logged.filter(({ message }) => message === "an administrator acted");
    expect(actions).toHaveLength(5);
    expect(actions[2]!.fields).toMatchObject({
      call: "console /revoke",
      status: 303,
      serial: expect.stringMatching(/^[0-9a-f]+$/),
      answer: revoked.headers.location,
    });
    const page = (await console.get(String(revoked.headers.location))).text;
    expect(page).toContain("It is event 2");
    expect((await console.get("/events")).text).toContain("lost backup");
  });

  test("that cuts off needs a reason and the name typed, of exactly what is cut off", async () => {
    await using console = await startConsoleWorld();
    await console.world.core.admin.createService("tenant-a", "billing");
    const token = await console.token();
    for (const ending of ["/revoke", "/destroy"]) {
      const status = async (fields: Record<string, string>) =>
        (await console.post(ending, { ...FORM, ...fields, token })).status;
      expect(await status({ confirmation: "tenant-a/billing" })).toBe(400);
      expect(await status({ confirmation: "tenant-a/billing", reason: " " })).toBe(400);
      expect(await status({ confirmation: "tenant-a/billing", reason: "x".repeat(501) })).toBe(400);
      expect(await status({ confirmation: "tenant-a", reason: "why" })).toBe(400);
      expect(await status({ confirmation: "tenant-a/billing", reason: "why", version: "1" })).toBe(400);
      expect(await status({ confirmation: "", reason: "why" })).toBe(400);
    }
    expect(console.world.core.lastSeq).toBe(0);
  });

  test("that the Core refuses is told in its words, with its status", async () => {
    await using console = await startConsoleWorld();
    await console.world.core.admin.createService("tenant-a", "billing");
    const token = await console.token();
    const refused = await console.post("/restore", { ...FORM, token });
    expect([refused.status, refused.text]).toEqual([409, expect.stringContaining("is active, not compromised")]);
    expect((await console.post("/rotate", { tenant: "tenant-a", token })).status).toBe(400);
    expect((await console.post("/rotate", { tenant: "none", service: "none", token })).status).toBe(404);
    expect((await console.post("/restore", { ...FORM, version: "1.5", token })).status).toBe(400);
    expect((await console.post("/services", { ...FORM, token, much: "x".repeat(20_000) })).status).toBe(413);
  });
});

describe("a page", () => {
  test("shows before a revocation who follows the events and who used the key", async () => {
    await using console = await startConsoleWorld();
    const client = await console.world.client();
    await client.lease({ tenant: "tenant-a", service: "billing" });
    const at = "2026-01-01T00:00:00.000Z";
    const line = { ...{ tenant: "tenant-a", service: "billing", version: 1, operation: "create" }, outcome: "ok" };
    const counted = JSON.stringify({ ...line, principal: "payroll", count: 7, from: at, to: at });
    await client.usage({ idempotencyKey: "a", gzip: false, body: Buffer.from(`${counted}\n`) });
    const { text } = await console.get("/revoke?tenant=tenant-a&service=billing&version=1");
    expect(text).toContain("0 of 1 known edges");
    expect(text).toContain("<b>1</b> edge holds a lease of it: 0 of them follow");
    expect(text).toContain("<b>7</b> operations were reported in the last hour");
    expect(text).toContain('<span class="warn">when it renews</span></td><td>1</td>');
    expect((await console.get("/revoke?tenant=tenant-b")).text).toContain("<b>0</b> edges hold a lease");
    expect(text).toContain("7 operations were reported by 1 edges");
    expect(text).toContain("payroll");
    expect(console.world.core.lastSeq).toBe(0);
  });

  test("escapes whatever others chose: names in addresses and forms, reasons, audit", async () => {
    await using console = await startConsoleWorld();
    const { admin } = console.world.core;
    await admin.createService("tenant-a", "billing");
    await admin.revoke({ tenant: "tenant-a", service: "billing" }, { reason: HOSTILE });
    const audit = JSON.stringify({
      time: "2026-01-01T00:00:00Z",
      operation: HOSTILE,
      outcome: "ok",
      principal: HOSTILE,
    });
    const client = await console.world.client();
    await client.usage({ idempotencyKey: "a", gzip: false, body: Buffer.from(`${audit}\n`) });
    const query = encodeURIComponent(HOSTILE);
    const token = await console.token();
    const answers = [
      await console.get("/events"),
      await console.get("/audit"),
      await console.get(`/audit?words=${query}&edge=${query}`),
      await console.get(`/audit?since=${query}`),
      await console.get(`/events?until=${query}`),
      await console.get(`/services?tenant=${query}&done=${query}&seq=${query}`),
      await console.get(`/revoke?tenant=${query}&service=${query}`),
      await console.get(`/${query}`),
      await console.post("/rotate", { tenant: HOSTILE, service: HOSTILE, token }),
      await console.post("/services", { tenant: HOSTILE, service: HOSTILE, token }),
      await console.post("/revoke", { tenant: HOSTILE, reason: "x", confirmation: "y", token }),
    ];
    for (const { text } of answers) expect(text).not.toContain("<script");
    expect(answers[0]!.text).toContain("&quot;&gt;&lt;script&gt;");
    expect(answers[1]!.text).toContain("&quot;&gt;&lt;script&gt;");
  });

  test("of the audit finds by words, edge and time, and gives what it found as JSON lines", async () => {
    await using console = await startConsoleWorld();
    const client = await console.world.client();
    const events = ["payroll", "billing"].map((principal) => ({
      time: "2026-01-01T00:00:00.000Z",
      ...{ operation: "decrypt", outcome: "access_denied", principal },
    }));
    const body = Buffer.from(events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    await client.usage({ idempotencyKey: "a", gzip: false, body });
    const { text } = await console.get("/audit?words=DENIED+payroll");
    expect(text).toContain("<td>payroll</td>");
    expect(text).not.toContain("<td>billing</td>");
    const file = await console.get("/audit.jsonl?words=payroll&edge=edge-1");
    expect(file.headers["content-disposition"]).toBe('attachment; filename="audit.jsonl"');
    expect(
      file.text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([{ ...events[0], edge: "edge-1" }]);
    expect((await console.get("/audit.jsonl?since=2999-01-01T00:00:00Z")).text).toBe("");
    expect((await console.get("/audit.jsonl?edge=edge-2")).text).toBe("");
    expect((await console.get("/audit?since=yesterday")).status).toBe(400);
  });

  test("of the events says how many of the edges that follow have applied each, and how many were only told", async () => {
    await using console = await startConsoleWorld();
    const { admin } = console.world.core;
    await admin.createService("tenant-a", "billing");
    const ending = new AbortController();
    const told: (string | undefined)[] = [];
    const client = await console.world.client();
    const handlers = { onMessage: ({ event }: { event: string | undefined }) => void told.push(event) };
    const following = client.revocations(undefined, handlers, ending.signal).catch(() => undefined);
    await until(() => console.world.core.counters.streams === 1);
    await admin.revoke({ tenant: "tenant-a", service: "billing" });
    await until(() => told.includes("revoke"));
    expect((await console.get("/events")).text).toContain("<td>0 of 1 edges, 1 told and not confirmed</td>");
    expect((await console.get("/edges")).text).toContain("told, not confirmed");
    await client.applied({ log: console.world.core.log, seq: 1 });
    expect((await console.get("/events")).text).toContain("<td>1 of 1 edges</td>");
    expect((await console.get("/edges")).text).toContain("up to date");
    expect((await console.get("/destroy?tenant=tenant-a")).text).toContain("1 of 1 known edges");
    ending.abort();
    await following;
  });

  test("of the events shows the newest hundred, and leads to the older ones", async () => {
    await using console = await startConsoleWorld();
    const { admin } = console.world.core;
    await admin.createService("tenant-a", "billing");
    for (let count = 0; count < 101; count++) await admin.rotate("tenant-a", "billing");
    const newest = (await console.get("/events")).text;
    expect(newest).toContain('<th scope="row">101</th>');
    expect(newest).toContain('<th scope="row">2</th>');
    expect(newest).not.toContain('<th scope="row">1</th>');
    expect(newest).toContain('<a href="/events?until=1">');
    const older = (await console.get("/events?until=1")).text;
    expect(older).toContain('<th scope="row">1</th>');
    expect(older).not.toContain('<th scope="row">2</th>');
  });

  test("of the Core's state names what is wrong", async () => {
    const nowMs = Date.parse("2026-06-01T00:00:00Z");
    const at = (days: number) => new Date(nowMs + days * 86_400_000).toISOString();
    const status = { database: { kind: "sqlite", name: "core.db" }, certificateEndsAt: at(90) };
    const edge = { edge: "edge-1", streams: 1, lag: 0, lastSeenAt: at(0), certificateEndsAt: at(90) };
    const problems = (core: object, ...edges: object[]) =>
      problemsOf({ ...status, ...core } as never, edges.map((each) => ({ ...edge, ...each })) as never, nowMs);
    expect(await problems({}, {})).toEqual([]);
    expect(await problems({ database: { away: "refused" } })).toEqual(["The database is away: refused"]);
    expect(await problems({ certificateEndsAt: at(-1) })).toEqual(["The certificate of this Core has ended."]);
    expect(await problems({}, { lag: 3 })).toEqual(["The edge edge-1 is 3 events behind."]);
    expect((await problems({}, { streams: 0, lag: undefined, lastSeenAt: at(-1) }))[0]).toContain("follows no events");
    expect((await problems({}, { certificateEndsAt: at(3) }))[0]).toContain(
      "The certificate of the edge edge-1 ends at",
    );
  });
});
