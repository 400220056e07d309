/** The bench's programs in C, compiled where there is a compiler (and, for TLS, OpenSSL's headers): bench/native/. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";

const LIBRARIES = { load: ["-lssl", "-lcrypto"], nothing: [] } as const;

export type NativeProgram = keyof typeof LIBRARIES;

const compiled = new Map<NativeProgram, string | undefined>();

/** The compiled program's path; undefined where it can't be compiled. Compiled once for each text of its source. */
export function nativeProgram(name: NativeProgram): string | undefined {
  if (!compiled.has(name)) compiled.set(name, compile(name));
  return compiled.get(name);
}

function compile(name: NativeProgram): string | undefined {
  const source = join(import.meta.dirname, "../native", `${name}.c`);
  const folder = join(import.meta.dirname, "../../node_modules/.cache/bench");
  const hash = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const program = join(folder, `${name}-${hash}`);
  if (existsSync(program)) return program;
  const compiler = Bun.which("cc") ?? Bun.which("gcc");
  if (compiler === null) return undefined;
  mkdirSync(folder, { recursive: true });
  const made = `${program}.${process.pid}`;
  try {
    execFileSync(compiler, ["-O2", "-o", made, source, ...LIBRARIES[name]], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  renameSync(made, program);
  return program;
}
