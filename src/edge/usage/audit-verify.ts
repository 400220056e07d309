/** Reads audit files and says what is missing, altered, moved or cut off: `crypto-edge audit verify`. */
import { createReadStream } from "node:fs";
import { requireRegularFile } from "../../base/read-file.ts";
import { CHAIN_START, type ChainedLine, type ChainHead, readChainedLine } from "./audit-chain.ts";

export interface AuditVerdict {
  /** Each a sentence with file and line. Empty: nothing is missing or altered. */
  readonly problems: readonly string[];
  /** What a reader should know that is no sign of tampering: a kill, a file that starts later, an edge still running. */
  readonly notes: readonly string[];
  readonly lines: number;
  readonly head: ChainHead | undefined;
}

/** A line longer than any that the edge writes; what exceeds it is not read into memory. */
const LONGEST_LINE_BYTES = 64 * 1024;
/** One wrecked file must not print a million sentences. */
const MOST_PROBLEMS = 100;

/**
 * The files may be given in any order: they are put in that of their first lines. `head` is a place in the chain known from
 * elsewhere, which must be in it.
 *
 * @throws when a file can't be read.
 */
export async function verifyAudit(paths: readonly string[], known?: ChainHead): Promise<AuditVerdict> {
  const problems: string[] = [];
  const notes: string[] = [];
  const problem = (text: string): void => {
    if (problems.length < MOST_PROBLEMS) problems.push(text);
  };
  for (const path of paths) requireRegularFile(path);
  const files = await Promise.all(paths.map(async (path) => ({ path, firstSeq: await firstSeqOf(path) })));
  files.sort((a, b) => a.firstSeq - b.firstSeq);

  let last: ChainedLine | undefined;
  let lines = 0;
  let knownSeen = known === undefined || known.seq === 0;
  for (const { path } of files) {
    let lineNumber = 0;
    let fileLines = 0;
    for await (const { text, complete } of linesOf(path)) {
      lineNumber++;
      const where = `${path} line ${lineNumber}`;
      const line = complete ? readChainedLine(text) : "is cut off: it has no line end";
      if (typeof line === "string") {
        problem(`${where} ${line}.`);
        continue;
      }
      lines++;
      fileLines++;
      checkPlace(line, last, where, problem, notes);
      if (line.seq === known?.seq) {
        knownSeen = true;
        if (line.hash !== known.hash) problem(`${where} is not the line that --head names: the chain was made anew.`);
      }
      last = line;
    }
    if (fileLines === 0) problem(`${path} holds no audit line.`);
  }
  if (!knownSeen) problem(`The line that --head names, ${known?.seq}, is missing.`);
  if (last !== undefined && last.fields.operation !== "stop") {
    notes.push(
      `The last line, ${last.seq}, is not a stop: the edge is running or was killed, or lines after it were cut off.`,
    );
  }
  return { problems, notes, lines, head: last === undefined ? undefined : { seq: last.seq, hash: last.hash } };
}

function checkPlace(
  line: ChainedLine,
  last: ChainedLine | undefined,
  where: string,
  problem: (text: string) => void,
  notes: string[],
): void {
  if (last === undefined) {
    if (line.seq > 1)
      notes.push(`${where} is number ${line.seq}: the lines before it are in files that were not given.`);
    else if (line.previous !== CHAIN_START.hash) problem(`${where} is the first of all but names one before it.`);
    return;
  }
  if (line.seq > last.seq + 1) {
    const missing =
      line.seq === last.seq + 2 ? `line ${last.seq + 1} is` : `lines ${last.seq + 1} to ${line.seq - 1} are`;
    problem(`${where} has number ${line.seq}: ${missing} missing before it.`);
  } else if (line.seq <= last.seq) {
    const begins = line.seq === 1 && line.previous === CHAIN_START.hash;
    problem(
      begins
        ? `${where} begins another chain.`
        : `${where} has number ${line.seq} after ${last.seq}: lines were moved or repeated.`,
    );
  } else if (line.previous !== last.hash) {
    problem(`${where} does not continue the line before it: one of them was replaced.`);
  }
  if (line.fields.operation === "start" && last.fields.operation !== "stop") {
    notes.push(
      `${where}: the edge started without having stopped (killed, or power lost): ` +
        `events after line ${last.seq} that were not yet written are lost.`,
    );
  }
}

/** Of a file that can't be told: last, so that its own problems are named there. */
async function firstSeqOf(path: string): Promise<number> {
  for await (const { text } of linesOf(path)) {
    const line = readChainedLine(text);
    if (typeof line !== "string") return line.seq;
  }
  return Number.MAX_SAFE_INTEGER;
}

async function* linesOf(path: string): AsyncGenerator<{ readonly text: string; readonly complete: boolean }> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    let data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10)) {
      yield { text: data.toString("utf8", 0, end), complete: true };
      data = data.subarray(end + 1);
    }
    rest = data.length > LONGEST_LINE_BYTES ? data.subarray(data.length - LONGEST_LINE_BYTES) : data;
  }
  if (rest.length > 0) yield { text: rest.toString("utf8"), complete: false };
}
