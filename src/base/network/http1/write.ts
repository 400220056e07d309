/** Answers as they go out. Names of headers are written in the usual capitals, since some clients compare them by case. */
import { AnswerText } from "./answer-text.ts";
import { REASON_PHRASES } from "./reason-phrases.ts";
import type { Http1Socket } from "./socket.ts";

export interface Http1Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** A stream ends with its connection (RFC 9112, 6.3), so that what comes is one write each. */
  readonly body: string | Uint8Array | AnswerText | ReadableStream<Uint8Array>;
  /** The body is a Buffer of memory that only it has, and that is used again (`longMemory`): wiped once it has been sent, where that can be told. */
  readonly lent?: boolean;
  /** Ends the connection after the answer. */
  readonly close?: boolean;
}

let dateLine = "";
let dateAtS = 0;

/** The header, made once a second. */
function currentDateLine(): string {
  const nowS = Math.floor(Date.now() / 1000);
  if (nowS !== dateAtS) {
    dateAtS = nowS;
    dateLine = `Date: ${new Date(nowS * 1000).toUTCString()}\r\n`;
  }
  return dateLine;
}

function headOf({ status, headers }: Http1Answer, keepAlive: boolean): string {
  let text = `HTTP/1.1 ${status} ${REASON_PHRASES[status] ?? "Status"}\r\n${currentDateLine()}`;
  for (const name in headers) if (!isLength(name)) text += `${name}: ${headers[name]}\r\n`;
  return keepAlive ? text : `${text}Connection: close\r\n`;
}

function isLength(name: string): boolean {
  return name.length === 14 && name.toLowerCase() === "content-length";
}

/** A head whose answers come again and again, good for one second. */
interface ReadyHead {
  readonly status: number;
  readonly headers: Http1Answer["headers"];
  readonly atS: number;
  /** Up to where the content's length goes. */
  readonly bytes: Uint8Array;
}

const READY_HEADS_MAX = 8;
const readyHeads: ReadyHead[] = [];

/** Of answers whose headers are one object each time. */
function readyHeadOf(answer: Http1Answer): Uint8Array {
  currentDateLine();
  for (let index = 0; index < readyHeads.length; index++) {
    const ready = readyHeads[index]!;
    if (ready.status === answer.status && ready.headers === answer.headers && ready.atS === dateAtS) return ready.bytes;
  }
  const { status, headers } = answer;
  const bytes = Buffer.from(`${headOf(answer, true)}Content-Length: `, "latin1");
  const stale = readyHeads.findIndex(({ atS }) => atS !== dateAtS);
  const place = stale >= 0 || readyHeads.length < READY_HEADS_MAX ? stale : 0;
  if (place >= 0) readyHeads[place] = { status, headers, atS: dateAtS, bytes };
  else readyHeads.push({ status, headers, atS: dateAtS, bytes });
  return bytes;
}

/** The text goes out from where it was written. */
function writeText(socket: Http1Socket, answer: Http1Answer, text: AnswerText, keepAlive: boolean): boolean {
  const head = keepAlive ? readyHeadOf(answer) : Buffer.from(`${headOf(answer, false)}Content-Length: `, "latin1");
  return text.send(head, socket);
}

/** False: the socket is to drain first. */
export function writeAnswer(socket: Http1Socket, answer: Http1Answer, keepAlive: boolean, asHead: boolean): boolean {
  const { headers, body } = answer;
  if (body instanceof AnswerText) return writeText(socket, answer, body, keepAlive);
  const text = headOf(answer, keepAlive);
  // What a GET would be answered with may be known without its body.
  const length = asHead ? (headers["content-length"] ?? headers["Content-Length"]) : undefined;
  if (length !== undefined) return socket.write(`${text}Content-Length: ${length}\r\n\r\n`, "latin1");
  if (body instanceof ReadableStream) return socket.write(`${text}\r\n`, "latin1");
  if (typeof body === "string") {
    const isAscii = Buffer.byteLength(body) === body.length;
    if (isAscii) {
      return socket.write(`${text}Content-Length: ${body.length}\r\n\r\n${asHead ? "" : body}`, "latin1");
    }
  }
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const flowing = socket.write(`${text}Content-Length: ${bytes.length}\r\n\r\n`, "latin1");
  return asHead || bytes.length === 0 ? flowing : socket.write(bytes);
}
