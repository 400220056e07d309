import { expect, test } from "bun:test";
import { systemClock } from "../../../src/base/time/system-clock.ts";
import { OidcIssuer } from "../../../src/core/console/oidc-issuer.ts";

test("of an issuer's answer no more is read than one may have", async () => {
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => Response.json({ issuer: new URL(url).origin, padding: "x".repeat(300_000) }),
  });
  const issuer = new OidcIssuer(
    {
      issuer: server.url.origin,
      clientId: "console",
      audience: "console",
      scopes: [],
      rolesClaim: "groups",
      administrators: ["admins"],
      viewers: [],
      sessionMs: 60_000,
    },
    systemClock,
  );
  await expect(issuer.begin("https://console.example/signed-in")).rejects.toThrow("its answer is too large");
});
