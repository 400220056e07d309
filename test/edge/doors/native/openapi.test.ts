import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { HTTP_STATUS } from "../../../../src/base/errors.ts";
import { openApiDocument, REFUSALS } from "../../../../src/edge/doors/native/openapi.ts";
import { type GivenAnswer, undocumented } from "../../../support/documented.ts";
import { type StaticEdge, startStaticEdge, staticConfiguration } from "../../../support/static-edge.ts";

const document = openApiDocument();

let edge: StaticEdge;
let closed: StaticEdge;
beforeAll(async () => {
  edge = await startStaticEdge(`${staticConfiguration()}limits: { max_body: 64KiB }\n`);
  closed = await startStaticEdge(
    staticConfiguration().replace("principal: local }", "principal: local, status: false }"),
  );
});
afterAll(async () => {
  await edge.close();
  await closed.close();
});

interface Try {
  readonly method?: string;
  readonly path: string;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly to?: () => StaticEdge;
}

/** By `node:http`, which sends any method and any host. */
function send({ method = "POST", path, body, headers = {}, to = () => edge }: Try): Promise<GivenAnswer> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(to().url);
    const type = { "content-type": "application/json" };
    const sent = request({ host: "127.0.0.1", port, method, path, headers: { ...type, ...headers } }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () =>
        resolve({
          method,
          path,
          status: answer.statusCode ?? 0,
          headers: new Headers(answer.headers as Record<string, string>),
          body: Buffer.concat(chunks).toString("latin1"),
        }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const create = (fields: object = {}): string => JSON.stringify({ tenant: "tenant-a", service: "billing", ...fields });
const OPERATIONS = [
  ...["create", "decrypt", "rewrap", "create-batch", "decrypt-batch", "rewrap-batch"].map((name) => `/v1/keys/${name}`),
  ...["encrypt", "decrypt", "encrypt-batch", "decrypt-batch"].map((name) => `/v1/values/${name}`),
];
const BATCHES = OPERATIONS.filter((path) => path.endsWith("-batch"));
const LOOKS = ["/livez", "/readyz", "/v1/status", "/metrics", "/openapi.json"];

const TRIES: Readonly<Record<string, readonly [status: number, ...tries: readonly Try[]]>> = {
  "an operation that is done": [201, { path: "/v1/keys/create", body: create() }],
  "a batch that is done": [201, { path: "/v1/keys/create-batch", body: create({ count: 2 }) }],
  "a look": [200, ...LOOKS.map((path) => ({ method: "GET", path }))],
  "a body that is no JSON": [400, ...OPERATIONS.map((path) => ({ path, body: "{" }))],
  "a body of other fields": [400, ...OPERATIONS.map((path) => ({ path, body: '{"a":1}' }))],
  "a body of another type": [
    415,
    ...OPERATIONS.map((path) => ({ path, body: "a=b", headers: { "content-type": "text/x" } })),
  ],
  "bytes that are no batch": [
    400,
    ...BATCHES.map((path) => ({
      path,
      body: new Uint8Array(3),
      headers: { "content-type": "application/octet-stream" },
    })),
  ],
  "what is no wrapped key": [400, ...OPERATIONS.slice(1, 3).map((path) => ({ path, body: '{"wrapped":"AAAA"}' }))],
  "a tenant that is not allowed": [403, { path: "/v1/keys/create", body: create({ tenant: "other" }) }],
  "a key that is not known": [404, { path: "/v1/keys/create", body: create({ service: "nowhere" }) }],
  "a coded body": [
    415,
    ...OPERATIONS.map((path) => ({ path, body: create(), headers: { "content-encoding": "gzip" } })),
  ],
  "a page of another site": [
    403,
    ...[...OPERATIONS, ...LOOKS].map((path) => ({ path, headers: { "sec-fetch-site": "cross-site" } })),
    { path: "/v1/keys/create", body: create(), headers: { origin: "http://evil.example" } },
    { path: "/v1/keys/create", body: create(), headers: { origin: "null" } },
  ],
  "an unknown path": [404, { path: "/v2/keys", body: create() }],
  "a look at what is not served": [
    404,
    ...["/v1/status", "/metrics"].map((path) => ({ method: "GET", path, to: () => closed })),
  ],
  "another method": [
    405,
    ...OPERATIONS.map((path) => ({ method: "DELETE", path })),
    ...LOOKS.map((path) => ({ method: "PUT", path, body: "{}" })),
  ],
  "another name of this machine": [421, { path: "/v1/keys/create", body: create(), headers: { host: "evil.example" } }],
};

describe("is as the OpenAPI document tells:", () => {
  for (const [name, [status, ...tries]] of Object.entries(TRIES)) {
    test(`the answer to ${name}`, async () => {
      for (const one of tries) {
        const answer = await send(one);
        expect(`${one.path} ${answer.status}`).toBe(`${one.path} ${status}`);
        expect(undocumented(document, answer)).toBeUndefined();
      }
    });
  }

  test("the answer to a body that is too long", async () => {
    const answer = await send({ path: "/v1/keys/create", body: "x".repeat(200_000) });
    expect(answer.status).toBe(413);
    expect(undocumented(document, answer)).toBeUndefined();
  });
});

/** Sends bytes as they are; what came until the edge closed. */
function sendRaw(path: string, bytes: string): Promise<GivenAnswer> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(edge.url).port), "127.0.0.1", () => void socket.write(bytes));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => void chunks.push(Buffer.from(chunk)));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      const [head = "", body = ""] = Buffer.concat(chunks).toString("latin1").split("\r\n\r\n");
      const [first = "", ...lines] = head.split("\r\n");
      const headers = new Headers(lines.map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]));
      resolve({ method: "POST", path, status: Number(first.split(" ")[1]), headers, body });
    });
  });
}

const CREATE_HEAD = "POST /v1/keys/create HTTP/1.1\r\nHost: localhost\r\n";
const NO_REQUESTS: Readonly<Record<string, readonly [status: number, bytes: string]>> = {
  "a header that is none": [400, `${CREATE_HEAD}Broken\r\n\r\n`],
  "two ways to tell the body's end": [400, `${CREATE_HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}`],
  "an unknown transfer coding": [400, `${CREATE_HEAD}Transfer-Encoding: gzip\r\n\r\n`],
  "a body that is told to be too long": [413, `${CREATE_HEAD}Content-Length: 100000000\r\n\r\n`],
  "an expectation that nobody meets": [417, `${CREATE_HEAD}Content-Length: 2\r\nExpect: the-impossible\r\n\r\n{}`],
  "another host": [421, "POST /v1/keys/create HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n"],
  "a head that is too long": [431, `${CREATE_HEAD}X-A: ${"a".repeat(40_000)}\r\n\r\n`],
  "another version of HTTP": [505, "POST /v1/keys/create HTTP/3.0\r\nHost: localhost\r\n\r\n"],
};

describe("is as the OpenAPI document tells, below any routing:", () => {
  for (const [name, [status, bytes]] of Object.entries(NO_REQUESTS)) {
    test(`the answer to ${name}`, async () => {
      const answer = await sendRaw("/v1/keys/create", bytes);
      expect(answer.status).toBe(status);
      expect(undocumented(document, answer)).toBeUndefined();
    });
  }
});

test("each base64url text in the document has its pattern, but in items of a batch, which are refused one by one", () => {
  const { paths } = document as unknown as {
    paths: Record<string, { post?: { requestBody: object; responses: object } }>;
  };
  const patterns = (schema: object): unknown[] => {
    const found: unknown[] = [];
    JSON.stringify(schema, (_key, value) => {
      if (value?.contentEncoding === "base64url") found.push(value.pattern);
      return value;
    });
    return found;
  };
  let count = 0;
  for (const [path, { post }] of Object.entries(paths)) {
    if (post === undefined) continue;
    const isTold = !path.endsWith("-batch");
    for (const pattern of patterns(post.requestBody)) {
      expect([path, pattern]).toEqual([path, isTold ? "^[A-Za-z0-9_-]*$" : undefined]);
      count++;
    }
    for (const pattern of patterns(post.responses)) expect([path, pattern]).toEqual([path, "^[A-Za-z0-9_-]*$"]);
  }
  expect(count).toBeGreaterThan(5);
});

test("every code that an operation can end with is in the document, under its status", () => {
  const told = REFUSALS.map(({ code, status }) => `${code} ${status}`);
  for (const [code, status] of Object.entries(HTTP_STATUS)) expect(told).toContain(`${code} ${status}`);
});

test("the document and docs/errors.md tell of the same codes", () => {
  const page = readFileSync(join(import.meta.dir, "../../../../docs/errors.md"), "utf8");
  const onPage = [...page.matchAll(/^\| `(\w+)` \| ([\d, ]+) \|/gm)].flatMap(([, code, statuses]) =>
    statuses!.split(", ").map((status) => `${code} ${status}`),
  );
  expect(onPage.toSorted()).toEqual([...new Set(REFUSALS.map(({ code, status }) => `${code} ${status}`))].toSorted());
});

test("the checker of these tests sees an answer that the document lacks", () => {
  const answer = { method: "POST", path: "/v1/keys/create", headers: new Headers(), body: "" };
  expect(undocumented(document, { ...answer, status: 418 })).toContain("418");
  const problem = new Headers({ "content-type": "application/problem+json" });
  const body = '{"code":"made_up"}';
  expect(undocumented(document, { ...answer, status: 403, headers: problem, body })).toContain("made_up");
  expect(
    undocumented(document, { ...answer, status: 405, headers: problem, body: '{"code":"method_not_allowed"}' }),
  ).toContain("Allow");
});
