# One step of a drill whose other steps are the Core's: make, open, or fail in the way that is expected; or a login.
import hvac, os, sys, json
from base64 import b64encode
cert = (os.environ["CLIENT_CERT"], os.environ["CLIENT_KEY"]) if os.environ.get("CLIENT_CERT") else None
c = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ.get("VAULT_TOKEN"), namespace=os.environ["VAULT_NAMESPACE"], verify=os.environ.get("VAULT_CACERT", True), cert=cert)
t = c.secrets.transit; step, key = sys.argv[1], sys.argv[2]; value = b64encode(b"value").decode()
if step == "make":
    json.dump({"value": t.encrypt_data(name=key, plaintext=value, associated_data=value)["data"]["ciphertext"], "key": t.generate_data_key(name=key, key_type="plaintext")["data"]}, open(sys.argv[3], "w"))
elif step == "open":
    was = json.load(open(sys.argv[3]))
    assert was["value"].startswith("vault:v1:"), was["value"][:12]
    assert t.decrypt_data(name=key, ciphertext=was["value"], associated_data=value)["data"]["plaintext"] == value
    assert t.decrypt_data(name=key, ciphertext=was["key"]["ciphertext"])["data"]["plaintext"] == was["key"]["plaintext"]
    new = t.rewrap_data(name=key, ciphertext=was["key"]["ciphertext"])["data"]; assert new["ciphertext"].startswith("vault:v2:"), new["ciphertext"][:12]
    assert t.decrypt_data(name=key, ciphertext=new["ciphertext"])["data"]["plaintext"] == was["key"]["plaintext"]
    assert t.read_key(name=key)["data"]["latest_version"] == 2
elif step == "fail":
    try: t.encrypt_data(name=key, plaintext=value)
    except Exception as x:
        assert type(x).__name__ == sys.argv[3], type(x).__name__
        print(type(x).__name__, x)
    else: raise SystemExit("no error")
elif step == "jwt":
    auth = c.auth.jwt.jwt_login("any-role", os.environ["JWT"])["auth"]; c.token = auth["client_token"]; assert 0 < auth["lease_duration"] <= 7200
    assert c.is_authenticated() and c.lookup_token()["data"]["display_name"] == "token:billing-service"
    t.encrypt_data(name=key, plaintext=value)
    try: hvac.Client(url=os.environ["VAULT_ADDR"], verify=os.environ["VAULT_CACERT"]).auth.jwt.jwt_login("any-role", os.environ["JWT"][:-8] + "AAAAAAAA"); raise SystemExit("no error")
    except hvac.exceptions.Forbidden as x: print("altered token:", x)
elif step == "cert":
    c.token = c.auth.cert.login(cert_pem=cert[0], key_pem=cert[1])["auth"]["client_token"]; t.encrypt_data(name=key, plaintext=value); print(c.lookup_token()["data"]["display_name"])
print(step, "ok")
