"""What a database that polls sees: python state.py PORT FOLDER create|poll|get|revoke [UID [REASON]]"""
import sys

from kmip.core import enums
from kmip.pie.client import ProxyKmipClient

port, folder, what, rest = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
client = ProxyKmipClient(
    hostname="127.0.0.1", port=port, cert=folder + "/client.pem", key=folder + "/client.key", ca=folder + "/ca.pem",
    kmip_version=enums.KMIPVersion.KMIP_1_0,
)
with client:
    try:
        if what == "create":
            print(client.create(enums.CryptographicAlgorithm.AES, 256))
        elif what == "poll":
            print(client.get_attributes(rest[0], ["State"])[1][0].attribute_value.value.name)
        elif what == "get":
            print(len(client.get(rest[0]).value))
        elif what == "revoke":
            client.revoke(enums.RevocationReasonCode[rest[1]], rest[0], "by the test")
            print("revoked")
    except Exception as error:
        print(type(error).__name__, getattr(error, "reason", ""), error)
