/** The console's pages and forms: an Elysia app over `CoreAdmin`, for someone who was found to have a role. */
import { Elysia } from "elysia";
import type { Clock } from "../../base/time/clock.ts";
import { html } from "../../base/web/html.ts";
import type { CoreAdmin } from "../admin.ts";
import { type CoreLog, coreErrorOf } from "../answers.ts";
import { CORE_STATUS, CoreError } from "../protocol/core-error.ts";
import { auditFile, auditPage } from "./audit-page.ts";
import { edgesPage } from "./edges-page.ts";
import { eventsPage } from "./events-page.ts";
import { Forms, scopeName, scopeOf, scopeQuery, serviceOf } from "./forms.ts";
import { type PageParts, pageResponse, seeOther, styleResponse } from "./layout.ts";
import { overviewPage } from "./overview-page.ts";
import { ENDINGS, endingPage } from "./revocation-page.ts";
import { servicesPage } from "./services-page.ts";
import type { Visitor, VisitorRequest } from "./visitor.ts";

export interface ConsoleApp {
  handle(request: VisitorRequest): Promise<Response>;
}

export interface ConsoleParts {
  readonly admin: CoreAdmin;
  readonly clock: Clock;
  readonly log: CoreLog;
  /** `ConsoleOptions.secret` */
  readonly secret: Uint8Array;
}

interface Routes {
  get(path: string, show: (query: URLSearchParams, forms: Forms) => Promise<PageParts>): void;
  /** `act` does what the form asks, and says which page shows what came of it. */
  post(path: string, act: (fields: URLSearchParams) => Promise<string>): void;
}

/** A viewer's app has no forms, and does nothing that is sent. */
export function createConsoleApp({ admin, clock, log, secret }: ConsoleParts, role: Visitor["role"]): ConsoleApp {
  const visitorOf = (request: Request): Visitor => (request as VisitorRequest).visitor;
  const formsOf = (request: Request): Forms => new Forms(secret, visitorOf(request).subject);
  const app = new Elysia({ normalize: false, strictPath: true }).onError(({ code, error, request }) =>
    errorPage(
      code === "NOT_FOUND" ? new CoreError("not_found", "there is no such page") : coreErrorOf(error, log),
      visitorOf(request),
    ),
  );
  const get: Routes["get"] = (path, show) => {
    app.get(path, async ({ request }) =>
      pageResponse(await show(new URL(request.url).searchParams, formsOf(request)), visitorOf(request)),
    );
  };

  app.get("/console.css", styleResponse);
  app.get("/audit.jsonl", ({ request }) => auditFile(admin, new URL(request.url).searchParams));
  get("/", () => overviewPage(admin, clock));
  get("/services", (query, forms) => servicesPage(admin, role === "administrator" ? forms : undefined, query));
  get("/edges", () => edgesPage(admin));
  get("/events", (query) => eventsPage(admin, query));
  get("/audit", (query) => auditPage(admin, query));
  if (role === "viewer") app.post("/*", refuseViewer, { parse: "none" });
  else {
    const post: Routes["post"] = (path, act) => {
      app.post(path, async ({ request, body }) => seeOther(await act(formsOf(request).read(request, body))), {
        parse: "text",
      });
    };
    addChanges({ get, post }, admin);
  }
  return { handle: async (request) => app.handle(request) };
}

function refuseViewer(): never {
  throw new CoreError("not_allowed", "you may look, and change nothing: an administrator may");
}

function addChanges({ get, post }: Routes, admin: CoreAdmin): void {
  post("/services", async (fields) => {
    const scope = serviceOf(fields);
    await admin.createService(scope.tenant, scope.service);
    return `/services?${scopeQuery(scope)}&done=create`;
  });
  post("/rotate", async (fields) => {
    const scope = serviceOf(fields);
    const { seq } = await admin.rotate(scope.tenant, scope.service);
    return `/services?${scopeQuery(scope)}&done=rotate&seq=${seq}`;
  });
  post("/restore", async (fields) => {
    const scope = scopeOf(fields);
    const { seq } = await admin.restore(scope);
    return `/services?${scopeQuery(scope)}&done=restore&seq=${seq}`;
  });
  for (const ending of ENDINGS) {
    get(`/${ending}`, (query, forms) => endingPage({ admin, forms }, ending, scopeOf(query)));
    post(`/${ending}`, async (fields) => {
      const scope = scopeOf(fields);
      const name = scopeName(scope);
      const reason = fields.get("reason")?.trim() ?? "";
      if (reason === "" || reason.length > 500) {
        throw new CoreError("invalid_request", "give the reason, in 1 to 500 characters");
      }
      if (fields.get("confirmation")?.trim() !== name) {
        throw new CoreError("invalid_request", `nothing was changed: to confirm, type ${name}`);
      }
      const events = await admin[ending](scope, { reason, rotate: fields.get("rotate") === "yes" });
      return `/services?${scopeQuery(scope)}&done=${ending}&seq=${events[0]!.seq}`;
    });
  }
}

/** `visitor` undefined: somebody who was not let in. */
export function errorPage(error: CoreError, visitor: Visitor | undefined): Response {
  const { code, message } = error;
  const way =
    visitor === undefined ? html`<a href="/sign-in">Sign in</a>` : html`Go back, or to the <a href="/">overview</a>`;
  const body = html`<p role="alert" class="bad">${message}</p><p class="soft">${code}</p><p>${way}.</p>`;
  return pageResponse({ title: "This was not done", path: undefined, status: CORE_STATUS[code], body }, visitor);
}
