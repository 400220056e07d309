/** An Elysia service (on Bun) with an encrypted field. */
import { CryptoEdgeError } from "crypto-edge/client";
import { Elysia } from "elysia";
import { records } from "./edge.ts";

const notes = new Map<string, Uint8Array>();

const app = new Elysia()
  .onError(({ error, set }) => {
    if (!(error instanceof CryptoEdgeError)) return;
    set.status = error.code === "key_revoked" ? 410 : error.mayPass ? 503 : 500;
    return error.code === "key_revoked" ? "This note can't be read any more." : "Try again later.";
  })
  .put(
    "/notes/:id",
    async ({ params: { id }, body, set }) => {
      notes.set(id, await records.seal(String(body), { table: "notes", id }));
      set.status = 204;
    },
    { parse: "text" },
  )
  .get("/notes/:id", async ({ params: { id }, set }) => {
    const sealed = notes.get(id);
    if (sealed !== undefined) return records.openText(sealed, { table: "notes", id });
    set.status = 404;
    return "There is no such note.";
  })
  .listen({ port: Number(process.env.PORT ?? 3000), hostname: "127.0.0.1" });

console.log(app.server?.port);
