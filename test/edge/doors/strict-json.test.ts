/** Every door that speaks JSON reads it as strictly as the native one: what two readers would take for two things is refused. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type DoorEdge, startDoorEdge } from "../../support/door-edge.ts";

let edge: DoorEdge;
beforeAll(async () => {
  edge = await startDoorEdge({
    listeners: `  - { http: "127.0.0.1:0", principal: local, doors: [native, aws-kms, vault-transit] }
  - { http: "127.0.0.1:0", principal: local, doors: [kes] }`,
    doors: `{ kes: { keys: { a: { tenant: tenant-a, service: billing } } } }`,
  });
});
afterAll(() => edge.close());

const DOORS: Readonly<
  Record<string, { path: string; headers: Record<string, string>; good: string; twice: string[] }>
> = {
  "aws-kms": {
    path: "/",
    headers: { "content-type": "application/x-amz-json-1.1", "x-amz-target": "TrentService.GenerateDataKey" },
    good: '{"KeyId":"alias/tenant-a/billing","KeySpec":"AES_256","EncryptionContext":{"a":"b"}}',
    twice: ['"KeyId":"alias/tenant-b/billing",', '"EncryptionContext":{"x":"1","\\u0078":"2"},'],
  },
  "vault-transit": {
    path: "/v1/tenant-a/transit/encrypt/billing",
    headers: { "content-type": "application/json", "x-vault-request": "true" },
    good: '{"plaintext":"aGk=","x":{"a":"b"}}',
    twice: ['"plaintext":"aGk2",', '"batch_input":[{"plaintext":"aGk=","plaintext":"aGk2"}],'],
  },
  kes: {
    path: "/v1/key/encrypt/a",
    headers: { "content-type": "application/json" },
    good: '{"plaintext":"aGk=","x":{"a":"b"}}',
    twice: ['"plaintext":"aGk2",', '"x":{"b":1,"b":2},'],
  },
};

for (const [door, { path, headers, good, twice }] of Object.entries(DOORS)) {
  test(`${door} refuses a member twice, and what is not UTF-8`, async () => {
    const send = async (body: string | Uint8Array) => {
      const response = await fetch(`${edge.urls[door === "kes" ? 1 : 0]}${path}`, {
        method: "POST",
        headers,
        body: body as BodyInit,
      });
      await response.arrayBuffer();
      return response.status;
    };
    expect(await send(good)).toBe(200);
    // Once more with room for a body that is read in turns.
    for (const padding of ["", `"pad":"${"A".repeat(100_000)}",`]) {
      if (padding !== "" && door === "aws-kms") continue;
      expect(await send(good.replace("{", `{${padding}`))).toBe(200);
      for (const members of twice)
        expect([members, await send(good.replace("{", `{${padding}${members}`))]).toEqual([members, 400]);
      const bytes = Buffer.from(good.replace("{", `{${padding}`));
      bytes[bytes.lastIndexOf('"b"') + 1] = 0xff;
      expect(await send(bytes)).toBe(400);
    }
  });
}
