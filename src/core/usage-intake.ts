/** `POST /core/v1/usage` (core-protocol.md, "Usage"): a batch counts once, whole or not at all. */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { CoreError } from "./core-error.ts";
import type { KeyStore } from "./key-store.ts";

export const MAX_USAGE_BODY_BYTES = 4 * 1024 * 1024;
const MAX_USAGE_TEXT_BYTES = 32 * 1024 * 1024;
const MAX_LINE_BYTES = 64 * 1024;
/** How long a batch's key is remembered: an edge gives up sending one again long before. */
const BATCH_KEY_MS = 30 * 24 * 3_600_000;

const text = (maxLength: number) => Type.String({ maxLength });

const UsageCount = Type.Object({
  tenant: text(512),
  service: text(512),
  version: Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }),
  operation: text(64),
  outcome: text(64),
  principal: text(2048),
  count: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  from: text(64),
  to: text(64),
});
export type UsageCount = Static<typeof UsageCount>;
const isCount = TypeCompiler.Compile(UsageCount);
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/;

/** The sum of what one edge reported under one set of names. */
export interface UsageTotal {
  readonly edge: string;
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  readonly operation: string;
  readonly outcome: string;
  readonly principal: string;
  readonly count: number;
  readonly from: string;
  readonly to: string;
}

export interface UsageAnswer {
  /** Records in the batch. */
  readonly accepted: number;
  /** Whether this batch had been counted before. */
  readonly duplicate: boolean;
}

export class UsageIntake {
  readonly #store: KeyStore;
  readonly #now: () => number;

  constructor(store: KeyStore, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** @throws CoreError for a batch that can't be read; nothing of it counts then. */
  async take(
    edge: string,
    headers: { readonly idempotencyKey: string | undefined; readonly encoding: string | undefined },
    body: Buffer,
  ): Promise<UsageAnswer> {
    const { idempotencyKey, encoding } = headers;
    if (idempotencyKey === undefined || !/^[\x21-\x7e]{1,128}$/.test(idempotencyKey)) {
      throw new CoreError("invalid_request", "give an Idempotency-Key header of 1 to 128 printable characters");
    }
    const records = parse(await decode(body, encoding));
    const digest = createHash("sha256").update(body).digest();
    return this.#store.db
      .transaction(() => {
        const known = this.#store.db
          .query<{ records: number; digest: Uint8Array }, [string, string]>(
            "SELECT records, digest FROM usage_batches WHERE edge = ? AND idempotency_key = ?",
          )
          .get(edge, idempotencyKey);
        if (known !== null) {
          if (!digest.equals(known.digest)) {
            throw new CoreError("conflict", "this Idempotency-Key was used for another batch: take a new one");
          }
          return { accepted: known.records, duplicate: true };
        }
        this.#write(edge, idempotencyKey, digest, records);
        return { accepted: records.length, duplicate: false };
      })
      .immediate();
  }

  totals(limit: number): UsageTotal[] {
    return this.#store.db
      .query<UsageTotal, [number]>(
        `SELECT edge, tenant, service, version, operation, outcome, principal, count, first_at AS "from",
           last_at AS "to" FROM usage_counts ORDER BY last_at DESC LIMIT ?`,
      )
      .all(limit);
  }

  auditEvents(limit: number): unknown[] {
    return this.#store.db
      .query<{ edge: string; event: string }, [number]>("SELECT edge, event FROM audit_events ORDER BY id DESC LIMIT ?")
      .all(limit)
      .map(({ edge, event }) => ({ edge, ...(JSON.parse(event) as object) }));
  }

  #write(edge: string, key: string, digest: Buffer, records: readonly UsageRecord[]): void {
    const { db } = this.#store;
    const at = new Date(this.#now()).toISOString();
    db.query("DELETE FROM usage_batches WHERE received_at < ?").run(new Date(this.#now() - BATCH_KEY_MS).toISOString());
    db.query(
      "INSERT INTO usage_batches (edge, idempotency_key, digest, records, received_at) VALUES (?, ?, ?, ?, ?)",
    ).run(edge, key, digest, records.length, at);
    const count = db.query(
      `INSERT INTO usage_counts
         (edge, tenant, service, version, operation, outcome, principal, count, first_at, last_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET count = count + excluded.count, first_at = min(first_at, excluded.first_at),
         last_at = max(last_at, excluded.last_at)`,
    );
    const audit = db.query("INSERT INTO audit_events (edge, received_at, event) VALUES (?, ?, ?)");
    for (const record of records) {
      if (record.kind === "audit") {
        audit.run(edge, at, record.line);
      } else {
        const { tenant, service, version, operation, outcome, principal, from, to } = record.value;
        count.run(edge, tenant, service, version, operation, outcome, principal, record.value.count, from, to);
      }
    }
  }
}

type UsageRecord =
  | { readonly kind: "count"; readonly value: UsageCount }
  /** Kept as it came: the chain of hashes is over the edge's own bytes. */
  | { readonly kind: "audit"; readonly line: string };

async function decode(body: Buffer, encoding: string | undefined): Promise<string> {
  let bytes = body;
  if (encoding === "gzip") {
    try {
      bytes = await promisify(gunzip)(body, { maxOutputLength: MAX_USAGE_TEXT_BYTES });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
        throw new CoreError(
          "too_large",
          `a batch has at most ${MAX_USAGE_TEXT_BYTES} bytes when unpacked: send smaller ones`,
        );
      }
      throw new CoreError("invalid_request", "the body is not gzip, though Content-Encoding says so");
    }
  } else if (encoding !== undefined && encoding !== "identity") {
    throw new CoreError("invalid_request", `Content-Encoding ${encoding.slice(0, 32)} is not known: use gzip or none`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new CoreError("invalid_request", "the body is not UTF-8");
  }
}

function parse(ndjson: string): UsageRecord[] {
  const records: UsageRecord[] = [];
  let number = 0;
  for (const line of ndjson.split("\n")) {
    number++;
    if (line.trim() === "") continue;
    const wrong = (what: string): CoreError =>
      new CoreError("invalid_request", `line ${number} of the batch ${what}; nothing of the batch was counted`);
    if (line.length > MAX_LINE_BYTES) throw wrong("is too long");
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw wrong("is not JSON");
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("is not an object");
    if (!("count" in value)) {
      records.push({ kind: "audit", line });
    } else if (isCount.Check(value) && TIME.test(value.from) && TIME.test(value.to)) {
      records.push({ kind: "count", value });
    } else {
      const error = isCount.Errors(value).First();
      throw wrong(`is not a usage count (${error === undefined ? "from, to" : error.path.slice(1)})`);
    }
  }
  return records;
}
