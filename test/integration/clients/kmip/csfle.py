"""MongoDB CSFLE with the `kmip` provider: pymongo and libmongocrypt, unchanged; only the key vault, a collection of MongoDB, is a list here.

python csfle.py PORT FOLDER; FOLDER has ca.pem and client-both.pem (certificate and key)."""
import sys

import bson
import pymongo.synchronous.encryption as encryption
from bson import CodecOptions, UuidRepresentation
from bson.binary import STANDARD
from pymongo import MongoClient
from pymongo.encryption import Algorithm, ClientEncryption
from pymongo.errors import EncryptionError

port, folder = sys.argv[1], sys.argv[2]
vault = []
options = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)


def insert(self, data_key):
    vault.append(bytes(data_key))
    identifier = bson.decode(data_key, options)["_id"]
    return identifier if isinstance(identifier, bson.Binary) else bson.Binary.from_uuid(identifier, STANDARD)


encryption._EncryptionIO.insert_data_key = insert
encryption._EncryptionIO.fetch_keys = lambda self, _filter: iter(list(vault))
client = MongoClient("mongodb://127.0.0.1:1/", connect=False, serverSelectionTimeoutMS=500)


def session():
    files = {"tlsCAFile": folder + "/ca.pem", "tlsCertificateKeyFile": folder + "/client-both.pem"}
    return ClientEncryption(
        {"kmip": {"endpoint": f"localhost:{port}"}}, "kv.keys", client, options, kms_tls_options={"kmip": files}
    )


for master_key in ({}, {"delegated": True}):
    vault.clear()
    data_key = session().create_data_key("kmip", master_key=dict(master_key))
    kept = bson.decode(vault[0], options)["masterKey"]
    assert kept["keyId"].startswith("k." if master_key else "s."), kept
    encrypted = session().encrypt("hello", Algorithm.AEAD_AES_256_CBC_HMAC_SHA_512_Random, key_id=data_key)
    assert session().decrypt(encrypted) == "hello"
    # One master key for many data keys.
    vault.clear()
    session().create_data_key("kmip", master_key={k: v for k, v in kept.items() if k != "provider"})
    # Queryable Encryption's own algorithm, on a fresh data key.
    vault.clear()
    data_key = session().create_data_key("kmip", master_key=dict(master_key))
    payload = session().encrypt(
        "hello", Algorithm.INDEXED, key_id=data_key, contention_factor=0, query_type=None
    )
    assert session().decrypt(payload) == "hello"

for master_key in ({"keyId": "nope", "delegated": True}, {"keyId": "nope"}):
    vault.clear()
    try:
        session().create_data_key("kmip", master_key=master_key)
    except EncryptionError as error:
        assert "Item Not Found" in str(error) and "There is no object with this unique identifier" in str(error), error
    else:
        raise AssertionError("an unknown key id was taken")
print("OK")
