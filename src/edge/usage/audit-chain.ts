/**
 * The chain that shows a missing, altered or moved audit line. A line is a JSON object:
 *
 *     {"seq":7,"previous":"<hash of line 6>","type":…,"hash":"<hash of this line>"}
 *
 * `hash` is the SHA-256, in base64url, of the line's bytes before `,"hash":`; it covers `previous`, so each line vouches
 * for all before it. Whoever can write the file can also forge a chain from some line on: compare the newest hash with one kept
 * elsewhere (`/v1/status` and the log show it, `audit verify --head` checks it).
 */
import { nodeCrypto } from "../../base/system/builtin-modules.ts";

/** The place of a line in its chain. */
export interface ChainHead {
  readonly seq: number;
  readonly hash: string;
}

/** `previous` of the first line of all. */
export const CHAIN_START: ChainHead = { seq: 0, hash: "A".repeat(43) };

const TAIL = /,"hash":"([A-Za-z0-9_-]{43})"\}$/;

/** The line after `head` (without a line end), and the head that it makes. */
export function chainLine(head: ChainHead, fields: object): { readonly line: string; readonly head: ChainHead } {
  const seq = head.seq + 1;
  const body = JSON.stringify({ seq, previous: head.hash, ...fields }).slice(0, -1);
  const hash = hashOf(body);
  return { line: `${body},"hash":"${hash}"}`, head: { seq, hash } };
}

export interface ChainedLine extends ChainHead {
  readonly previous: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Reads a line and checks its own hash. @returns a sentence instead when it is not as it was written. */
export function readChainedLine(line: string): ChainedLine | string {
  const tail = TAIL.exec(line);
  if (tail === null) return "is not an audit line, or is cut off";
  if (hashOf(line.slice(0, tail.index)) !== tail[1]) return "was altered: its hash is not that of its content";
  const fields: unknown = parse(line);
  if (typeof fields !== "object" || fields === null) return "is not a JSON object";
  const { seq, previous, hash } = fields as Record<string, unknown>;
  if (typeof seq !== "number" || !Number.isSafeInteger(seq) || seq < 1) return "has no sequence number";
  if (typeof previous !== "string" || typeof hash !== "string") return "has no hash of the line before";
  return { seq, previous, hash, fields: fields as Record<string, unknown> };
}

function hashOf(text: string): string {
  return nodeCrypto().createHash("sha256").update(text, "utf8").digest("base64url");
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
