import { expect, test } from "bun:test";
import { startDoorEdge } from "../../../support/door-edge.ts";

test("a caller is told that there is no key now, and nothing of what the source said, which may be the Core's address", async () => {
  const edge = await startDoorEdge({ listeners: `  - { http: "127.0.0.1:0", principal: local }` });
  try {
    edge.faults.set("tenant-x/billing", "unavailable");
    const answer = await fetch(`${edge.url}/v1/keys/create`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"tenant":"tenant-x","service":"billing"}',
    });
    const text = await answer.text();
    expect([answer.status, JSON.parse(text)]).toEqual([503, expect.objectContaining({ code: "lease_unavailable" })]);
    expect(text).not.toContain("test: unavailable");
  } finally {
    await edge.close();
  }
}, 30_000);
