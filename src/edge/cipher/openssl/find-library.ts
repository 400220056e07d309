/** Where the machine's libcrypto is. */
import { realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";

const WRITABLE_BY_OTHERS = 0o022;

/** Where distributions install it. The environment is not asked: whoever sets it would choose the code that handles keys. */
const CANDIDATES: Readonly<Record<string, readonly string[]>> = {
  linux: [
    `/usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu/libcrypto.so.3`,
    "/usr/lib64/libcrypto.so.3",
    "/usr/lib/libcrypto.so.3",
    "/lib64/libcrypto.so.3",
    "/lib/libcrypto.so.3",
    "/run/current-system/sw/lib/libcrypto.so.3",
  ],
  darwin: ["/opt/homebrew/opt/openssl@3/lib/libcrypto.3.dylib", "/usr/local/opt/openssl@3/lib/libcrypto.3.dylib"],
};

/** The library can't be used here; the message says why, and ends without a full stop. */
export class OpensslError extends Error {
  override readonly name = "OpensslError";
}

export interface FoundLibrary {
  /** Without links: what was judged is what is loaded. */
  readonly path: string;
}

/** The library, or why there is none that can be trusted. */
export function findLibrary(candidates = CANDIDATES[process.platform] ?? []): FoundLibrary | { reason: string } {
  let reason = "There is no libcrypto 3 in the system's library folders";
  for (const candidate of candidates) {
    let path: string;
    try {
      path = realpathSync(candidate);
    } catch {
      continue;
    }
    const writer = whoElseMayWrite(path);
    if (writer === undefined) return { path };
    reason = `${path} is not used, since ${writer}`;
  }
  return { reason };
}

/** Who, besides root and this process's user, may change a file: by itself, or by way of a folder above it. */
export function whoElseMayWrite(
  path: string,
  look: (path: string) => { readonly uid: number; readonly mode: number } = statSync,
  user = process.getuid?.(),
): string | undefined {
  for (let place = path; ; place = dirname(place)) {
    const { uid, mode } = look(place);
    if (uid !== 0 && uid !== user) return `${place} belongs to user ${uid}`;
    if ((mode & WRITABLE_BY_OTHERS) !== 0) return `others may write to ${place}`;
    if (place === dirname(place)) return undefined;
  }
}
