# One step of a drill whose other steps are the Core's: make, open, or fail in the way that is expected.
import boto3, json, os, sys
from base64 import b64decode, b64encode
from botocore.config import Config
config = Config(client_cert=(os.environ["CLIENT_CERT"], os.environ["CLIENT_KEY"])) if os.environ.get("CLIENT_CERT") else None
k = boto3.client("kms", config=config)
step, key, ctx = sys.argv[1], sys.argv[2], {"invoice": "4711"}
if step == "make":
    g = k.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=ctx)
    e = k.encrypt(KeyId=key, Plaintext=b"value", EncryptionContext=ctx)
    json.dump({"key": b64encode(g["CiphertextBlob"]).decode(), "plaintext": b64encode(g["Plaintext"]).decode(), "value": b64encode(e["CiphertextBlob"]).decode()}, open(sys.argv[3], "w"))
elif step == "open":
    was = json.load(open(sys.argv[3])); blob = b64decode(was["key"])
    assert k.decrypt(CiphertextBlob=blob, EncryptionContext=ctx)["Plaintext"] == b64decode(was["plaintext"])
    assert k.decrypt(CiphertextBlob=b64decode(was["value"]), EncryptionContext=ctx, KeyId=key)["Plaintext"] == b"value"
    new = k.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=ctx, DestinationKeyId=key, DestinationEncryptionContext=ctx)["CiphertextBlob"]
    assert k.decrypt(CiphertextBlob=new, EncryptionContext=ctx)["Plaintext"] == b64decode(was["plaintext"])
    assert (blob[7], new[7]) == (1, 2), (blob[7], new[7])
elif step == "fail":
    name, retries = sys.argv[3], int(sys.argv[4])
    try: k.generate_data_key(KeyId=key, KeySpec="AES_256")
    except Exception as x:
        got = x.response["Error"]["Code"], x.response["ResponseMetadata"]["RetryAttempts"]
        assert got == (name, retries), got
        typed = getattr(k.exceptions, name, None) if name in dir(k.exceptions) else None
        assert typed is None or isinstance(x, typed)
        print(type(x).__name__, x)
    else: raise SystemExit("no error")
elif step == "who":
    k.generate_data_key(KeyId=key, KeySpec="AES_256"); k.describe_key(KeyId=key)
print(step, "ok")
