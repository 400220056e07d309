/** The tables of errors on the doors' pages: each code of an operation is there, with what the door answers to it. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import {
  ERROR_CODES,
  type ErrorCode,
  HTTP_STATUS,
  OperationError,
  type RequestErrorCode,
} from "../../src/base/errors.ts";
import { writeKmsError } from "../../src/edge/doors/aws-kms/errors.ts";
import { grpcErrorOf } from "../../src/edge/doors/kubernetes-kms/status.ts";
import { writeVaultError } from "../../src/edge/doors/vault-transit/answers.ts";
import { ROOT } from "../support/pages.ts";

/** By code: the other cells of its row. */
function errorTable(page: string): Map<string, string[]> {
  const text = readFileSync(join(ROOT, "docs", page), "utf8");
  const section = text.slice(text.indexOf("\n## Errors\n"), text.indexOf("\n## What does not work"));
  const rows = section.split("\n").filter((line) => line.startsWith("| `"));
  return new Map(
    rows.flatMap((line) => {
      const [codes = "", ...cells] = line.slice(2, -2).split(" | ");
      return [...codes.matchAll(/`([a-z_]+)`/g)].map(([, code]) => [code!, cells] as const);
    }),
  );
}

const errorOf = (code: string): unknown =>
  code === "internal_error"
    ? new Error("a defect")
    : new OperationError(code as ErrorCode | RequestErrorCode, "what to do", { retryAfterMs: 1_500 });

/** A body that is too long is not an operation's. */
const OPERATION_CODES = ERROR_CODES.filter((code) => code !== "too_large");

describe.each(["door-aws-kms.md", "door-vault-transit.md", "door-kubernetes-kms.md"])("docs/%s", (page) => {
  test("tells of every code that an operation can end with", () => {
    // Over the socket of the Kubernetes door everybody is known.
    const told = new Set([
      ...errorTable(page).keys(),
      ...(page === "door-kubernetes-kms.md" ? ["unauthenticated"] : []),
    ]);
    expect(OPERATION_CODES.filter((code) => !told.has(code))).toEqual([]);
  });
});

test("docs/door-aws-kms.md tells the type and the status", () => {
  for (const [code, [types = "", statuses = ""]] of errorTable("door-aws-kms.md")) {
    const answer = writeKmsError(errorOf(code), "0123456789abcdef");
    const { __type: type } = JSON.parse(String(answer.body)) as { __type: string };
    expect([
      code,
      types.split(/[,;:] (?:DescribeKey: )?/).includes(type),
      statuses.includes(String(answer.status)),
    ]).toEqual([code, true, true]);
    const { "Retry-After": seconds, "x-amz-retry-after": milliseconds } = answer.headers;
    expect([code, seconds, milliseconds]).toEqual(
      code === "internal_error" ? [code, undefined, undefined] : [code, "2", "1500"],
    );
  }
});

test("docs/door-vault-transit.md tells the status", () => {
  for (const [code, [answer = ""]] of errorTable("door-vault-transit.md")) {
    const { status, body } = writeVaultError(errorOf(code));
    expect([code, answer.startsWith(String(status))]).toEqual([code, true]);
    expect(Array.isArray((JSON.parse(String(body)) as { errors: unknown }).errors)).toBe(true);
  }
});

test("docs/door-kubernetes-kms.md tells the gRPC status", () => {
  for (const [code, [answer]] of errorTable("door-kubernetes-kms.md")) {
    expect([code, `\`${status[grpcErrorOf(errorOf(code)).code]}\``]).toEqual([code, answer!]);
  }
});

test("what a listener refuses by itself has an answer at each door, and none that clients take for another", () => {
  for (const code of Object.keys(HTTP_STATUS)) {
    const [kms, vault] = [writeKmsError(errorOf(code), undefined), writeVaultError(errorOf(code))];
    expect(typeof (JSON.parse(String(kms.body)) as { __type: unknown }).__type).toBe("string");
    expect([412, 501, 410, 422]).not.toContain(vault.status);
  }
});
