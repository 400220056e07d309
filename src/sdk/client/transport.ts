/** How the client's requests reach an edge: the port, with one adapter for `node:http` and one for `fetch`. */

/** Files of a TLS client, as PEM. */
export interface ClientTls {
  /** The CA of the edge's certificate; the system's own are not used then. */
  readonly ca?: string | Uint8Array;
  /** The client's certificate (with its intermediates) and private key. */
  readonly cert?: string | Uint8Array;
  readonly key?: string | Uint8Array;
  readonly passphrase?: string;
  /** Where the edge's certificate has another name than the URL. */
  readonly serverName?: string;
}

export interface TransportRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal: AbortSignal;
}

export interface TransportAnswer {
  readonly status: number;
  /** By its lower-case name. */
  header(name: string): string | undefined;
  readonly body: Uint8Array;
}

export interface TransportStream extends Omit<TransportAnswer, "body"> {
  /** Ends with the connection, or throws; never keeps the process alive where the runtime can say so. */
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** Rejects with whatever the runtime gives when nothing answers, or the request's signal aborts. */
export interface Transport {
  send(request: TransportRequest): Promise<TransportAnswer>;
  stream(request: Omit<TransportRequest, "body">): Promise<TransportStream>;
  /** Ends idle connections; later requests open new ones. */
  close(): void;
}

/** Where an edge is, read from its URL. */
export type EdgeAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "http" | "https"; readonly url: URL };

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** @throws {TypeError} for what no edge can be at. */
export function readAddress(text: string): EdgeAddress {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (!path.startsWith("/")) throw new TypeError(`${text} is no address: a socket's path is absolute (unix:/run/…).`);
    return { kind: "unix", path };
  }
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new TypeError(`${text} is no address of an edge: http://…, https://… or unix:/path.`);
  }
  if (url.protocol === "https:") return { kind: "https", url };
  if (url.protocol !== "http:")
    throw new TypeError(`${text} is no address of an edge: http://…, https://… or unix:/path.`);
  if (!LOOPBACK.test(url.hostname)) {
    throw new TypeError(
      `${text} would send data keys over the network in the clear: http:// is for this machine, use https:// with a certificate.`,
    );
  }
  return { kind: "http", url };
}

/** The base path of a URL that has one, without a slash at its end. */
export function basePath(address: EdgeAddress): string {
  return address.kind === "unix" ? "" : address.url.pathname.replace(/\/+$/, "");
}
