/** A Hono service with an encrypted field: errors of the edge become the service's own. */
import { serve } from "@hono/node-server";
import { CryptoEdgeError } from "crypto-edge/client";
import { Hono } from "hono";
import { records } from "./edge.ts";

const notes = new Map<string, Uint8Array>();
const app = new Hono();

app.put("/notes/:id", async (c) => {
  const id = c.req.param("id");
  notes.set(id, await records.seal(await c.req.text(), { table: "notes", id }));
  return c.body(null, 204);
});

app.get("/notes/:id", async (c) => {
  const id = c.req.param("id");
  const sealed = notes.get(id);
  return sealed === undefined ? c.notFound() : c.text(await records.openText(sealed, { table: "notes", id }));
});

app.onError((error, c) => {
  if (!(error instanceof CryptoEdgeError)) throw error;
  if (error.code === "key_revoked") return c.text("This note can't be read any more.", 410);
  return c.text("Try again later.", error.mayPass ? 503 : 500);
});

serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: "127.0.0.1" }, ({ port }) =>
  console.log(port),
);
