import { expect, test } from "bun:test";
import { connect } from "node:tls";
import { startCoreWorld } from "../support/core-world.ts";
import { eventually, until } from "../support/until.ts";

test("an edge that reads its stream slowly costs the Core no memory, and gets every event in order when it reads on", async () => {
  await using world = await startCoreWorld({ heartbeatMs: 20, retainedEvents: 1_000_000 });
  const { admin } = world.core;
  await admin.createService("tenant-a", "billing");
  const socket = connect({
    host: "127.0.0.1",
    port: world.core.port,
    ...(await world.pki.edge("edge-slow")),
    ALPNProtocols: ["http/1.1"],
  });
  await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
  socket.write("GET /core/v1/revocations HTTP/1.1\r\nhost: core\r\n\r\n");
  await until(() => world.core.counters.streams === 1);
  socket.pause();
  const scope = { tenant: "tenant-a", service: "billing", version: 1 };
  const reason = "x".repeat(400);
  const events = 30_000;
  for (let made = 0; made < events; made += 2) {
    await admin.revoke(scope, { reason });
    await admin.restore(scope);
    // As events come in life: with the loop turning between them.
    if (made % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  // The log holds some 15 MB of them; what waits for this stream is bounded.
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(world.core.counters.unsentBytes).toBeWithin(1, 2_000_000);

  const seqs: number[] = [];
  let rest = "";
  socket.on("data", (chunk: Buffer) => {
    rest += chunk.toString("latin1");
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const match = /^data: \{"type":"(revoke|restore)","log":"[0-9a-f]+","seq":(\d+)/.exec(line);
      if (match !== null) seqs.push(Number(match[2]));
    }
  });
  socket.resume();
  await eventually(() => seqs.length >= events, "the last event");
  expect(seqs.every((seq, index) => seq === index + 1)).toBe(true);
  await admin.rotate("tenant-a", "billing");
  socket.destroy();
  await until(() => world.core.counters.streams === 0);
}, 300_000);
