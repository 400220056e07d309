/** HTTPS by `fetch` alone, for runtimes without `node:http` (workers at the edge of a network). */
import {
  basePath,
  type EdgeAddress,
  type Transport,
  type TransportAnswer,
  type TransportRequest,
  type TransportStream,
} from "./transport.ts";

export class FetchTransport implements Transport {
  readonly #base: string;
  readonly #fetch: typeof fetch;

  /** @throws {TypeError} for what `fetch` can't do: Unix sockets. */
  constructor(address: EdgeAddress, fetch: typeof globalThis.fetch) {
    if (address.kind === "unix") {
      throw new TypeError("This runtime has no Unix sockets: call the edge at an https:// address.");
    }
    this.#base = address.url.origin + basePath(address);
    this.#fetch = fetch;
  }

  async send(request: TransportRequest): Promise<TransportAnswer> {
    const response = await this.#call(request);
    return { ...headOf(response), body: new Uint8Array(await response.arrayBuffer()) };
  }

  async stream(request: Omit<TransportRequest, "body">): Promise<TransportStream> {
    const response = await this.#call(request);
    return { ...headOf(response), chunks: chunksOf(response.body) };
  }

  close(): void {}

  #call({ method, path, headers, body, signal }: TransportRequest): Promise<Response> {
    // Called without a receiver: some runtimes refuse `fetch` with one that is not the global object.
    const call = this.#fetch;
    return call(this.#base + path, {
      method,
      headers: { ...headers },
      // An edge never redirects; whoever does shall not be followed with a token.
      redirect: "manual",
      signal,
      ...(body === undefined ? {} : { body: body as BodyInit }),
    });
  }
}

function headOf(response: Response): Pick<TransportAnswer, "status" | "header"> {
  return { status: response.status, header: (name) => response.headers.get(name) ?? undefined };
}

/** By the reader, since not every runtime's streams can be iterated. */
async function* chunksOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array> {
  if (body === null) return;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
