// Run by Node: reads byte streams, one a line in base64, gives each to node:http as a connection of its own, and writes what requests it
// took, one line of JSON for each stream.
import { createServer } from "node:http";
import { connect } from "node:net";
import { createInterface } from "node:readline";

const seen = new Map();
const take = (request, response) => {
  const requests = seen.get(request.socket.remotePort);
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    requests?.push({
      method: request.method,
      target: request.url,
      body: Buffer.concat(chunks).toString("latin1"),
    });
    response.end();
  });
};
const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 }, take);
server.on("checkContinue", take);
// Without a listener Node refuses CONNECT by closing; an upgrade is a request like others.
server.listen(0, "127.0.0.1", async () => {
  const { port } = server.address();
  const running = [];
  const results = [];
  let index = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    const place = index++;
    running.push(
      read(port, Buffer.from(line, "base64")).then((requests) => {
        results[place] = requests;
      }),
    );
    if (running.length >= 64) await Promise.all(running.splice(0));
  }
  await Promise.all(running);
  process.stdout.write(`${results.map((requests) => JSON.stringify(requests)).join("\n")}\n`, () => process.exit());
});

function read(port, bytes) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const requests = [];
    let local;
    socket.on("connect", () => {
      local = socket.localPort;
      seen.set(local, requests);
      socket.end(bytes);
    });
    socket.resume();
    socket.on("error", () => undefined);
    socket.on("close", () => {
      seen.delete(local);
      resolve(requests);
    });
  });
}
