/** A plain listener under Deno: tells its port, then of the first connection how much came in one turn of the event loop at most, and in all. */
import process from "node:process";
import type { Http1Socket } from "../../../src/base/network/http1/socket.ts";
import { acceptPlain } from "../../../src/edge/listeners/plain-sockets.ts";

const TURN_MS = 0.3;

function read(socket: Http1Socket): void {
  let most = 0;
  let ofTurn = 0;
  let total = 0;
  const nextTurn = (): void => {
    most = Math.max(most, ofTurn);
    ofTurn = 0;
    setImmediate(nextTurn);
  };
  nextTurn();
  let reads = 0;
  socket.on("data", (bytes) => {
    ofTurn += bytes.length;
    total += bytes.length;
    // As long as a server works on it, so that the sender gets ahead.
    for (const endMs = performance.now() + TURN_MS; performance.now() < endMs; );
    // As a server does that waits for something: nothing may come meanwhile.
    if (++reads % 100 !== 0) return;
    socket.pause();
    const before = total;
    setTimeout(() => {
      if (total !== before) console.log("something came while it was paused");
      socket.resume();
    }, 20);
  });
  socket.on("end", () => {
    console.log(JSON.stringify({ most: Math.max(most, ofTurn), total }));
    process.exit(0);
  });
}

const server = await acceptPlain({ hostname: "127.0.0.1", port: 0, reusePort: false }, read);
console.log(String(server.port));
