import { describe, expect, test } from "bun:test";
import { OperationError } from "../../src/base/errors.ts";
import { createLog } from "../../src/base/log.ts";

function capture(level: "debug" | "info" = "debug") {
  const lines: string[] = [];
  const log = createLog(level, { write: (line) => void lines.push(line) });
  return { log, lines, last: () => JSON.parse(lines.at(-1)!) as Record<string, unknown> };
}

const KEY = new Uint8Array(32).map((_, index) => (index * 7 + 131) & 255);
const FORMS = {
  hex: Buffer.from(KEY).toString("hex"),
  base64: Buffer.from(KEY).toString("base64").replaceAll("/", "_"),
  base64url: Buffer.from(KEY).toString("base64url"),
};
const BLOB = Buffer.alloc(133, 0x4c).toString("base64url");
const TOKEN = `eyJhbGciOiJFZERTQSJ9.${Buffer.from(JSON.stringify({ sub: "spiffe://example.org/a", aud: "edge" })).toString("base64url")}.${"s".repeat(86)}`;

describe("the log", () => {
  test("does not print a key, a blob or a token, wherever it was put", () => {
    const { log, lines } = capture();
    for (const secret of [...Object.values(FORMS), BLOB, TOKEN]) {
      log.info({ value: secret }, "field");
      log.info(`in the message: ${secret}`);
      log.warn({ deep: { deeper: [{ key: secret }] } }, "nested");
      log.error({ err: new OperationError("invalid_request", `bad ${secret}`) }, "error");
      log.error({ err: new Error("outer", { cause: new TypeError(`inner ${secret}`) }) }, "cause");
      log.info({ [secret]: 1 }, "name");
      log.child({ plugin: "static" }).info({ value: `prefix ${secret} suffix` }, "child");
    }
    const all = lines.join("");
    const parts = [...Object.values(FORMS), BLOB, ...TOKEN.split(".").filter((part) => part.length >= 32)];
    for (const secret of parts) expect(all).not.toContain(secret);
  });

  test("prints bytes as their number, and nothing of objects that print themselves", () => {
    const { log, last } = capture();
    log.info({ key: KEY, buffer: Buffer.from(KEY), view: new DataView(KEY.buffer), list: [KEY] }, "bytes");
    expect(last()).toMatchObject({
      key: "[32 bytes]",
      buffer: "[32 bytes]",
      view: "[32 bytes]",
      list: ["[32 bytes]"],
    });
    log.info({ secret: { toJSON: () => FORMS.hex } }, "object");
    expect(last()).toMatchObject({ secret: "[object]" });
  });

  test("shows ids and names whole, and a stack without its message", () => {
    const { log, last } = capture();
    log.warn(
      { trace_id: "4bf92f3577b34da6a3ce929d0e0e4736", tenant: "t".repeat(60), err: new Error("why") },
      "a request failed",
    );
    expect(last()).toMatchObject({
      level: "warn",
      msg: "a request failed",
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
      tenant: "t".repeat(60),
      err: { name: "Error", message: "why" },
    });
    expect(last().time).toMatch(/^\d{4}-\d\d-\d\dT/);
  });

  test("stays one JSON object a line, whatever is in it", () => {
    const { log, lines, last } = capture();
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    log.info(
      { text: 'line\nbreak " quote', circular, f: () => 1, big: 10n, none: undefined, no: null },
      "odd\nmessage",
    );
    expect(lines[0]!.trimEnd()).not.toContain("\n");
    expect(last()).toMatchObject({ msg: "odd\nmessage", big: "10", no: null });
  });

  test("leaves out lines that repeat too fast, and says how many", () => {
    const { log, lines } = capture();
    for (let index = 0; index < 1000; index++) log.warn({ index }, "the same");
    expect(lines.length).toBeLessThanOrEqual(45);
    expect(log.suppressed).toBeGreaterThan(900);
    log.warn("something else");
    expect(JSON.parse(lines.at(-1)!).msg).toBe("something else");
  });

  test("is quiet below its level", () => {
    const { log, lines } = capture("info");
    log.debug("nothing");
    expect(lines).toEqual([]);
  });
});
