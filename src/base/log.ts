/**
 * The log: JSON lines on standard error. A reader that is slow, stalled or gone never holds the process up (line-output.ts).
 * Whatever is passed to it, a key, a blob, a context value or a token does not come out: fields are of plain kinds, bytes are never
 * printed, and what has the shape of key material is masked.
 */
import { type LineOutput, openLineOutput } from "./line-output.ts";
import type { LogPort } from "./log-port.ts";
import { maskMaterial } from "./masking.ts";

const LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LEVELS)[number];

/** The log of a process: its repeated lines are limited. */
export interface Log extends LogPort {
  /** The same log, with fields that stand in each of its lines. */
  child(fields: Readonly<Record<string, string>>): Log;
  /** Lines left out since too many said the same. */
  readonly suppressed: number;
}

/** Lines of the same level and message in a window; a flood of failures must not fill the disk, nor delay answers. */
const LINES_PER_WINDOW = 20;
const WINDOW_MS = 1000;
const MOST_MESSAGES = 1000;

/** Names of fields that hold ids and names, checked where they come in: shown as they are. `log` is that of an event log. */
const SHOWN_AS_THEY_ARE = new Set([
  "request_id",
  "trace_id",
  "tenant",
  "service",
  "principal",
  "edge",
  "commit",
  "serial",
  "log",
  "fingerprint",
]);

const DEPTH_MAX = 4;
const ENTRIES_MAX = 50;
const TEXT_MAX = 1000;

export interface LogDestination {
  write(line: string): void;
}

let standardError: LineOutput | undefined;

/** The process's one output for its log. */
function logOutput(): LineOutput {
  standardError ??= openLineOutput(2, {
    droppedLine: (lines) =>
      `${JSON.stringify({
        level: "warn",
        time: new Date().toISOString(),
        lines,
        msg: "log lines were lost: whoever reads the log was too slow, or its disk was full",
      })}\n`,
  });
  return standardError;
}

export function createLog(level: LogLevel, destination: LogDestination = logOutput()): Log {
  const lines: Lines = {
    isOn: (of) => LEVELS.indexOf(of) >= LEVELS.indexOf(level),
    write(of, fields, msg) {
      destination.write(`${JSON.stringify({ level: of, time: new Date().toISOString(), ...fields, msg })}\n`);
    },
  };
  return limited(lines, { count: 0 }, {});
}

/** Writes lines as they are given: what may be printed has been decided. */
interface Lines {
  isOn(level: LogLevel): boolean;
  write(level: LogLevel, fields: object, message: string): void;
}

function limited(output: Lines, suppressed: { count: number }, bound: Readonly<Record<string, string>>): Log {
  let windowStartMs = 0;
  const seen = new Map<string, number>();

  const write = (level: LogLevel, fields: object | string, message = ""): void => {
    const text = typeof fields === "string" ? fields : message;
    const nowMs = performance.now();
    if (nowMs - windowStartMs > WINDOW_MS) {
      const left = [...seen].filter(([, lines]) => lines > LINES_PER_WINDOW);
      windowStartMs = nowMs;
      seen.clear();
      for (const [line, lines] of left) {
        const left = { ...bound, lines: lines - LINES_PER_WINDOW };
        output.write("warn", left, `left out lines that said: ${masked(line)}`);
      }
    }
    const lines = (seen.get(text) ?? 0) + 1;
    if (seen.size < MOST_MESSAGES || lines > 1) seen.set(text, lines);
    if (lines > LINES_PER_WINDOW || seen.size >= MOST_MESSAGES) {
      suppressed.count++;
      return;
    }
    const shown = typeof fields === "string" ? {} : (plain(fields, 0) as object);
    output.write(level, { ...bound, ...shown }, masked(text));
  };

  // A level that is off costs no more than the call.
  const at = (level: LogLevel): Log[LogLevel] =>
    output.isOn(level) ? (fields, message) => write(level, fields, message) : () => {};

  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => limited(output, suppressed, { ...bound, ...fields }),
    get suppressed() {
      return suppressed.count;
    },
  };
}

/** What may be printed of a value. */
function plain(value: unknown, depth: number, name?: string): unknown {
  switch (typeof value) {
    case "string":
      return name !== undefined && SHOWN_AS_THEY_ARE.has(name) ? value.slice(0, TEXT_MAX) : masked(value);
    case "number":
    case "boolean":
      return value;
    case "bigint":
      return String(value);
    case "object":
      break;
    default:
      return undefined;
  }
  if (value === null) return null;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`;
  if (value instanceof Error) return errorFields(value, depth);
  if (depth >= DEPTH_MAX) return "[deeper]";
  if (Array.isArray(value)) return value.slice(0, ENTRIES_MAX).map((item) => plain(item, depth + 1));
  if (typeof (value as { toJSON?: unknown }).toJSON === "function" && !(value instanceof Date)) return "[object]";
  if (value instanceof Date) return value.toISOString();
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, ENTRIES_MAX)
      .map(([key, inner]) => [masked(key), plain(inner, depth + 1, key)]),
  );
}

/** Of an error: its name, code, message and where it arose; the causes too, to a depth. */
function errorFields(error: Error, depth: number): object {
  const { code } = error as { code?: unknown };
  return {
    name: error.name,
    ...(typeof code === "string" ? { code } : undefined),
    message: masked(error.message),
    // Only the places: the stack's first line repeats the message.
    ...(error.stack === undefined ? undefined : { at: places(error.stack) }),
    ...(error.cause === undefined || depth >= DEPTH_MAX ? undefined : { cause: plain(error.cause, depth + 1) }),
  };
}

function places(stack: string): string[] {
  return stack
    .split("\n")
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 8)
    .map((line) => masked(line.trim()));
}

function masked(text: string): string {
  const short = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
  return maskMaterial(short);
}
