import { expect, spyOn, test } from "bun:test";
import { systemClock } from "../../../src/base/time/system-clock.ts";
import { OidcIssuer } from "../../../src/core/console/oidc-issuer.ts";
import { eventually } from "../../support/until.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";
import { startTestIssuer } from "./issuer.ts";

const SIGN_IN = {
  clientId: "console",
  audience: "console",
  scopes: [],
  rolesClaim: "groups",
  administrators: ["admins"],
  viewers: [],
  sessionMs: 60_000,
};

test("of an issuer's answer no more is read than one may have", async () => {
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => Response.json({ issuer: new URL(url).origin, padding: "x".repeat(300_000) }),
  });
  const issuer = new OidcIssuer({ ...SIGN_IN, issuer: server.url.origin }, systemClock);
  await expect(issuer.begin("https://console.example/signed-in")).rejects.toThrow("its answer is too large");
});

test("an issuer that is away takes nobody's sign-in away: what it said last counts, its keys for an hour", async () => {
  await using server = await startTestIssuer();
  const clock = new VirtualClock();
  const issuer = new OidcIssuer({ ...SIGN_IN, issuer: server.url }, clock);
  const token = async (): Promise<string> => {
    const seconds = Math.floor(clock.wallMs() / 1_000);
    return server.sign({ aud: "console", sub: "ann", groups: ["admins"], iat: seconds, exp: seconds + 60 });
  };
  await expect(issuer.ofToken(await token())).resolves.toMatchObject({ role: "administrator" });
  const sign = [await token()];
  await clock.advance(3_599_000);
  sign.push(await token());
  await server[Symbol.asyncDispose]();
  await expect(issuer.ofToken(sign[1]!)).resolves.toMatchObject({ role: "administrator" });
  await clock.advance(1_001);
  await expect(issuer.ofToken(sign[1]!)).rejects.toThrow("of the token");
});

test("an issuer that hangs holds up nobody whose token is signed by a key that is known", async () => {
  await using server = await startTestIssuer();
  const clock = new VirtualClock();
  const issuer = new OidcIssuer({ ...SIGN_IN, issuer: server.url }, clock);
  const come = async (): Promise<unknown> => {
    const seconds = Math.floor(clock.wallMs() / 1_000);
    return issuer.ofToken(
      await server.sign({ aud: "console", sub: "ann", groups: ["admins"], iat: seconds, exp: seconds + 60 }),
    );
  };
  await come();
  // The keys are too old by then, and are waited for.
  await clock.advance(3_300_000);
  await come();
  // What waits for it is ended by the test's own limit alone.
  using _ = spyOn(AbortSignal, "timeout").mockImplementation(() => new AbortController().signal);
  server.hangs = true;
  await clock.advance(300_000);
  for (let times = 0; times < 3; times++) expect(await come()).toMatchObject({ role: "administrator" });
  await eventually(() => server.asked.discovery === 2 && server.asked.keys === 3, "both are asked for");
});
