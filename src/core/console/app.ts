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
import { pageResponse, seeOther, styleResponse } from "./layout.ts";
import { overviewPage } from "./overview-page.ts";
import { ENDINGS, endingPage } from "./revocation-page.ts";
import { servicesPage } from "./services-page.ts";

export interface ConsoleApp {
  handle(request: Request): Promise<Response>;
}

export interface ConsoleParts {
  readonly admin: CoreAdmin;
  readonly clock: Clock;
  readonly log: CoreLog;
}

interface Routes {
  get(path: string, show: (query: URLSearchParams) => Response | Promise<Response>): void;
  /** `act` does what the form asks, and says which page shows what came of it. */
  post(path: string, act: (fields: URLSearchParams) => Promise<string>): void;
}

/** A viewer's app has no forms, and does nothing that is sent. */
export function createConsoleApp({ admin, clock, log }: ConsoleParts, role: "administrator" | "viewer"): ConsoleApp {
  const forms = role === "administrator" ? new Forms() : undefined;
  const app = new Elysia({ normalize: false }).onError(({ code, error }) =>
    errorPage(code === "NOT_FOUND" ? new CoreError("not_found", "there is no such page") : coreErrorOf(error, log)),
  );
  const get: Routes["get"] = (path, show) => {
    app.get(path, ({ request }) => show(new URL(request.url).searchParams));
  };

  get("/console.css", styleResponse);
  get("/", () => overviewPage(admin, clock));
  get("/services", (query) => servicesPage(admin, forms, query));
  get("/edges", () => edgesPage(admin));
  get("/events", (query) => eventsPage(admin, query));
  get("/audit", (query) => auditPage(admin, query));
  get("/audit.jsonl", (query) => auditFile(admin, query));
  if (forms === undefined) app.post("/*", refuseViewer, { parse: "none" });
  else {
    const post: Routes["post"] = (path, act) => {
      app.post(path, async ({ request, body }) => seeOther(await act(forms.read(request, body))), { parse: "text" });
    };
    addChanges({ get, post }, admin, forms);
  }
  return { handle: async (request) => app.handle(request) };
}

function refuseViewer(): never {
  throw new CoreError("not_allowed", "this certificate may look, and change nothing: an administrator's may");
}

function addChanges({ get, post }: Routes, admin: CoreAdmin, forms: Forms): void {
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
    get(`/${ending}`, (query) => endingPage(admin, forms, ending, scopeOf(query)));
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

function errorPage(error: CoreError): Response {
  return pageResponse({
    title: "This was not done",
    path: undefined,
    status: CORE_STATUS[error.code],
    body: html`<p role="alert" class="bad">${error.message}</p><p class="soft">${error.code}</p><p>Go back, or to the <a href="/">overview</a>.</p>`,
  });
}
