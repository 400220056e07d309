/** What a browser does that the console's tests need: calls over mutual TLS with the headers of a browser, forms with their hidden fields. */
import { request } from "node:https";
import { connect } from "node:tls";
import type { ClientFiles } from "../../../src/base/pki/throw-away.ts";
import type { ConsoleListener, ConsoleOptions } from "../../../src/core/console-port.ts";
import { type CoreWorld, startCoreWorld } from "../../support/core-world.ts";
import { startWorldConsole } from "../../support/world-console.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface KeptConnection extends AsyncDisposable {
  /** Whether it answers. */
  isOpen(): Promise<boolean>;
  readonly closed: Promise<void>;
}

export interface ConsoleWorld {
  readonly world: CoreWorld;
  readonly console: ConsoleListener;
  readonly logged: { readonly message: string; readonly fields: Readonly<Record<string, unknown>> | undefined }[];
  get(path: string, as?: ClientFiles): Promise<Answer>;
  /** Likewise without a certificate, with these headers. */
  getWith(path: string, headers: Readonly<Record<string, string>>): Promise<Answer>;
  postWith(
    path: string,
    fields: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>>,
  ): Promise<Answer>;
  /** As a form of the console's own page would be sent; `headers` say otherwise. */
  post(
    path: string,
    fields: Readonly<Record<string, string>>,
    headers?: Readonly<Record<string, string>>,
    as?: ClientFiles,
  ): Promise<Answer>;
  /** A connection of an administrator that stays open. */
  keptConnection(): Promise<KeptConnection>;
  /** The token of the page's forms. */
  token(): Promise<string>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startConsoleWorld(options: Partial<ConsoleOptions> = {}): Promise<ConsoleWorld> {
  const world = await startCoreWorld({ createOnFirstUse: true });
  const logged: { message: string; fields: Readonly<Record<string, unknown>> | undefined }[] = [];
  const console = await startWorldConsole(world, {
    log: (_level, message, fields) => void logged.push({ message, fields }),
    ...options,
  });
  const administrator = await world.pki.admin();
  const get = (path: string, as = administrator) => send(console.url, as, "GET", path, {});
  const token = async () => /name="token" value="([^"]+)"/.exec((await get("/services")).text)![1]!;
  const nobody: ClientOf = { ca: administrator.ca };
  const post = (
    path: string,
    fields: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>> = {},
    as: ClientOf = administrator,
  ): Promise<Answer> =>
    send(
      console.url,
      as,
      "POST",
      path,
      {
        "content-type": "application/x-www-form-urlencoded",
        "sec-fetch-site": "same-origin",
        origin: console.url,
        ...headers,
      },
      new URLSearchParams({ ...fields }).toString(),
    );
  return {
    world,
    console,
    logged,
    get,
    token,
    getWith: (path, headers) => send(console.url, nobody, "GET", path, headers),
    postWith: (path, fields, headers) => post(path, fields, headers, nobody),
    post,
    async keptConnection() {
      const { ca, cert, key } = administrator;
      const socket = connect({ host: "127.0.0.1", port: Number(new URL(console.url).port), ca, cert, key });
      const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      socket.on("error", () => undefined);
      return {
        closed,
        async isOpen() {
          const answered = new Promise<boolean>((resolve) => {
            socket.once("data", (bytes) => resolve(String(bytes).startsWith("HTTP/1.1 200")));
          });
          socket.write("GET /console.css HTTP/1.1\r\nhost: console\r\n\r\n");
          return answered;
        },
        async [Symbol.asyncDispose]() {
          socket.destroy();
          await closed;
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await console.close();
      await world[Symbol.asyncDispose]();
    },
  };
}

type ClientOf = Pick<ClientFiles, "ca"> & Partial<ClientFiles>;

function send(
  origin: string,
  { ca, cert, key }: ClientOf,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(new URL(path, origin), { method, headers, ca, cert, key, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, text }));
      response.on("error", reject);
    });
    call.on("error", reject);
    call.end(body);
  });
}
