/** An Express service with an encrypted field. */
import { CryptoEdgeError } from "crypto-edge/client";
import express, { type NextFunction, type Request, type Response } from "express";
import { records } from "./edge.ts";

const notes = new Map<string, Uint8Array>();
const app = express();
app.use(express.text({ type: "*/*" }));

app.put("/notes/:id", async (request, response) => {
  const { id } = request.params;
  notes.set(id, await records.seal(String(request.body), { table: "notes", id }));
  response.status(204).end();
});

app.get("/notes/:id", async (request, response) => {
  const { id } = request.params;
  const sealed = notes.get(id);
  if (sealed === undefined) response.status(404).end("There is no such note.");
  else response.type("text/plain").send(await records.openText(sealed, { table: "notes", id }));
});

app.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
  if (!(error instanceof CryptoEdgeError)) return next(error);
  if (error.code === "key_revoked") response.status(410).end("This note can't be read any more.");
  else response.status(error.mayPass ? 503 : 500).end("Try again later.");
});

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () =>
  console.log((server.address() as { port: number }).port),
);
