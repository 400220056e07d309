// An issuer of the npm package oidc-provider, with a form that lets in whoever names themselves: alice of keys-admins, everyone else an auditor.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "crypto-edge-console",
      client_secret: "of the console+1",
      redirect_uris: [redirectUri],
      post_logout_redirect_uris: [redirectUri.replace("signed-in", "signed-out")],
    },
  ],
  claims: { openid: ["sub"], groups: ["groups"], profile: ["preferred_username"] },
  // Claims of scopes come in the id_token, as most issuers can be told to.
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  findAccount: (_ctx, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, groups: [id === "alice" ? "keys-admins" : "auditors"] }),
  }),
});
createServer(provider.callback()).listen(Number(port), "127.0.0.1", () => console.log("the issuer is ready"));
