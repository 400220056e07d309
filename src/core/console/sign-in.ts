/** Signing in at the issuer and out again. What is under way lies sealed in the person's browser, so that any Core can end it. */
import { html, isOwnRequest } from "../../base/web/html.ts";
import type { ConsoleSignIn } from "../console-port.ts";
import { CoreError } from "../protocol/core-error.ts";
import { pageResponse, seeOther } from "./layout.ts";
import type { OidcIssuer, SignInAttempt } from "./oidc-issuer.ts";
import type { SealedCookies } from "./sealed-cookies.ts";
import type { Visitor } from "./visitor.ts";

/** The issuer leads the browser back to it: registered there as the redirect address. */
const RETURN_PATH = "/signed-in";
const SIGNED_OUT_PATH = "/signed-out";
/** For whoever looks for their second factor. */
const SIGN_IN_MS = 10 * 60_000;
const TOKEN = /^Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i;
const MAX_TOKEN_BYTES = 12_288;

export interface SignInParts {
  readonly options: ConsoleSignIn;
  readonly issuer: OidcIssuer;
  readonly cookies: SealedCookies;
  /** Of the console, as browsers know it, without a path. */
  readonly origin: string;
}

export interface SignIn {
  /** By a presented token, else by a session. @throws CoreError for a token that is refused */
  visitorOf(headers: Headers): Promise<Visitor | undefined>;
  /** Answers what belongs to signing in and out; undefined for any other page. @throws CoreError */
  answer(request: Request): Promise<{ readonly response: Response; readonly signedIn?: Visitor } | undefined>;
  /** For somebody who has not signed in: to the issuer where a person looks at a page, else refused. */
  demand(request: Request): Response;
}

export function createSignIn({ options, issuer, cookies, origin }: SignInParts): SignIn {
  const redirectUri = `${origin}${RETURN_PATH}`;

  async function begin(to: string | null): Promise<Response> {
    const { location, attempt } = await issuer.begin(redirectUri);
    return seeOther(location, [await cookies.seal("sign-in", { ...attempt, to: pathOf(to) }, SIGN_IN_MS)]);
  }

  async function finish(request: Request): Promise<{ response: Response; signedIn: Visitor }> {
    const begun = await cookies.open("sign-in", request.headers.get("cookie") ?? undefined);
    if (begun === undefined) {
      throw new CoreError("not_allowed", "no sign-in was begun in this browser within ten minutes: begin again");
    }
    const attempt = begun as unknown as SignInAttempt & { readonly to: string };
    const signedIn = await issuer.finish(new URL(request.url).searchParams, attempt, redirectUri);
    const { name, subject, role } = signedIn;
    const session = await cookies.seal("session", { sub: subject, name, role }, options.sessionMs);
    return { response: seeOther(pathOf(attempt.to), [session, cookies.forget("sign-in")]), signedIn };
  }

  async function signedOut(): Promise<Response> {
    const there = await issuer.signOutLocation(`${origin}${SIGNED_OUT_PATH}`);
    const body = html`<p role="status" class="good">You are signed out here.</p>
<p><a href="/sign-in">Sign in</a>${there !== undefined && html` or <a href="${there}">sign out of the issuer too</a>`}.</p>`;
    return pageResponse({ title: "Signed out", path: undefined, body }, undefined);
  }

  return {
    async visitorOf(headers) {
      const authorization = headers.get("authorization");
      if (authorization !== null) {
        const token = TOKEN.exec(authorization)?.[1];
        if (token === undefined || token.length > MAX_TOKEN_BYTES) {
          throw new CoreError("not_allowed", "the Authorization header is not Bearer and a signed JWT");
        }
        return issuer.ofToken(token);
      }
      const session = await cookies.open("session", headers.get("cookie") ?? undefined);
      if (session === undefined) return undefined;
      const { sub, name, role } = session as unknown as { sub: string; name: string; role: Visitor["role"] };
      return { subject: sub, name, role, by: "session" };
    },
    async answer(request) {
      const { pathname, searchParams } = new URL(request.url);
      switch (`${request.method} ${pathname}`) {
        case "GET /sign-in":
          return { response: await begin(searchParams.get("to")) };
        case `GET ${RETURN_PATH}`:
          return finish(request);
        case `GET ${SIGNED_OUT_PATH}`:
          return { response: await signedOut() };
        case "POST /sign-out":
          if (!isOwnRequest((name) => request.headers.get(name) ?? undefined)) {
            throw new CoreError("not_allowed", "another page sent this: open the console and do it there");
          }
          return { response: seeOther(SIGNED_OUT_PATH, [cookies.forget("session")]) };
        default:
          return undefined;
      }
    },
    demand(request) {
      const { pathname, search } = new URL(request.url);
      if (request.method === "GET" && (request.headers.get("accept") ?? "").includes("text/html")) {
        return seeOther(`/sign-in?${new URLSearchParams({ to: `${pathname}${search}` }).toString()}`);
      }
      const body = html`<p role="alert" class="bad">Nothing was done: you are not signed in, or no longer.</p>
<p><a href="/sign-in">Sign in</a>.</p>`;
      const response = pageResponse({ title: "Sign in", path: undefined, status: 401, body }, undefined);
      response.headers.set("WWW-Authenticate", 'Bearer realm="crypto-edge Core"');
      return response;
    },
  };
}

/** A page of this console, never another host's, whatever the address said. */
function pathOf(to: string | null): string {
  const place = "https://console.invalid";
  if (to === null || !to.startsWith("/") || !URL.canParse(to, place)) return "/";
  const { origin, pathname, search } = new URL(to, place);
  return origin === place ? `${pathname}${search}`.replace(/^\/{2,}/, "/") : "/";
}
