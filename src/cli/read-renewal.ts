/** Reads and checks a configuration for a reload, in a process of its own: a large one takes a second, which no request should wait for. */
import { spawn } from "node:child_process";
import type { Renewal } from "../edge/renewal.ts";
import { thisProgram } from "./this-program.ts";

/** @throws Error with every mistake of the configuration */
export async function readRenewal(file: string, digestKey: string): Promise<Renewal> {
  // There a process takes a permission more, and another one to know its own command line.
  if ("Deno" in globalThis) return makeRenewal(file, digestKey);
  const [program, ...first] = thisProgram();
  const child = spawn(program!, [...first, "config", "renewal", file], { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => undefined);
  child.stdin.end(digestKey);
  const [output, mistakes, exitCode] = await Promise.all([
    textOf(child.stdout),
    textOf(child.stderr),
    new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    }),
  ]);
  if (exitCode !== 0)
    throw new Error(mistakes.trim().replace(/^crypto-edge: /, "") || `it can't be read (exit code ${exitCode})`);
  return JSON.parse(output) as Renewal;
}

/** What the process of `readRenewal` does. */
export async function makeRenewal(file: string, digestKey: string): Promise<Renewal> {
  const { loadConfiguration } = await import("../edge/config/load-with-plugins.ts");
  const { renewalOf } = await import("../edge/renewal.ts");
  return await renewalOf((await loadConfiguration(file)).configuration, digestKey);
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces).toString("utf8");
}
