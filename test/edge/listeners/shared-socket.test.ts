/** A Unix socket that several edges serve in turn: no caller finds it unserved, whichever of them ends. */
import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Listener } from "../../../src/edge/listeners/listener.ts";
import { bindUnixSocket } from "../../../src/edge/listeners/unix-socket.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-shared-"));
const path = join(folder, "kms.sock");
const clock = new VirtualClock();
const open: { close(timeoutMs: number): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of open.splice(0)) await each.close(0);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
});

/** An edge that says its name to whoever connects. `kill`: ends as a process does that is killed, its files left behind. */
async function edge(name: string, shared = true): Promise<Listener & { kill(): void }> {
  let server = createServer();
  const listener = await bindUnixSocket(path, { mode: 0o600, ...(shared ? { shared: clock } : {}) }, async (own) => {
    server = createServer((socket) => void socket.end(name));
    await new Promise<void>((listening) => server.listen(own, listening));
    return { close: async () => void server.close() };
  });
  const made = { ...listener, kill: () => void server.close() };
  open.push(made);
  return made;
}

function whoAnswers(): Promise<string> {
  return new Promise((done) => {
    let came = "";
    const socket = connect(path);
    socket.on("data", (bytes) => {
      came += bytes;
    });
    socket.on("error", (error) => done((error as { code?: string }).code ?? "error"));
    socket.on("end", () => done(came));
  });
}

async function answered(name: string): Promise<void> {
  for (let tries = 0; (await whoAnswers()) !== name; tries++) {
    if (tries > 6_000) throw new Error(`${name} does not answer`);
    clock.advance(100);
    await new Promise((passed) => setTimeout(passed, 5));
  }
}

describe("a shared socket", () => {
  test("is the newest edge's, with the mode that was asked for, and goes back when that one ends", async () => {
    const first = await edge("first");
    expect(await whoAnswers()).toBe("first");
    expect(first.address).toBe(`unix:${path}`);
    const second = await edge("second");
    expect(await whoAnswers()).toBe("second");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await second.close(0);
    // At once: there was no moment without.
    expect(await whoAnswers()).toBe("first");
    await first.close(0);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("is taken by another when the one that has it is killed, or when its file is gone", async () => {
    await edge("first");
    const second = await edge("second");
    second.kill();
    await answered("first");
    rmSync(path);
    await answered("first");
  });

  test("is never away while edges come and go", async () => {
    await edge("0");
    let asking = true;
    const answers: string[] = [];
    const asks = (async () => {
      while (asking) answers.push(await whoAnswers());
    })();
    for (let round = 1; round < 30; round++) {
      const next = await edge(String(round));
      await next.close(0);
    }
    asking = false;
    await asks;
    expect(answers.length).toBeGreaterThan(3);
    expect(answers.filter((answer) => !/^\d+$/.test(answer))).toEqual([]);
  });

  test("leaves nothing of edges that were killed behind", async () => {
    (await edge("killed")).kill();
    const next = await edge("next");
    expect(readdirSync(folder).length).toBe(2);
    expect(await whoAnswers()).toBe("next");
    await next.close(0);
  });

  test("takes a file of such a name for nobody's socket, and removes it not", async () => {
    const file = join(folder, ".kms.sock.01234567");
    writeFileSync(file, "not a socket");
    const only = await edge("only");
    await only.close(0);
    expect(readdirSync(folder)).toEqual([".kms.sock.01234567"]);
  });

  test("that is not shared stays an error while somebody serves it", async () => {
    await edge("first", false);
    await expect(edge("second", false)).rejects.toThrow("in use by another process");
  });
});

describe("a socket of which it can't be told whether somebody listens is left alone", () => {
  test.skipIf(process.getuid?.() !== 0)("since this user may not connect to it", async () => {
    await edge("first");
    chmodSync(folder, 0o777);
    process.seteuid!(65_534);
    try {
      await expect(edge("second", false)).rejects.toThrow("may be in use by another process (EACCES)");
      await (await edge("third")).close(0);
    } finally {
      process.seteuid!(0);
    }
    await answered("first");
  });

  test("since more wait to be accepted than it lets", async () => {
    const listening = `require("node:net").createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => console.log("on"))`;
    const child = Bun.spawn([process.execPath, "-e", listening], { stdout: "pipe" });
    const waiting: Socket[] = [];
    try {
      await child.stdout.getReader().read();
      child.kill("SIGSTOP");
      for (let count = 0; count < 8; count++) waiting.push(connect(path).on("error", () => undefined));
      await expect(edge("second", false)).rejects.toThrow("in use by another process");
      expect(statSync(path).isSocket()).toBe(true);
    } finally {
      for (const socket of waiting) socket.destroy();
      child.kill("SIGKILL");
      await child.exited;
    }
  }, 20_000);
});

test("a socket that can't be given to its owner is closed again", async () => {
  const closed: string[] = [];
  const binding = bindUnixSocket(path, { mode: 0o600, owner: { user: 2 ** 32, group: 0 } }, async (own) => {
    const server = createServer();
    await new Promise<void>((listening) => server.listen(own, listening));
    return { close: async () => void server.close(() => closed.push("closed")) };
  });
  await expect(binding).rejects.toThrow("that the owner may be set");
  expect(readdirSync(folder)).toEqual([]);
  while (closed.length === 0) await new Promise((passed) => setTimeout(passed, 5));
});

test("a path that leaves no room for the names of the edges beside it is refused", async () => {
  const listen = (bytes: number): Promise<Listener> =>
    bindUnixSocket(join(folder, "s".repeat(bytes - folder.length - 1)), { mode: 0o600, shared: clock }, async (own) => {
      const server = createServer();
      await new Promise<void>((listening) => server.listen(own, listening));
      return { close: async () => void server.close() };
    });
  open.push(await listen(97));
  await expect(listen(98)).rejects.toThrow("has more than 97 bytes");
});
