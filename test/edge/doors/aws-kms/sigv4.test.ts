/** Signature Version 4: what another implementation (@smithy/signature-v4) signs is verified, and nothing else is. */
import { describe, expect, test } from "bun:test";
import { SignatureV4 } from "@smithy/signature-v4";
import { KmsError } from "../../../../src/edge/doors/aws-kms/errors.ts";
import { parseSignatureHeader, SignatureVerifier } from "../../../../src/edge/doors/aws-kms/sigv4.ts";
import type { DoorRequest } from "../../../../src/edge/doors/door.ts";
import { fc } from "../../../support/properties.ts";
import { Sha256 } from "./sha256.ts";

const KEY = { id: "AKIDTEST0000000000001", secret: "secret/test+key" };
const NOW = Date.UTC(2026, 10, 27, 12, 0, 0);

interface Signing {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly at?: number;
  readonly service?: string;
  readonly region?: string;
  readonly secret?: string;
  readonly id?: string;
  readonly token?: string;
  readonly checksum?: boolean;
}

/** A request as the SDK for JavaScript signs it. */
async function signed(options: Signing = {}): Promise<DoorRequest> {
  const { headers = {}, body = Buffer.from("{}"), at = NOW, service = "kms", region = "eu-central-1" } = options;
  const signer = new SignatureV4({
    credentials: {
      accessKeyId: options.id ?? KEY.id,
      secretAccessKey: options.secret ?? KEY.secret,
      ...(options.token === undefined ? {} : { sessionToken: options.token }),
    },
    region,
    service,
    sha256: Sha256,
    applyChecksum: options.checksum ?? true,
  });
  const request = await signer.sign(
    {
      method: "POST",
      protocol: "https:",
      hostname: "edge.example",
      path: "/",
      query: {},
      headers: {
        host: "edge.example:7443",
        "content-type": "application/x-amz-json-1.1",
        "x-amz-target": "TrentService.Decrypt",
        ...headers,
      },
      body,
    },
    { signingDate: new Date(at) },
  );
  const fields = Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  return requestOf(new Map(fields), body);
}

function requestOf(headers: ReadonlyMap<string, string>, body: Uint8Array): DoorRequest {
  const connection = {
    kind: "https",
    principal: undefined,
    peer: "192.0.2.1",
    peerCertificate: undefined,
    otherCertificates: [],
  } as const;
  return { method: "POST", path: "/", query: "", headers, body, connection, reserve: () => undefined };
}

const changed = (request: DoorRequest, name: string, value: string | undefined): DoorRequest => {
  const headers = new Map(request.headers);
  if (value === undefined) headers.delete(name);
  else headers.set(name, value);
  return { ...request, headers };
};

const verifierAt = (now = NOW): SignatureVerifier => new SignatureVerifier([KEY], () => now);

function refusalOf(request: DoorRequest, verifier = verifierAt()): string {
  try {
    verifier.verify(request);
    return "accepted";
  } catch (error) {
    expect(error).toBeInstanceOf(KmsError);
    expect((error as KmsError).code).toBe("unauthenticated");
    return (error as KmsError).type;
  }
}

describe("a signature", () => {
  test("of another implementation is accepted, and names the access key", async () => {
    expect(verifierAt().verify(await signed())).toEqual({ kind: "access_key", name: KEY.id, peer: "192.0.2.1" });
  });

  test("is accepted over whatever body, headers, region and session token", async () => {
    const text = fc.string({ unit: "grapheme-ascii", maxLength: 40 });
    const property = fc.asyncProperty(
      fc.record({
        body: fc.uint8Array({ maxLength: 300 }),
        agent: text,
        note: text,
        region: fc.constantFrom("us-east-1", "eu-central-1", "us-gov-west-1"),
        token: fc.constantFrom(undefined, "aaa.bbb.ccc"),
        checksum: fc.constantFrom(true, false),
      }),
      async ({ body, agent, note, region, token, checksum }) => {
        const headers = { "x-amz-user-agent": `a${agent}`, "amz-sdk-request": `n${note}` };
        const request = await signed({ body, headers, region, checksum, ...(token === undefined ? {} : { token }) });
        expect(refusalOf(request)).toBe("accepted");
      },
    );
    await fc.assert(property, { numRuns: 300, seed: 18 });
  });

  test("of a long secret is accepted", async () => {
    const secret = "s".repeat(200);
    const verifier = new SignatureVerifier([{ id: "LONG", secret }], () => NOW);
    expect(refusalOf(await signed({ id: "LONG", secret }), verifier)).toBe("accepted");
  });

  test("holds by the secret of the time: one that its file has replaced holds no more", async () => {
    let secret = KEY.secret;
    const key = {
      id: KEY.id,
      get secret() {
        return secret;
      },
    };
    const verifier = new SignatureVerifier([key], () => NOW);
    expect(refusalOf(await signed(), verifier)).toBe("accepted");
    secret = "another";
    expect(refusalOf(await signed(), verifier)).toBe("InvalidSignatureException");
    expect(refusalOf(await signed({ secret }), verifier)).toBe("accepted");
  });

  test("does not hold over anything that was changed", async () => {
    const request = await signed();
    const authorization = request.headers.get("authorization")!;
    const last = authorization.at(-1) === "0" ? "1" : "0";
    const altered: Record<string, DoorRequest> = {
      body: { ...request, body: Buffer.from("{} ") },
      method: { ...request, method: "PUT" },
      path: { ...request, path: "/other" },
      query: { ...request, query: "a=b" },
      host: changed(request, "host", "other.example:7443"),
      target: changed(request, "x-amz-target", "TrentService.Encrypt"),
      date: changed(request, "x-amz-date", "20261127T120001Z"),
      signature: changed(request, "authorization", authorization.slice(0, -1) + last),
      region: changed(request, "authorization", authorization.replace("eu-central-1", "us-east-1")),
      "content-sha256": changed(request, "x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    };
    for (const [what, each] of Object.entries(altered)) {
      expect([what, refusalOf(each)]).toEqual([what, "InvalidSignatureException"]);
    }
  });

  test("holds for five minutes, before and after, and no longer", async () => {
    const request = await signed();
    expect(refusalOf(request, verifierAt(NOW + 300_000))).toBe("accepted");
    expect(refusalOf(request, verifierAt(NOW - 300_000))).toBe("accepted");
    expect(refusalOf(request, verifierAt(NOW + 300_001))).toBe("InvalidSignatureException");
    expect(refusalOf(request, verifierAt(NOW - 300_001))).toBe("InvalidSignatureException");
  });

  test("covers host, date and target, and each header of AWS's own that was sent", async () => {
    const request = await signed();
    const authorization = request.headers.get("authorization")!;
    for (const name of ["host", "x-amz-date", "x-amz-target", "x-amz-content-sha256"]) {
      const without = authorization.replace(new RegExp(`(;${name}|(?<==)${name};)`), "");
      expect(without).not.toBe(authorization);
      expect([name, refusalOf(changed(request, "authorization", without))]).toEqual([
        name,
        "InvalidSignatureException",
      ]);
    }
    expect(refusalOf(changed(request, "x-amz-security-token", "x"))).toBe("InvalidSignatureException");
    expect(refusalOf(changed(request, "x-amz-date", undefined))).toBe("InvalidSignatureException");
    // A header that says nothing to the door may be added on the way.
    expect(refusalOf(changed(request, "via", "1.1 proxy"))).toBe("accepted");
  });

  test("without a hash of the body in the body's place is refused, whatever the request says", async () => {
    const request = await signed({ headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } });
    expect(refusalOf(request)).toBe("InvalidSignatureException");
  });

  test("of another service, another secret, or an unknown id is refused by its own name", async () => {
    expect(refusalOf(await signed({ service: "s3" }))).toBe("InvalidSignatureException");
    expect(refusalOf(await signed({ secret: "other" }))).toBe("InvalidSignatureException");
    expect(refusalOf(await signed({ id: "AKIDUNKNOWN" }))).toBe("UnrecognizedClientException");
  });

  test("whose scope is of another day than its date is refused", async () => {
    const request = await signed();
    const authorization = request.headers.get("authorization")!.replace("20261127", "20261126");
    expect(refusalOf(changed(request, "authorization", authorization))).toBe("InvalidSignatureException");
  });

  test("that is none is refused", () => {
    for (const text of ["", "AWS4-HMAC-SHA256", "Basic abc", `AWS4-HMAC-SHA256 ${"a".repeat(10_000)}`]) {
      expect(parseSignatureHeader(text)).toBeUndefined();
      expect(refusalOf(requestOf(new Map([["authorization", text]]), Buffer.from("{}")))).toBe(
        "IncompleteSignatureException",
      );
    }
  });
});
