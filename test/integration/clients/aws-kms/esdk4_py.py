# AWS Encryption SDK for Python 4 with the Material Providers Library (keyrings)
import boto3, os, aws_encryption_sdk
from aws_encryption_sdk import CommitmentPolicy
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import CreateAwsKmsKeyringInput, CreateAwsKmsMultiKeyringInput, CreateAwsKmsDiscoveryKeyringInput, CreateAwsKmsMrkKeyringInput
c = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
m = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig()); k = boto3.client("kms"); arn = os.environ["KMS_ARN"]
for name, kr in [("kms", m.create_aws_kms_keyring(CreateAwsKmsKeyringInput(kms_key_id=arn, kms_client=k))), ("mrk", m.create_aws_kms_mrk_keyring(CreateAwsKmsMrkKeyringInput(kms_key_id=arn, kms_client=k))),
    ("multi", m.create_aws_kms_multi_keyring(CreateAwsKmsMultiKeyringInput(generator=arn, kms_key_ids=[arn.replace("tenant-a/billing", "tenant-a/payments")])))]:
    ct, h = c.encrypt(source=b"hello", keyring=kr, encryption_context={"x": "y"})
    pt, _ = c.decrypt(source=ct, keyring=kr, encryption_context={"x": "y"}); assert pt == b"hello"; print(name, "ok", [e.key_provider.key_info for e in h.encrypted_data_keys])
d = m.create_aws_kms_discovery_keyring(CreateAwsKmsDiscoveryKeyringInput(kms_client=k)); print("discovery", c.decrypt(source=ct, keyring=d)[0])
