"""PyKMIP, unchanged, in one version of KMIP: python pykmip_client.py PORT FOLDER VERSION TLS

FOLDER has ca.pem, client.pem and client.key. PyKMIP 0.11 needs Python before 3.12 (ssl.wrap_socket is gone there)."""
import sys

from kmip.core import enums
from kmip.pie import objects
from kmip.pie.client import ProxyKmipClient
from kmip.pie.exceptions import KmipOperationFailure

port, folder, version, tls = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
kmip_version = enums.KMIPVersion["KMIP_" + version.replace(".", "_")]
AES = enums.CryptographicAlgorithm.AES
CBC = {
    "cryptographic_algorithm": AES,
    "block_cipher_mode": enums.BlockCipherMode.CBC,
    "padding_method": enums.PaddingMethod.PKCS5,
}


def connect():
    return ProxyKmipClient(
        hostname="127.0.0.1",
        port=port,
        cert=folder + "/client.pem",
        key=folder + "/client.key",
        ca=folder + "/ca.pem",
        ssl_version=tls,
        kmip_version=kmip_version,
    )


def refused(reason, call):
    try:
        call()
    except KmipOperationFailure as error:
        assert error.reason == reason, error
        return str(error)
    raise AssertionError("it was not refused")


with connect() as client:
    spoken = client.proxy.socket.version()
    assert spoken == ("TLSv1.2" if tls == "PROTOCOL_TLSv1_2" else "TLSv1.3"), spoken

    # Create, Activate, Get, attributes.
    uid = client.create(AES, 256)
    client.activate(uid)
    key = client.get(uid)
    assert len(key.value) == 32 and key.cryptographic_algorithm == AES, key
    got, attributes = client.get_attributes(uid, ["State", "Cryptographic Length"])
    values = {a.attribute_name.value: a.attribute_value.value for a in attributes}
    assert got == uid and values == {"State": enums.State.ACTIVE, "Cryptographic Length": 256}, values
    names = client.get_attribute_list(uid)
    assert set(names) == {
        "Unique Identifier", "Object Type", "Cryptographic Algorithm", "Cryptographic Length",
        "Cryptographic Usage Mask", "State",
    }, names

    # Secret data, as MongoDB registers it, and a key, as Percona Server for MongoDB does.
    seed = bytes(range(96))
    secret = client.register(objects.SecretData(seed, enums.SecretDataType.SEED))
    assert client.get(secret).value == seed
    master = bytes(range(32))
    percona = client.register(objects.SymmetricKey(AES, 256, master))
    client.activate(percona)
    assert client.get(percona).value == master
    for _ in range(3):
        _, polled = client.get_attributes(percona, ["State"])
        assert [a.attribute_value.value for a in polled] == [enums.State.ACTIVE], polled

    if kmip_version != enums.KMIPVersion.KMIP_1_0:
        data, iv = client.encrypt(b"hello world", uid=uid, cryptographic_parameters=CBC)
        assert client.decrypt(data, uid=uid, cryptographic_parameters=CBC, iv_counter_nonce=iv) == b"hello world"

    refused(enums.ResultReason.ITEM_NOT_FOUND, lambda: client.get("nope"))
    # A secret is no key, whatever it is called.
    refused(enums.ResultReason.ITEM_NOT_FOUND, lambda: client.get("k" + secret[1:]))
    refused(enums.ResultReason.OPERATION_NOT_SUPPORTED, lambda: client.locate())
    said = refused(enums.ResultReason.OPERATION_NOT_SUPPORTED, lambda: client.destroy(uid))
    assert "revoke the version of its service key at the Core" in said, said
    refused(
        enums.ResultReason.OPERATION_NOT_SUPPORTED,
        lambda: client.revoke(enums.RevocationReasonCode.KEY_COMPROMISE, uid),
    )

# Another connection, as after a restart: the identifier is all that was kept.
with connect() as client:
    assert client.get(uid).value == key.value
    assert client.get(secret).value == seed
print("OK", version, uid)
