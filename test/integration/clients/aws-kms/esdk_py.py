import aws_encryption_sdk, os, boto3
from aws_encryption_sdk import CommitmentPolicy
c = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
arn = os.environ["KMS_ARN"]
for ids in ([arn], [arn, arn.replace("tenant-a/billing", "tenant-a/payments")]):
    p = aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(key_ids=ids)
    ct, h = c.encrypt(source=b"hello" * 100, key_provider=p, encryption_context={"x": "y"})
    pt, h = c.decrypt(source=ct, key_provider=aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(key_ids=[arn])); assert pt == b"hello" * 100
    print("strict", len(ids), "ok", [k.key_provider.key_info.decode() for k in h.encrypted_data_keys], h.encryption_context)
pt, h = c.decrypt(source=ct, key_provider=aws_encryption_sdk.DiscoveryAwsKmsMasterKeyProvider()); print("discovery ok")
pt, h = c.decrypt(source=ct, key_provider=aws_encryption_sdk.DiscoveryAwsKmsMasterKeyProvider(discovery_filter=__import__("aws_encryption_sdk").key_providers.kms.DiscoveryFilter(account_ids=[os.environ["ACCOUNT"]], partition="aws"))); print("discovery with filter ok")
if os.environ.get("ALIAS"):
    p = aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(key_ids=[os.environ["KMS_KEY"]])
    ct, h = c.encrypt(source=b"hello", key_provider=p); print("alias encrypt ok", [k.key_provider.key_info for k in h.encrypted_data_keys])
