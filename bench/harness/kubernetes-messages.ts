/** The requests of Kubernetes' KMS plugin API, as short as the bench needs them. */

/** Of at most 127 bytes. */
export function writeEncryptRequest(plaintext: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x0a, plaintext.length]), plaintext]);
}

/** From the message that answered an Encrypt: its first two fields, ciphertext and key id, are wanted as fields 1 and 3. */
export function writeDecryptRequest(encryptResponse: Buffer): Buffer {
  let offset = 1;
  let length = encryptResponse[offset++]!;
  if (length > 0x7f) length = (length & 0x7f) | (encryptResponse[offset++]! << 7);
  const end = offset + length;
  const keyId = encryptResponse.subarray(end + 2, end + 2 + encryptResponse[end + 1]!);
  return Buffer.concat([encryptResponse.subarray(0, end), Buffer.from([0x1a, keyId.length]), keyId]);
}
