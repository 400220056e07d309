/** `GET /v1/revocations`: what an edge tells the callers who keep data keys, as server-sent events. */
import { type CryptoEdgeError, errorFromAnswer } from "./edge-error.ts";
import { pause, quietTimeout } from "./pause.ts";
import type { Transport, TransportStream } from "./transport.ts";

/** Whose data keys are to be forgotten: of one service, or of a whole tenant. */
export interface RevokedScope {
  readonly tenant: string;
  /** Undefined for every service of the tenant. */
  readonly service: string | undefined;
}

/** Whoever keeps opened keys and must drop them when they are revoked. */
export interface RevocationListener {
  /** Called for each revocation, restoration or rotation. Undefined: it could not be read, so anything may be meant. */
  changed(scope: RevokedScope | undefined): void;
  /** Whether revocations are heard now; with the reason where they are not. */
  connected?(live: boolean, reason?: string): void;
}

/** A stream of revocations that is open until `close`; it reconnects by itself. */
export interface RevocationWatch {
  /** Whether revocations are heard now. */
  readonly live: boolean;
  close(): void;
}

/** A stream on which nothing comes, not even a comment, is asked for anew: it starts with what is revoked. */
const SILENCE_MS = 45_000;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 10_000;
/** After an answer that says that there is no such stream for this caller. */
const REFUSED_DELAY_MS = 300_000;
const EVENT_LENGTH_MAX = 64 * 1024;

export function watchRevocations(
  transport: Transport,
  headers: () => Promise<Record<string, string>>,
  listener: RevocationListener,
): RevocationWatch {
  const ending = new AbortController();
  let live = false;
  const tell = (now: boolean, reason?: string): void => {
    if (now === live && now) return;
    live = now;
    listener.connected?.(now, reason);
  };

  async function connect(): Promise<void> {
    const silence = new AbortController();
    const onEnd = (): void => silence.abort(ending.signal.reason);
    ending.signal.addEventListener("abort", onEnd, { once: true });
    let timer = quietTimeout(() => silence.abort(new Error("nothing was heard")), SILENCE_MS);
    try {
      const stream: TransportStream = await transport.stream({
        method: "GET",
        path: "/v1/revocations",
        headers: { accept: "text/event-stream", ...(await headers()) },
        signal: silence.signal,
      });
      if (stream.status !== 200 || !stream.header("content-type")?.startsWith("text/event-stream")) {
        silence.abort();
        throw new RefusedStream(errorFromAnswer(undefined, { status: stream.status }));
      }
      tell(true);
      const reader = new EventReader((data) => listener.changed(scopeOf(data)));
      for await (const chunk of stream.chunks) {
        clearTimeout(timer);
        timer = quietTimeout(() => silence.abort(new Error("nothing was heard")), SILENCE_MS);
        reader.take(chunk);
      }
    } finally {
      clearTimeout(timer);
      ending.signal.removeEventListener("abort", onEnd);
    }
  }

  async function run(): Promise<void> {
    let boundMs = FIRST_DELAY_MS;
    while (!ending.signal.aborted) {
      let pauseMs = 0;
      const startedMs = performance.now();
      try {
        await connect();
        tell(false, "the edge ended the stream");
      } catch (error) {
        if (ending.signal.aborted) return;
        tell(false, error instanceof Error ? error.message : String(error));
        if (error instanceof RefusedStream) pauseMs = REFUSED_DELAY_MS;
      }
      if (performance.now() - startedMs > LONGEST_DELAY_MS) boundMs = FIRST_DELAY_MS;
      await pause(Math.max(pauseMs, boundMs / 2 + (Math.random() * boundMs) / 2), ending.signal, quietTimeout);
      boundMs = Math.min(boundMs * 2, LONGEST_DELAY_MS);
    }
  }

  void run();
  return {
    get live() {
      return live;
    },
    close() {
      ending.abort(new Error("closed"));
      live = false;
    },
  };
}

class RefusedStream extends Error {
  constructor(cause: CryptoEdgeError) {
    super(`the edge has no stream of revocations for this caller (${cause.status})`, { cause });
  }
}

function scopeOf(data: string): RevokedScope | undefined {
  try {
    const { tenant, service } = JSON.parse(data) as { tenant?: unknown; service?: unknown };
    if (typeof tenant !== "string") return undefined;
    return { tenant, service: typeof service === "string" && service !== "*" ? service : undefined };
  } catch {
    return undefined;
  }
}

/** Server-sent events, as the HTML standard has them; of a message, its data is all that counts here. */
class EventReader {
  readonly #message: (data: string) => void;
  readonly #decoder = new TextDecoder();
  #line = "";
  #data: string[] = [];

  constructor(message: (data: string) => void) {
    this.#message = message;
  }

  take(chunk: Uint8Array): void {
    const lines = (this.#line + this.#decoder.decode(chunk, { stream: true })).split(/\r\n|\r(?!$)|\n/);
    this.#line = lines.pop()!;
    if (this.#line.length > EVENT_LENGTH_MAX) throw new Error("what answers is no edge");
    for (const line of lines) {
      if (line.startsWith("data:")) this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (line === "" && this.#data.length > 0) this.#message(this.#data.splice(0).join("\n"));
    }
  }
}
