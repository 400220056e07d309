/** An OpenID Connect issuer of the test's: real signatures over real HTTP, and whatever answer a test wants. */
import { createHash } from "node:crypto";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";

export interface TestIssuer extends AsyncDisposable {
  readonly url: string;
  /** Of whoever signs in next. */
  claims: JWTPayload;
  /** Read before it answers at the token endpoint; absent: what a correct issuer does. */
  spoil: { readonly claims?: JWTPayload; readonly status?: number; readonly foreignKey?: boolean };
  /** It answers nobody, not even with an error. */
  hangs: boolean;
  /** How often. */
  readonly asked: { discovery: number; keys: number };
  /** The forms that came to the token endpoint. */
  readonly redeemed: URLSearchParams[];
  /** What they were shown with: the client's secret. */
  readonly authorizations: (string | null)[];
  sign(claims: JWTPayload, options?: { readonly foreignKey?: boolean }): Promise<string>;
  /** What a browser does at the authorization endpoint: where it is led back to. */
  authorize(location: string): string;
}

export async function startTestIssuer(): Promise<TestIssuer> {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const foreign = await generateKeyPair("ES256");
  const codes = new Map<string, URLSearchParams>();
  const redeemed: URLSearchParams[] = [];
  const authorizations: (string | null)[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/keys") issuer.asked.keys++;
      if (pathname === "/.well-known/openid-configuration") issuer.asked.discovery++;
      if (issuer.hangs) await new Promise(() => {});
      if (pathname === "/.well-known/openid-configuration") {
        return Response.json({
          issuer: issuer.url,
          authorization_endpoint: `${issuer.url}/authorize`,
          token_endpoint: `${issuer.url}/token`,
          jwks_uri: `${issuer.url}/keys`,
          end_session_endpoint: `${issuer.url}/end`,
        });
      }
      if (pathname === "/keys")
        return Response.json({ keys: [{ ...(await exportJWK(publicKey)), kid: "1", alg: "ES256" }] });
      if (pathname !== "/token") return new Response(null, { status: 404 });
      const form = new URLSearchParams(await request.text());
      redeemed.push(form);
      authorizations.push(request.headers.get("authorization"));
      const asked = codes.get(form.get("code") ?? "");
      const challenge = createHash("sha256")
        .update(form.get("code_verifier") ?? "")
        .digest("base64url");
      const holds =
        asked?.get("code_challenge") === challenge &&
        asked.get("redirect_uri") === form.get("redirect_uri") &&
        codes.delete(form.get("code")!);
      if (!holds) return Response.json({ error: "invalid_grant" }, { status: 400 });
      const { claims, status = 200, foreignKey = false } = issuer.spoil;
      const idToken = await issuer.sign(
        { aud: asked.get("client_id")!, nonce: asked.get("nonce")!, ...issuer.claims, ...claims },
        { foreignKey },
      );
      return Response.json({ id_token: idToken, access_token: "opaque", token_type: "Bearer" }, { status });
    },
  });
  const issuer: TestIssuer = {
    url: `http://127.0.0.1:${server.port}`,
    hangs: false,
    asked: { discovery: 0, keys: 0 },
    claims: { sub: "4711", preferred_username: "alice", groups: ["keys-admins"] },
    spoil: {},
    redeemed,
    authorizations,
    sign: (claims, { foreignKey = false } = {}) =>
      new SignJWT({ iss: issuer.url, exp: Math.floor(Date.now() / 1_000) + 300, ...claims })
        .setProtectedHeader({ alg: "ES256", kid: "1" })
        .setIssuedAt()
        .sign(foreignKey ? foreign.privateKey : privateKey),
    authorize(location) {
      const { pathname, searchParams } = new URL(location);
      if (pathname !== "/authorize" || searchParams.get("code_challenge_method") !== "S256") throw new Error(location);
      const code = crypto.randomUUID();
      codes.set(code, searchParams);
      const back = new URL(searchParams.get("redirect_uri")!);
      back.searchParams.set("code", code);
      back.searchParams.set("state", searchParams.get("state")!);
      back.searchParams.set("iss", issuer.url);
      return `${back.pathname}${back.search}`;
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  return issuer;
}
