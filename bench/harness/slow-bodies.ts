/** Connections that send a request's body a byte each 20 ms, at even distances: `slow-bodies.ts PORT CONNECTIONS`. Ended by SIGTERM, it prints the bytes sent a second. */
import { connect, type Socket } from "node:net";

const [port = 0, count = 0] = process.argv.slice(2).map(Number);
const EVERY_MS = 20;
const BODY_BYTES = 60_000;
const HEAD = `POST /v1/keys/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`;

const sockets: Socket[] = Array.from({ length: count }, () => {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.on("data", () => undefined);
  socket.write(HEAD);
  return socket;
});

let sent = 0;
const startedMs = performance.now();
setInterval(() => {
  const due = ((performance.now() - startedMs) / EVERY_MS) * count;
  for (; sent < due; sent++) {
    const socket = sockets[sent % count];
    if (socket?.writable === true) socket.write(" ");
  }
}, 1);

process.once("SIGTERM", () => {
  process.stdout.write(String((sent / (performance.now() - startedMs)) * 1000), () => process.exit(0));
});
