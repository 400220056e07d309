/** The head of the Core's answers as HTTP/1.1 has it (RFC 9112, 4 to 6), and where the body ends. What two readers could understand in two ways is refused. */
import { parseField } from "../../../base/network/http1/head.ts";

export interface AnswerHead {
  readonly status: number;
  /** By their names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

/** How the end of a body is known: by its length, by its last chunk, or by the end of the connection. */
export type Framing = number | "chunked" | "close";

export interface ReadHead extends AnswerHead {
  readonly framing: Framing;
  /** Whether another call may follow on the connection. */
  readonly keepAlive: boolean;
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: .*)?$/;
const HEADERS_MAX = 100;
const BODILESS = new Set([204, 304]);

/** The last one, which most of those that come in the same second are equal to. */
let lastText = "";
let lastHead: ReadHead | undefined;

/** From the text up to the empty line, which is left away. @throws Error */
export function parseAnswerHead(text: string): ReadHead {
  if (lastHead === undefined || text !== lastText) {
    lastHead = parse(text);
    lastText = text;
  }
  return lastHead;
}

function parse(text: string): ReadHead {
  const lines = text.split("\r\n");
  const [, minor, digits] = STATUS_LINE.exec(lines[0]!) ?? [];
  if (digits === undefined || lines.length - 1 > HEADERS_MAX) throw new Error("its answer is not of HTTP/1.1");
  const headers = new Map<string, string>();
  for (let index = 1; index < lines.length; index++) {
    const [name, value] = parseField(lines[index]!);
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  const status = Number(digits);
  const isLatest = minor === "1";
  const framing = framingOf(status, isLatest, headers);
  const connection = headers.get("connection");
  const keepAlive = isLatest && framing !== "close" && (connection === undefined || !/\bclose\b/i.test(connection));
  return { status, headers, framing, keepAlive };
}

function framingOf(status: number, isLatest: boolean, headers: ReadonlyMap<string, string>): Framing {
  const length = headers.get("content-length");
  const coding = headers.get("transfer-encoding");
  if (coding !== undefined) {
    if (length !== undefined || !isLatest || coding.toLowerCase() !== "chunked") {
      throw new Error("it is not clear where its answer ends");
    }
    return "chunked";
  }
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw new Error("it is not clear where its answer ends");
  if (status < 200 || BODILESS.has(status)) return 0;
  return length === undefined ? "close" : Number(length);
}
