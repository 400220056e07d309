import { afterAll, afterEach, describe, expect, setSystemTime, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { OperationError } from "../../../src/base/errors.ts";
import { createTokenVerifier, type TokenVerifier } from "../../../src/edge/access/bearer-token.ts";
import { eventually } from "../../support/until.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-token-"));
afterAll(() => rmSync(folder, { recursive: true }));

const keys = await generateKeyPair("ES256");
const others = await generateKeyPair("ES256");
const keySet = { keys: [{ ...(await exportJWK(keys.publicKey)), kid: "one", alg: "ES256" }] };
const jwks = join(folder, "jwks.json");
writeFileSync(jwks, JSON.stringify(keySet));

const clock = new VirtualClock();
const issuer = { issuer: "https://issuer.example", audience: "crypto-edge", jwks };
const nowS = (): number => Math.floor(clock.wallMs() / 1000);

function sign(claims: JWTPayload = {}, key: CryptoKey = keys.privateKey, kid = "one"): Promise<string> {
  const payload = { iss: issuer.issuer, aud: issuer.audience, sub: "app", exp: nowS() + 300, ...claims };
  return new SignJWT(payload).setProtectedHeader({ alg: "ES256", kid }).sign(key);
}

async function refusal(verifier: TokenVerifier, header: string | undefined): Promise<string> {
  try {
    await verifier.principalOf(header, "127.0.0.1");
    return "accepted";
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== "unauthenticated") throw error;
    return error.message;
  }
}

const unsigned = (header: object, claims: object): string =>
  `${[header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".")}.AAAA`;

describe("a bearer token", () => {
  test("names its principal by its subject", async () => {
    const verifier = createTokenVerifier([issuer], clock);
    expect(await verifier.principalOf(`Bearer ${await sign()}`, "127.0.0.1")).toEqual({
      kind: "token",
      name: "app",
      peer: "127.0.0.1",
    });
  });

  test("names it by another claim where the configuration says so", async () => {
    const verifier = createTokenVerifier([{ ...issuer, claim: "client_id" }], clock);
    expect(await verifier.principalOf(`Bearer ${await sign({ client_id: "batch" })}`, "")).toMatchObject({
      name: "batch",
    });
    expect(await refusal(verifier, `Bearer ${await sign()}`)).toContain("the claim that names the caller");
  });

  test("is refused, with the reason, when anything about it does not hold", async () => {
    const verifier = createTokenVerifier([issuer], clock);
    const cases: readonly (readonly [string | undefined, string])[] = [
      [undefined, "Present a client certificate"],
      ["", "not a signed JWT"],
      ["Basic YTpi", "not a signed JWT"],
      ["Bearer x", "not a signed JWT"],
      [`Bearer ${"a".repeat(20_000)}.b.c`, "not a signed JWT"],
      ["Bearer a.b.c", "issuer is not accepted"],
      [`Bearer ${await sign({ iss: "https://evil.example" })}`, "issuer is not accepted"],
      [`Bearer ${await sign({ aud: "another" })}`, '"aud" does not hold'],
      [`Bearer ${await sign({ exp: nowS() - 60 })}`, "expired"],
      [`Bearer ${await sign({ nbf: nowS() + 60 })}`, '"nbf" does not hold'],
      [`Bearer ${await sign({ exp: undefined as never })}`, '"exp" does not hold'],
      [`Bearer ${await sign({ sub: "a b" })}`, "claim that names the caller"],
      [`Bearer ${await sign({ sub: "" })}`, "claim that names the caller"],
      [`Bearer ${await sign({}, others.privateKey)}`, "signature does not hold"],
      [`Bearer ${await sign({}, others.privateKey, "two")}`, "no key of the issuer"],
      [`Bearer ${unsigned({ alg: "none" }, { iss: issuer.issuer, sub: "app" })}`, "algorithm is not accepted"],
      [
        `Bearer ${unsigned({ alg: "HS256", kid: "one" }, { iss: issuer.issuer, sub: "app" })}`,
        "algorithm is not accepted",
      ],
    ];
    for (const [header, reason] of cases) expect(await refusal(verifier, header)).toContain(reason);
  });

  test("has sixteen thousand characters at most", async () => {
    const verifier = createTokenVerifier([issuer], clock);
    const ofLength = async (length: number): Promise<string> => {
      for (let header = 0; header < 4; header++) {
        const padded = async (pad: number) =>
          new SignJWT({ iss: issuer.issuer, aud: issuer.audience, sub: "app", exp: nowS() + 300, pad: "x".repeat(pad) })
            .setProtectedHeader({ alg: "ES256", kid: "one", cty: "x".repeat(header + 1) })
            .sign(keys.privateKey);
        const rest = (await padded(0)).length;
        const token = await padded(Math.floor(((length - rest) * 3) / 4));
        if (token.length === length) return token;
      }
      throw new Error(`no token has ${length} characters`);
    };
    expect(await refusal(verifier, `Bearer ${await ofLength(16_384)}`)).toBe("accepted");
    expect(await refusal(verifier, `Bearer ${await ofLength(16_385)}`)).toContain("not a signed JWT");
  });

  test("is never told back", async () => {
    const verifier = createTokenVerifier([issuer], clock);
    const token = await sign({ sub: "secret name" });
    const message = await refusal(verifier, `Bearer ${token}`);
    expect(message).not.toContain(token.slice(0, 20));
    expect(message).not.toContain("secret name");
  });

  test("is remembered for a while, but not past its end", async () => {
    const time = new VirtualClock();
    const verifier = createTokenVerifier([issuer], time);
    const token = `Bearer ${await sign({ exp: Math.floor(time.wallMs() / 1000) + 30 })}`;
    await verifier.principalOf(token, "127.0.0.1");
    expect(verifier.principalOf(token, "127.0.0.2")).toEqual({ kind: "token", name: "app", peer: "127.0.0.2" });
    await time.advance(40_000);
    expect(await refusal(verifier, token)).toContain("expired");
  });

  test("may be late or early by five seconds, the clocks' difference, and no more", async () => {
    const verifier = createTokenVerifier([issuer], clock);
    expect(await refusal(verifier, `Bearer ${await sign({ exp: nowS() - 4 })}`)).toBe("accepted");
    expect(await refusal(verifier, `Bearer ${await sign({ exp: nowS() - 6 })}`)).toContain("expired");
    expect(await refusal(verifier, `Bearer ${await sign({ nbf: nowS() + 4 })}`)).toBe("accepted");
    expect(await refusal(verifier, `Bearer ${await sign({ nbf: nowS() + 6 })}`)).toContain('"nbf"');
  });

  test("is looked at anew after a minute, or at its end and five seconds if that comes first", async () => {
    for (const [livesS, rememberedMs] of [
      [300, 60_000],
      [10, 15_000],
    ] as const) {
      const time = new VirtualClock();
      const verifier = createTokenVerifier([issuer], time);
      const token = `Bearer ${await sign({ exp: Math.floor(time.wallMs() / 1000) + livesS })}`;
      await verifier.principalOf(token, "");
      await time.advance(rememberedMs - 1);
      expect(verifier.principalOf(token, "")).not.toBeInstanceOf(Promise);
      await time.advance(1);
      const again = verifier.principalOf(token, "");
      expect(again).toBeInstanceOf(Promise);
      await Promise.allSettled([again]);
    }
  });

  test("may begin with a byte order mark, as some editors write it", async () => {
    const path = join(folder, "marked.json");
    writeFileSync(path, `\ufeff${JSON.stringify(keySet)}`);
    const verifier = createTokenVerifier([{ ...issuer, jwks: path }], clock);
    expect(await refusal(verifier, `Bearer ${await sign()}`)).toBe("accepted");
  });

  test("is refused once its key has left the reloaded JWK set", async () => {
    const path = join(folder, "changing.json");
    writeFileSync(path, JSON.stringify(keySet));
    const verifier = createTokenVerifier([{ ...issuer, jwks: path }], clock);
    const token = `Bearer ${await sign()}`;
    await verifier.principalOf(token, "");
    writeFileSync(path, JSON.stringify({ keys: [{ ...(await exportJWK(others.publicKey)), kid: "two" }] }));
    verifier.use(verifier.read());
    expect(await refusal(verifier, token)).toContain("no key of the issuer");
    writeFileSync(path, "{");
    expect(() => verifier.read()).toThrow("not a JWK set");
  });
});

describe("a JWK set by URL", () => {
  afterEach(() => void setSystemTime());

  /** A server of JWK sets, how often it was asked, and a verifier that asks it. */
  async function serveKeys(answer: () => object | "never" = () => keySet) {
    const served = { times: 0 };
    const server = createServer((_request, response) => {
      served.times++;
      const body = answer();
      if (body !== "never") response.end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
    const verifier = createTokenVerifier([{ ...issuer, jwks: url }], clock);
    let token = 0;
    const outcome = async (kid = "one", key = keys.privateKey): Promise<string> =>
      refusal(verifier, `Bearer ${await sign({ jti: `${token++}` }, key, kid)}`);
    const close = (): void => {
      server.closeAllConnections();
      server.close();
    };
    return { served, outcome, close };
  }

  test("is fetched anew after five minutes, and for a key that it lacks after ten seconds", async () => {
    const { served, outcome, close } = await serveKeys();
    try {
      // Time stands still between the steps, however long they take.
      const startMs = Date.now();
      setSystemTime(startMs);
      let atMs = 0;
      const at = async (ms: number): Promise<void> => {
        setSystemTime(startMs + ms);
        await clock.advance(ms - atMs);
        atMs = ms;
      };
      expect([await outcome(), served.times]).toEqual(["accepted", 1]);
      await at(9_999);
      expect([await outcome("two", others.privateKey), served.times]).toEqual([
        expect.stringContaining("no key of the issuer"),
        1,
      ]);
      await at(10_000);
      expect([await outcome("two", others.privateKey), served.times]).toEqual([
        expect.stringContaining("no key of the issuer"),
        2,
      ]);
      await at(299_999);
      expect([await outcome(), served.times]).toEqual(["accepted", 2]);
      await at(300_000);
      expect(await outcome()).toBe("accepted");
      await eventually(() => served.times === 3, "the set is read again");
    } finally {
      close();
    }
  });

  test("counts on while its issuer is away, for an hour", async () => {
    let isAway = false;
    const { served, outcome, close } = await serveKeys(() => (isAway ? { gone: true } : keySet));
    try {
      expect([await outcome(), served.times]).toEqual(["accepted", 1]);
      isAway = true;
      await clock.advance(3_599_999);
      expect(await outcome()).toBe("accepted");
      await clock.advance(1);
      expect(await outcome()).toContain("refused");
      isAway = false;
      await clock.advance(1_000);
      expect(await outcome()).toBe("accepted");
    } finally {
      close();
    }
  });

  test("is waited for by no token of a key that is known, while its issuer hangs", async () => {
    let hangs = false;
    const { served, outcome, close } = await serveKeys(() => (hangs ? "never" : keySet));
    try {
      expect(await outcome()).toBe("accepted");
      hangs = true;
      await clock.advance(300_000);
      // The answer never comes: what waited for it would take five seconds, and end with it.
      const timeout = spyOn(AbortSignal, "timeout").mockImplementation(() => new AbortController().signal);
      try {
        for (let times = 0; times < 3; times++) expect(await outcome()).toBe("accepted");
        await eventually(() => served.times === 2, "the set is asked for");
      } finally {
        timeout.mockRestore();
      }
    } finally {
      close();
    }
  });

  test("is waited for once it is ten minutes old: a key that was taken out counts no longer", async () => {
    let set = keySet;
    const { outcome, close } = await serveKeys(() => set);
    try {
      expect(await outcome()).toBe("accepted");
      set = { keys: [] };
      await clock.advance(600_000);
      expect(await outcome()).toContain("refused");
    } finally {
      close();
    }
  });

  test("that does not come within five seconds, or is none, refuses the token and says which", async () => {
    let answer: object | "never" = "never";
    const { outcome, close } = await serveKeys(() => answer);
    const timeouts: number[] = [];
    const timeout = spyOn(AbortSignal, "timeout").mockImplementation((ms) => {
      timeouts.push(ms);
      const controller = new AbortController();
      setTimeout(() => controller.abort(new DOMException("over", "TimeoutError")), answer === "never" ? 1 : 60_000);
      return controller.signal;
    });
    try {
      expect(await outcome()).toContain("could not be fetched in time");
      expect(timeouts).toEqual([5_000]);
      answer = {};
      await clock.advance(1_000);
      expect(await outcome()).toContain("it cannot be verified");
    } finally {
      timeout.mockRestore();
      close();
    }
  });

  test("stays when files are read again while its issuer is away: a renewed certificate takes no caller away", async () => {
    const server = createServer((_request, response) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(keySet));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
    const verifier = createTokenVerifier([{ ...issuer, jwks: url }], clock);
    await verifier.principalOf(`Bearer ${await sign({ jti: "before" })}`, "");
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    verifier.use(verifier.read());
    expect(await verifier.principalOf(`Bearer ${await sign({ jti: "after" })}`, "")).toMatchObject({ kind: "token" });
  });

  test("is fetched once and used for many tokens", async () => {
    let fetched = 0;
    const server = createServer((_request, response) => {
      fetched++;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(keySet));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
      const verifier = createTokenVerifier([{ ...issuer, jwks: url }], clock);
      for (let index = 0; index < 5; index++) {
        await verifier.principalOf(`Bearer ${await sign({ jti: String(index) })}`, "");
      }
      expect(fetched).toBe(1);
    } finally {
      server.close();
    }
  });

  test("is asked for at its own address, whatever proxy the environment names; what is too long or a redirect is none", async () => {
    const served: string[] = [];
    const proxied: string[] = [];
    const server = createServer((request, response) => {
      served.push(request.url!);
      if (request.url === "/long") return void response.end(Buffer.alloc(2_000_000, " "));
      if (request.url === "/moved") return void response.writeHead(302, { location: "/keys" }).end();
      response.end(JSON.stringify(keySet));
    });
    const proxy = createServer((request, response) => {
      proxied.push(request.url!);
      response.end(JSON.stringify(keySet));
    });
    for (const each of [server, proxy]) await new Promise<void>((resolve) => each.listen(0, "127.0.0.1", resolve));
    const portOf = (each: typeof server): number => (each.address() as AddressInfo).port;
    const names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    const before = names.map((name) => [name, process.env[name]] as const);
    for (const name of names) process.env[name] = `http://127.0.0.1:${portOf(proxy)}`;
    try {
      const outcome = async (path: string) => {
        const verifier = createTokenVerifier([{ ...issuer, jwks: `http://127.0.0.1:${portOf(server)}${path}` }], clock);
        return Promise.resolve(verifier.principalOf(`Bearer ${await sign({ jti: path })}`, "")).then(
          () => "accepted",
          () => "refused",
        );
      };
      expect(await outcome("/keys")).toBe("accepted");
      expect(await outcome("/long")).toBe("refused");
      expect(await outcome("/moved")).toBe("refused");
      expect([served, proxied]).toEqual([["/keys", "/long", "/moved"], []]);
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      server.close();
      proxy.close();
    }
  });

  test("must come over https unless it is on loopback", () => {
    expect(() => createTokenVerifier([{ ...issuer, jwks: "http://example.org/keys" }], clock)).toThrow("https only");
  });
});

test("subjects of several issuers are told apart by the issuers' names", async () => {
  const verifier = createTokenVerifier(
    [
      { ...issuer, name: "shop" },
      { ...issuer, name: "bank", issuer: "https://other.example" },
    ],
    clock,
  );
  const nameOf = async (iss: string): Promise<string> =>
    (await verifier.principalOf(`Bearer ${await sign({ iss, sub: "system:serviceaccount:app" })}`, "")).name;
  expect(await nameOf(issuer.issuer)).toBe("shop:system:serviceaccount:app");
  expect(await nameOf("https://other.example")).toBe("bank:system:serviceaccount:app");
});
