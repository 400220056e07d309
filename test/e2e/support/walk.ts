/** Walks through pages of documentation: runs what they say, in their order. */
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../support/free-port.ts";
import { ROOT, readBlocks } from "../../support/pages.ts";
import { BINARY, type Running, run, start, temporaryFolder } from "./binary.ts";

/** What a page's walk has printed: ask by a part of the block that did. */
export interface Walk {
  printed(part: string): string;
}

const READY = /ready on|"msg":"ready"|^ready/m;

export interface WalkOptions {
  /** Whether `crypto-edge dev` runs beside the page from its beginning. */
  readonly dev?: boolean;
  /** Files that the page takes for granted. */
  readonly files?: Readonly<Record<string, string>>;
  /** Variables that the page takes for granted; undefined takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A command after the last block, to see what the page has made. */
  readonly after?: string;
}

/**
 * Walks through a page in a folder of its own: with the binary, bun and a checkout `../crypto-edge` at hand, and free ports in place
 * of 8443 and 7402. Every block must succeed. $WRAPPED lasts from block to block, as in a terminal.
 */
export async function walk(page: string, options: WalkOptions = {}): Promise<Walk> {
  using folder = temporaryFolder();
  symlinkSync(ROOT, folder.file("crypto-edge"));
  const bin = folder.file("bin");
  const here = folder.file("here");
  run(["-p", bin, here], { command: "mkdir" });
  symlinkSync(BINARY, join(bin, "crypto-edge"));
  symlinkSync(join(ROOT, "node_modules/.bin/bun"), join(bin, "bun"));
  const [corePort, edgePort] = [await freePort(), await freePort()];
  const moved = (text: string): string =>
    text.replaceAll("127.0.0.1:8443", `127.0.0.1:${corePort}`).replaceAll("127.0.0.1:7402", `127.0.0.1:${edgePort}`);
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: `${bin}:${process.env.PATH}`,
    CRYPTO_CORE_URL: `https://127.0.0.1:${corePort}`,
    CRYPTO_EDGE_URL: `http://127.0.0.1:${edgePort}`,
    ...options.env,
  };
  for (const [name, content] of Object.entries(options.files ?? {}))
    writeFileSync(join(here, name), content, { mode: 0o600 });

  const servers: Running[] = [];
  const outputs: { block: string; output: string }[] = [];
  const variables = folder.file("variables");
  writeFileSync(variables, "");
  const serve = async (args: readonly string[]): Promise<void> => {
    const server = start(args, { command: "sh", cwd: here, env });
    servers.push(server);
    await server.waitFor(READY);
  };
  try {
    if (options.dev === true) await serve(["-c", `exec crypto-edge dev --port ${edgePort}`]);
    const blocks = readBlocks(page);
    if (options.after !== undefined)
      blocks.push({ language: "sh", text: options.after, file: undefined, staysRunning: false, notRun: undefined });
    for (const block of blocks) {
      if (block.notRun !== undefined) continue;
      if (block.file !== undefined) {
        writeFileSync(join(here, block.file), moved(block.text));
        continue;
      }
      if (block.language !== "sh") continue;
      const text = moved(block.text);
      if (block.staysRunning) {
        await serve(["-c", `exec ${text}`]);
        continue;
      }
      const script = `set -e\n. ${variables}\n${text}\nset | grep '^WRAPPED=' > ${variables} || :\n`;
      const { code, stdout, stderr } = run(["-c", script], { command: "sh", cwd: here, env });
      if (code !== 0) {
        const said = servers.map((server) => server.output()).join("\n");
        throw new Error(`${page}: this block ended with ${code}:\n${block.text}\n${stdout}${stderr}\n${said}`);
      }
      outputs.push({ block: block.text, output: stdout + stderr });
    }
  } finally {
    for (const server of servers.reverse()) await server.stop("SIGKILL");
  }
  return {
    printed(part) {
      const found = outputs.find(({ block }) => block.includes(part));
      if (found === undefined) throw new Error(`${page} has no block with ${part}`);
      return found.output;
    },
  };
}
