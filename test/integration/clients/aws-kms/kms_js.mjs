// AWS SDK for JavaScript v3: an ordinary session and its errors; or, with arguments, one error that is expected.
import assert from "node:assert";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENT_MODULES}/x.js`);
const K = require("@aws-sdk/client-kms");
const kms = new K.KMSClient({});
const KeyId = process.argv[2] ?? process.env.KMS_KEY;
const EncryptionContext = { invoice: "4711", a: "ü" };
const make = () => kms.send(new K.GenerateDataKeyCommand({ KeyId, KeySpec: "AES_256", EncryptionContext }));

async function fails(name, attempts, run) {
  const error = await run().then(
    () => assert.fail(`${name}: no error`),
    (error) => error,
  );
  assert.deepEqual([error.name, error.$metadata.attempts], [name, attempts]);
  assert(error instanceof K.KMSServiceException);
  if (K[name] !== undefined) assert(error instanceof K[name]);
  console.log(name, error.message);
}

if (process.argv[3] === "made") await make();
else if (process.argv[3] !== undefined) await fails(process.argv[3], Number(process.argv[4]), make);
else {
  const made = await make();
  const opened = await kms.send(new K.DecryptCommand({ CiphertextBlob: made.CiphertextBlob, EncryptionContext }));
  assert.deepEqual(opened.Plaintext, made.Plaintext);
  assert.equal(opened.KeyId, made.KeyId);
  const value = await kms.send(new K.EncryptCommand({ KeyId, Plaintext: Buffer.from("value") }));
  const moved = await kms.send(
    new K.ReEncryptCommand({
      CiphertextBlob: value.CiphertextBlob,
      DestinationKeyId: KeyId,
      DestinationEncryptionContext: { a: "b" },
    }),
  );
  const back = await kms.send(
    new K.DecryptCommand({ CiphertextBlob: moved.CiphertextBlob, EncryptionContext: { a: "b" }, KeyId }),
  );
  assert.equal(Buffer.from(back.Plaintext).toString(), "value");
  await fails("InvalidCiphertextException", 1, () =>
    kms.send(new K.DecryptCommand({ CiphertextBlob: made.CiphertextBlob })),
  );
  await fails("NotFoundException", 1, () => kms.send(new K.DescribeKeyCommand({ KeyId: "alias/nosuch/x" })));
  await fails("UnsupportedOperationException", 1, () => kms.send(new K.CreateKeyCommand({})));
  await fails("IncorrectKeyException", 1, () =>
    kms.send(
      new K.DecryptCommand({
        CiphertextBlob: moved.CiphertextBlob,
        EncryptionContext: { a: "b" },
        KeyId: "tenant-a/payments",
      }),
    ),
  );
}
console.log("ok");
