/**
 * The baseline of the HTTP rows: a bare `Bun.serve` route that takes a request, does no work, and gives an answer of the
 * asked size. Options: { port?, unix?, answerBytes, readsBody?, anyPath? }.
 */
const options = JSON.parse(process.argv[2] ?? "{}") as {
  port?: number;
  unix?: string;
  answerBytes: number;
  readsBody?: boolean;
  /** Answers every path so; by default that of CreateKey alone. */
  anyPath?: boolean;
  tls?: { ca: string; cert: string; key: string };
};
const text = "x".repeat(options.answerBytes);
const init = { status: 201, headers: { "content-type": "application/json" } };
const answer =
  options.readsBody === false
    ? () => new Response(text, init)
    : async (request: Request) => {
        await request.text();
        return new Response(text, init);
      };
const server = Bun.serve({
  ...(options.unix === undefined ? { hostname: "127.0.0.1", port: options.port ?? 0 } : { unix: options.unix }),
  ...(options.tls === undefined ? {} : { tls: options.tls }),
  development: false,
  routes: options.anyPath === true ? { "/*": { POST: answer } } : { "/v1/keys/create": { POST: answer } },
  fetch: () => new Response(null, { status: 404 }),
} as Parameters<typeof Bun.serve>[0]);
console.log(JSON.stringify({ port: server.port }));
process.on("SIGTERM", () => process.exit(0));
