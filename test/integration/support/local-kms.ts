/**
 * A KMS on this machine: the JSON 1.1 protocol of the three calls that the plugin and its tool make, over HTTP, each request's
 * Signature Version 4 verified from its parts. Keys are AES-256-GCM; the encryption context is the additional data.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface LocalKms {
  readonly endpoint: string;
  readonly calls: { operation: string; context: unknown }[];
  /** The state of the one key: what every further call is answered with, instead. */
  fault: { status: number; type: string } | undefined;
  hang: boolean;
  stop(): Promise<void>;
}

export const CREDENTIALS = {
  accessKeyId: "AKIDLOCAL",
  secretAccessKey: "local+secret/key",
  sessionToken: "local-session",
};
export const REGION = "eu-central-1";
export const KEY_ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

const KEY = randomBytes(32);

export async function startLocalKms(port = 0): Promise<LocalKms> {
  const kms = { calls: [] as LocalKms["calls"], fault: undefined as LocalKms["fault"], hang: false };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      if (kms.hang) return;
      const { status, body } = answer(request, Buffer.concat(chunks), kms);
      response.writeHead(status, { "content-type": "application/x-amz-json-1.1" }).end(JSON.stringify(body));
    });
  });
  await new Promise<void>((listening) => server.listen(port, "127.0.0.1", listening));
  return Object.assign(kms, {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () =>
      new Promise<void>((stopped) => {
        server.close(() => stopped());
        server.closeAllConnections();
      }),
  });
}

function answer(
  request: IncomingMessage,
  body: Buffer,
  kms: Pick<LocalKms, "calls" | "fault">,
): { status: number; body: object } {
  const refused = (status: number, type: string, message: string) => ({ status, body: { __type: type, message } });
  const wrong = verifySignature(request, body);
  if (wrong !== undefined) return refused(400, "InvalidSignatureException", wrong);
  if (kms.fault !== undefined) return refused(kms.fault.status, kms.fault.type, "by the test");
  const operation = String(request.headers["x-amz-target"]).replace("TrentService.", "");
  const {
    KeyId,
    CiphertextBlob,
    EncryptionContext = {},
  } = JSON.parse(body.toString()) as {
    KeyId?: string;
    CiphertextBlob?: string;
    EncryptionContext?: Record<string, string>;
  };
  kms.calls.push({ operation, context: EncryptionContext });
  if (KeyId !== undefined && KeyId !== KEY_ARN) return refused(400, "NotFoundException", `no key ${KeyId}`);
  const aad = Buffer.from(JSON.stringify(Object.entries(EncryptionContext).sort()));
  if (operation === "GenerateDataKeyWithoutPlaintext") {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", KEY, nonce).setAAD(aad);
    const wrapped = Buffer.concat([nonce, cipher.update(randomBytes(32)), cipher.final(), cipher.getAuthTag()]);
    return { status: 200, body: { KeyId: KEY_ARN, CiphertextBlob: wrapped.toString("base64") } };
  }
  if (operation === "Decrypt") {
    const wrapped = Buffer.from(CiphertextBlob ?? "", "base64");
    try {
      const decipher = createDecipheriv("aes-256-gcm", KEY, wrapped.subarray(0, 12)).setAAD(aad);
      decipher.setAuthTag(wrapped.subarray(-16));
      const plaintext = Buffer.concat([decipher.update(wrapped.subarray(12, -16)), decipher.final()]);
      return { status: 200, body: { KeyId: KEY_ARN, Plaintext: plaintext.toString("base64") } };
    } catch {
      return refused(400, "InvalidCiphertextException", "");
    }
  }
  return refused(400, "UnknownOperationException", operation);
}

/** Signature Version 4, made again from the request and the secret. Says what is wrong; undefined when all is right. */
function verifySignature(request: IncomingMessage, body: Buffer): string | undefined {
  const { authorization = "", "x-amz-date": date, "x-amz-security-token": session } = request.headers;
  const [, keyId, day, region, service, signed, signature] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      authorization,
    ) ?? [];
  if (keyId !== CREDENTIALS.accessKeyId) return "another access key, or none";
  if (region !== REGION || service !== "kms") return "another region or service";
  if (typeof date !== "string" || !date.startsWith(day!)) return "no date, or another";
  if (session !== CREDENTIALS.sessionToken) return "no session token, or another";
  const at = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (!(Math.abs(Date.now() - at) < 300_000)) return "the request is too old, or of the future";
  const names = signed!.split(";");
  for (const needed of ["host", "x-amz-date", "x-amz-target"])
    if (!names.includes(needed)) return `${needed} is not signed`;
  const headers = names.map((name) => `${name}:${String(request.headers[name]).trim().replace(/ +/g, " ")}\n`).join("");
  const canonical = [request.method, request.url, "", headers, signed, hash(body)].join("\n");
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = ["AWS4-HMAC-SHA256", date, scope, hash(Buffer.from(canonical))].join("\n");
  const key = [day!, region, service, "aws4_request"].reduce<Buffer>(
    (secret, part) => createHmac("sha256", secret).update(part).digest(),
    Buffer.from(`AWS4${CREDENTIALS.secretAccessKey}`),
  );
  const expected = createHmac("sha256", key).update(toSign).digest("hex");
  return expected === signature ? undefined : "the signature does not match";
}

function hash(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
