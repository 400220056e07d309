import type { Template } from "./shared.ts";

/** A cipher over node:crypto, to be exchanged for the calls of another library. */
export function cipherTemplate(name: string): Template {
  return {
    purpose: "It does the edge's AES-256-GCM and HKDF-SHA-256 by node:crypto: put your library's calls in their place.",
    needsKeys: true,
    use: `cipher: { use: ${name}, ${name}: {} }\n`,
    plugin: `import { createCipheriv, createDecipheriv, hkdfSync, randomFillSync, timingSafeEqual } from "node:crypto";
import { type CipherAdapter, contribution, type DerivedKey, definePlugin, Section, wipe } from "crypto-edge/plugin";

const configuration = Section({});

/** A wrapping key. What is in \`key\` is wiped when the edge closes it. */
function derivedKey(key: Uint8Array, commitment: Uint8Array): DerivedKey {
  let closed = false;
  const check = (): void => {
    if (closed) throw new Error("this wrapping key was wiped");
  };
  const seal: DerivedKey["seal"] = (header, nonceOffset, context, plaintext) => {
    check();
    const blob = new Uint8Array(header.length + plaintext.length + 16);
    blob.set(header);
    // A new nonce for each blob: two under one key would give both away.
    const nonce = randomFillSync(new Uint8Array(12));
    blob.set(nonce, nonceOffset);
    const cipher = createCipheriv("aes-256-gcm", key, nonce);
    cipher.setAAD(Buffer.concat([blob.subarray(0, header.length), context]));
    blob.set(cipher.update(plaintext), header.length);
    cipher.final();
    blob.set(cipher.getAuthTag(), blob.length - 16);
    return blob;
  };
  return {
    commitment,
    seal,
    sealRandom(header, nonceOffset, context, length, plaintext) {
      const dataKey = plaintext ?? new Uint8Array(length);
      if (dataKey.length !== length) throw new RangeError("the buffer is not as long as the data key");
      randomFillSync(dataKey);
      const blob = seal(header, nonceOffset, context, dataKey);
      if (plaintext === undefined) wipe(dataKey);
      return blob;
    },
    open(blob, nonceOffset, ciphertextOffset, context) {
      check();
      const tagOffset = blob.length - 16;
      const decipher = createDecipheriv("aes-256-gcm", key, blob.subarray(nonceOffset, nonceOffset + 12));
      decipher.setAAD(Buffer.concat([blob.subarray(0, ciphertextOffset), context]));
      decipher.setAuthTag(blob.subarray(tagOffset));
      const plaintext = decipher.update(blob.subarray(ciphertextOffset, tagOffset));
      try {
        decipher.final();
      } catch {
        // Nothing of it leaves before the tag was good.
        wipe(plaintext);
        return undefined;
      }
      return new Uint8Array(plaintext);
    },
    close() {
      closed = true;
      wipe(key);
    },
  };
}

function create(): CipherAdapter {
  return {
    name: "${name}",
    library: \`node:crypto of \${process.version}\`,
    // Say true only where a FIPS-validated module does the work.
    fips: false,
    fillRandom: (target) => void randomFillSync(target),
    deriveKey(serviceKey, salt, info, expected) {
      const derived = serviceKey.use((key) => new Uint8Array(hkdfSync("sha256", key, salt, info, 64)));
      const commitment = derived.slice(32);
      if (expected !== undefined && !timingSafeEqual(commitment, expected)) {
        wipe(derived);
        return undefined;
      }
      const key = derived.slice(0, 32);
      wipe(derived);
      return derivedKey(key, commitment);
    },
    reseed() {},
    close() {},
  };
}

export default definePlugin({
  name: "${name}",
  apiVersion: 1,
  ciphers: { "${name}": contribution({ configuration, create }) },
});
`,
    tests: `test("what it wraps it opens, and nothing that was altered", async () => {
  await until(async () => (await call("create", { tenant: "tenant-a", service: "billing" })).status === 201);
  const made = await call("create", { tenant: "tenant-a", service: "billing", plaintext: true });
  const opened = await call("decrypt", { wrapped: made.body.wrapped });
  expect(opened.body.plaintext).toBe(made.body.plaintext!);
  const altered = \`\${made.body.wrapped!.slice(0, -4)}AAAA\`;
  expect((await call("decrypt", { wrapped: altered })).status).toBe(422);
});
`,
  };
}
