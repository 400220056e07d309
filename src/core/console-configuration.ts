/** The section `console` of the Core's configuration (docs/console.md). */
import { type Static, Type } from "@sinclair/typebox";
import type { ConfigurationProblem } from "../base/config/decode.ts";
import { Address, Duration, Path, Secret, Section } from "../base/config/schema-types.ts";
import { isProtectedUrl } from "../base/network/protected-url.ts";

const Groups = (description: string) => Type.Array(Type.String({ minLength: 1 }), { default: [], description });

const OidcSection = Section(
  {
    issuer: Type.String({ description: "The issuer, exactly as its tokens name it: https, or http on this machine." }),
    ca: Type.Optional(
      Path({ description: "The authorities (PEM) of its certificate, where the machine's do not fit." }),
    ),
    client_id: Type.String({ minLength: 1, description: "The console's name at the issuer." }),
    client_secret: Type.Optional(
      Secret({ description: "Its secret there, or file: and the path of one; none for a public client." }),
    ),
    audience: Type.Optional(
      Type.String({ minLength: 1, description: "What `aud` of a presented token must name. Default: `client_id`." }),
    ),
    url: Type.Optional(
      Type.String({
        pattern: "^https://[^/]+$",
        expected: "an address such as https://console.example.org",
        description: "Where browsers reach the console, if not where it listens. Register it with /signed-in there.",
      }),
    ),
    scopes: Type.Array(Type.String({ pattern: "^[\\x21\\x23-\\x5B\\x5D-\\x7E]+$" }), {
      default: ["profile"],
      description: "What is asked for beside `openid`.",
    }),
    roles_claim: Type.String({
      default: "groups",
      minLength: 1,
      description: "The claim with a person's groups; dots lead into objects, as in `realm_access.roles`.",
    }),
    administrators: Groups("Groups whose people may do everything."),
    viewers: Groups("Groups whose people may look and change nothing."),
    session: Duration({
      default: "1h",
      minimumMs: 60_000,
      maximumMs: 12 * 3_600_000,
      description: "How long a sign-in lasts. A group that is taken away counts from the next.",
    }),
  },
  { description: "People sign in at an OpenID Connect issuer, or present its tokens." },
);

export const ConsoleSection = Section(
  {
    listen: Address({
      default: "127.0.0.1:8445",
      description: "Where administrators' browsers connect, with the certificates and authorities of `tls`.",
    }),
    viewers: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: "SPIFFE IDs that may look and change nothing; `*` stands for any characters.",
    }),
    oidc: Type.Optional(OidcSection),
  },
  { description: "A web console for administrators (console.md)." },
);

export type ConsoleConfiguration = Static<typeof ConsoleSection>;

export function consoleProblems(console: ConsoleConfiguration | undefined): ConfigurationProblem[] {
  const { oidc } = console ?? {};
  if (oidc === undefined) return [];
  const problems: ConfigurationProblem[] = [];
  if (!isProtectedUrl(oidc.issuer)) {
    problems.push({
      path: ["console", "oidc", "issuer"],
      message: "must be an https address, or http on this machine",
    });
  }
  if (oidc.administrators.length + oidc.viewers.length === 0) {
    problems.push({ path: ["console", "oidc"], message: "lets nobody in: name groups in administrators or viewers" });
  }
  return problems;
}
