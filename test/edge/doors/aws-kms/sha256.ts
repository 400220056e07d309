import { createHash, createHmac } from "node:crypto";

/** As @smithy/signature-v4 wants its hash. */
export class Sha256 {
  #parts: Uint8Array[] = [];
  readonly #secret: Uint8Array | undefined;
  constructor(secret?: string | Uint8Array | ArrayBuffer | ArrayBufferView) {
    this.#secret = secret === undefined ? undefined : bytesOf(secret);
  }
  update(data: string | Uint8Array | ArrayBuffer | ArrayBufferView): void {
    this.#parts.push(bytesOf(data));
  }
  reset(): void {
    this.#parts = [];
  }
  async digest(): Promise<Uint8Array> {
    const hash = this.#secret === undefined ? createHash("sha256") : createHmac("sha256", this.#secret);
    for (const part of this.#parts) hash.update(part);
    return new Uint8Array(hash.digest());
  }
}

function bytesOf(data: string | Uint8Array | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === "string") return Buffer.from(data, "utf8");
  return ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}
