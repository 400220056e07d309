import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ERRORS, type ErrorCode, HTTP_ERRORS, OperationError } from "../../src/base/errors.ts";
import { ROOT } from "../support/pages.ts";

describe("the table of codes", () => {
  const page = readFileSync(join(ROOT, "docs/errors.md"), "utf8");
  const rows = Object.entries({ ...ERRORS, ...HTTP_ERRORS }) as [
    string,
    { status: number; otherStatuses?: readonly number[]; when: string; whatToDo: string },
  ][];

  test.each(rows)("is what docs/errors.md says of %s", (code, { status, otherStatuses = [], when, whatToDo }) => {
    expect(page).toContain(`| \`${code}\` | ${[status, ...otherStatuses].join(", ")} | ${when} | ${whatToDo} |`);
  });

  test("gives an error its status", () => {
    for (const [code, { status }] of Object.entries(ERRORS)) {
      expect(new OperationError(code as ErrorCode, "Do this.").status).toBe(status);
    }
  });
});

test("an error keeps its code, its cause and when to ask again", () => {
  const cause = new Error("below");
  const error = new OperationError("lease_unavailable", "Ask again.", { retryAfterMs: 250, cause });
  expect(error).toMatchObject({ code: "lease_unavailable", retryAfterMs: 250, name: "OperationError" });
  expect(error.cause).toBe(cause);
  expect("cause" in new OperationError("key_revoked", "No.")).toBe(false);
});

test("an error with a code has no stack, which a collection would work through; others keep theirs", () => {
  expect(new OperationError("invalid_blob", "No.").stack ?? "").not.toContain("errors.test");
  expect(new Error("a defect").stack).toContain("errors.test");
});
