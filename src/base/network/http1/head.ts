/**
 * The head of a request (RFC 9112, 2 to 6). Strict: whatever two readers could understand in two ways is refused. One length or one
 * `chunked` and never both, no folded lines, no bare line feeds, no upgrade.
 */
import { Refusal } from "./refusal.ts";

export interface Http1Head {
  /** As sent: methods are case-sensitive. */
  readonly method: string;
  /** In origin form, which begins with a slash, as sent; or `*`, with OPTIONS alone. */
  readonly target: string;
  readonly headers: Http1Headers;
  readonly contentLength: number | undefined;
  readonly chunked: boolean;
  readonly keepAlive: boolean;
  readonly expectsContinue: boolean;
}

export interface Http1Headers {
  /** In lower case; a header that was sent several times is joined by commas. */
  readonly fields: ReadonlyMap<string, string>;
}

const HEADERS_MAX = 100;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the point is to find them
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;
const BAD_TARGET = /[^\x21-\x7e]/;
/** A name, an address or nothing, with a port or not (RFC 9110, 7.2). */
const HOST = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]*)(:\d{0,5})?$/;
/** The absolute form, which a server must take (RFC 9112, 3.2.2): its authority, and what is left. */
const ABSOLUTE = /^https?:\/\/([^/?#]+)([/?].*)?$/i;
/** Headers that decide how the rest is read, or who is called. */
const SINGLE = new Set(["content-length", "transfer-encoding", "host"]);

/** From the text up to the empty line, which is left away. @throws {Refusal} */
export function parseHead(text: string): Http1Head {
  const lines = text.split("\r\n");
  const [method = "", sent = "", version = "", ...rest] = (lines[0] ?? "").split(" ");
  if (rest.length > 0 || !TOKEN.test(method) || sent === "") throw new Refusal(400, "the request line is malformed");
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") {
    throw /^HTTP\/\d\.\d$/.test(version)
      ? new Refusal(505, "this version of HTTP is not spoken here")
      : new Refusal(400, "the request line is malformed");
  }
  if (lines.length - 1 > HEADERS_MAX) throw new Refusal(431, "there are too many headers");
  const fields = parseFields(lines);
  const isLatest = version === "HTTP/1.1";
  const host = fields.get("host");
  if (isLatest && host === undefined) throw new Refusal(400, "the header host is missing");
  if (host !== undefined && !HOST.test(host)) throw new Refusal(400, "the header host is no host");
  const target = parseTarget(method, sent, fields);

  const length = fields.get("content-length");
  const coding = fields.get("transfer-encoding");
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw new Refusal(400, "the length is not a number");
  if (coding !== undefined) {
    if (length !== undefined) throw new Refusal(400, "a length and a transfer coding stand side by side");
    if (!isLatest || coding.toLowerCase() !== "chunked") throw new Refusal(400, "the transfer coding is not chunked");
  }
  const connection = fields.get("connection");
  // Nothing is upgraded here, but what follows on the connection may be meant for another protocol.
  const upgrades = fields.has("upgrade") && hasOption(connection, "upgrade");
  const expect = fields.get("expect")?.toLowerCase();
  if (expect !== undefined && expect !== "100-continue") throw new Refusal(417, "this expectation is not met here");
  return {
    method,
    target,
    headers: { fields },
    contentLength: length === undefined ? undefined : Number(length),
    chunked: coding !== undefined,
    keepAlive: isLatest && !hasOption(connection, "close") && !upgrades,
    expectsContinue: expect !== undefined && isLatest,
  };
}

/** One line of a head or of trailers: the name in lower case, and the value. @throws {Refusal} */
export function parseField(line: string): readonly [name: string, value: string] {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
  if (!TOKEN.test(name)) throw new Refusal(400, "a header is malformed");
  const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
  if (BAD_VALUE.test(value)) throw new Refusal(400, "a header holds a control character");
  return [name, value];
}

function parseFields(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (let index = 1; index < lines.length; index++) {
    const [name, value] = parseField(lines[index]!);
    const before = fields.get(name);
    // Allowed (RFC 9110, 5.6.3), but no other reader takes it everywhere, and no client writes it.
    if (name === "content-length" && lines[index]!.includes("\t")) throw new Refusal(400, "the length is not a number");
    if (before !== undefined && SINGLE.has(name)) throw new Refusal(400, `the header ${name} comes twice`);
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return fields;
}

/** The target in origin form; of the absolute form the authority goes before the header (RFC 9112, 3.2.2). */
function parseTarget(method: string, sent: string, fields: Map<string, string>): string {
  if (BAD_TARGET.test(sent)) throw new Refusal(400, "the target is not a path");
  if (sent.startsWith("/") || (sent === "*" && method === "OPTIONS")) return sent;
  const absolute = ABSOLUTE.exec(sent);
  if (absolute === null) throw new Refusal(400, "the target is not a path");
  const [, authority = "", rest = "/"] = absolute;
  if (!HOST.test(authority)) throw new Refusal(400, "the host of the target is no host");
  fields.set("host", authority);
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** Whether a list of tokens has one (RFC 9110, 5.6.1: commas with spaces and tabs around them). */
function hasOption(list: string | undefined, option: string): boolean {
  return list?.split(",").some((token) => token.replace(/^[ \t]+|[ \t]+$/g, "").toLowerCase() === option) ?? false;
}
