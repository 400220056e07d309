/** `POST /core/v1/usage` (core-protocol.md, "Usage"): a batch counts once, whole or not at all; what it may not say is refused. */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { AllowsLease } from "./allowance.ts";
import { CoreError } from "./protocol/core-error.ts";
import type { UsageTables } from "./store/usage-tables.ts";
import { readBatch } from "./usage-batch.ts";

export const MAX_USAGE_BODY_BYTES = 4 * 1024 * 1024;
const MAX_USAGE_TEXT_BYTES = 4 * 1024 * 1024;

export interface UsageAnswer {
  /** Records in the batch that were taken. */
  readonly accepted: number;
  /** Records of tenants and services that this edge may not lease; absent where there is none. */
  readonly refused?: number;
  /** Whether this batch had been counted before. */
  readonly duplicate: boolean;
}

export interface UsageIntakeOptions {
  readonly usage: UsageTables;
  readonly allows: AllowsLease;
  readonly now: () => number;
}

export class UsageIntake {
  readonly #options: UsageIntakeOptions;
  /** Batches are taken one after another: what unpacking and reading one takes is bounded, of many it is not. */
  #taking: Promise<unknown> = Promise.resolve();

  constructor(options: UsageIntakeOptions) {
    this.#options = options;
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
    const taking = this.#taking.then(() => this.#take(edge, idempotencyKey, encoding, body));
    this.#taking = taking.catch(() => undefined);
    return taking;
  }

  async #take(edge: string, idempotencyKey: string, encoding: string | undefined, body: Buffer): Promise<UsageAnswer> {
    const { allows, now, usage } = this.#options;
    const nowMs = now();
    const batch = await readBatch(await decode(body, encoding), {
      nowMs,
      allows: (tenant, service) => allows(edge, tenant, service),
    });
    if (batch.refused > 0 && batch.refused === batch.records) {
      throw new CoreError(
        "edge_not_allowed",
        `this Core does not let the edge ${edge} use any key that the batch names`,
      );
    }
    const digest = createHash("sha256").update(body).digest();
    const known = await usage.take({
      edge,
      idempotencyKey,
      digest,
      records: batch.records,
      at: new Date(nowMs).toISOString(),
      counts: batch.counts,
      auditEvents: batch.auditEvents,
    });
    const refused = batch.refused === 0 ? {} : { refused: batch.refused };
    if (known === undefined) return { accepted: batch.records - batch.refused, ...refused, duplicate: false };
    if (!digest.equals(known.digest)) {
      throw new CoreError("conflict", "this Idempotency-Key was used for another batch: take a new one");
    }
    return { accepted: known.records - batch.refused, ...refused, duplicate: true };
  }
}

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
