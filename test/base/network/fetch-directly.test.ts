import { expect, test } from "bun:test";
import { createServer, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { fetchDirectly } from "../../../src/base/network/fetch-directly.ts";
import { makeAuthority } from "../../support/certificates.ts";

const MEBIBYTE = 1_048_576;

async function fetched(answer: (response: ServerResponse) => void, signal = new AbortController().signal) {
  const server = createServer((_request, response) => answer(response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    return await fetchDirectly(url, { headers: new Headers(), signal });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("an answer has a mebibyte at most", async () => {
  const response = await fetched((out) => void out.end(Buffer.alloc(MEBIBYTE, "x")));
  expect([response.status, (await response.text()).length]).toEqual([200, MEBIBYTE]);
  await expect(fetched((out) => void out.end(Buffer.alloc(MEBIBYTE + 1, "x")))).rejects.toThrow("too large");
});

test("an answer that is not 200 is 502, and without its text", async () => {
  for (const status of [201, 204, 302, 404, 500]) {
    const response = await fetched((out) => void out.writeHead(status, { location: "/" }).end());
    expect([response.status, await response.text()]).toEqual([502, ""]);
  }
});

test("an answer that is broken off is none, and one that is waited for no longer ends with the reason", async () => {
  const broken = fetched((out) => {
    out.writeHead(200, { "content-length": "10" }).write("half");
    setTimeout(() => out.destroy(), 10);
  });
  await expect(broken).rejects.toThrow();
  const waiting = new AbortController();
  const late = fetched(() => waiting.abort(new DOMException("It took too long.", "TimeoutError")), waiting.signal);
  await expect(late).rejects.toThrow("It took too long.");
});

test("a server whose certificate no trusted authority signed is not believed", async () => {
  const { certificate, key } = await (await makeAuthority()).issue({ dns: ["localhost"], ip: ["127.0.0.1"] });
  let asked = 0;
  const server = createHttpsServer({ cert: certificate, key }, (_request, response) => {
    asked++;
    response.end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
    await expect(fetchDirectly(url, { headers: new Headers(), signal: new AbortController().signal })).rejects.toThrow(
      /certificate/i,
    );
    expect(asked).toBe(0);
  } finally {
    server.close();
  }
});
