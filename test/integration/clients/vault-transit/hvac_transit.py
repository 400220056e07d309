import hvac, os, base64
c = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"], verify=os.environ.get("VAULT_CACERT", True), namespace=os.environ.get("VAULT_NAMESPACE"))
key = os.environ["TRANSIT_KEY"]; b = lambda x: base64.b64encode(x).decode(); t = c.secrets.transit
print("authenticated", c.is_authenticated())
e = t.encrypt_data(name=key, plaintext=b(b"k" * 32)); print(e["data"]["ciphertext"][:20], e["data"].get("key_version"))
assert t.decrypt_data(name=key, ciphertext=e["data"]["ciphertext"])["data"]["plaintext"] == b(b"k" * 32)
r = t.rewrap_data(name=key, ciphertext=e["data"]["ciphertext"])["data"]; print("rewrap", r["ciphertext"][:20])
e = t.encrypt_data(name=key, plaintext=b(b"k" * 32), context=b(b"ctx"), associated_data=b(b"ad"))["data"]
assert t.decrypt_data(name=key, ciphertext=e["ciphertext"], context=b(b"ctx"), associated_data=b(b"ad"))["data"]["plaintext"] == b(b"k" * 32)
d = t.generate_data_key(name=key, key_type="plaintext", context=b(b"ctx"), bits=256)["data"]; print("datakey", sorted(d))
t.generate_data_key(name=key, key_type="wrapped")
bi = t.encrypt_data(name=key, batch_input=[{"plaintext": b(b"k" * 16)}, {"plaintext": b(b"k" * 64), "context": b(b"c")}])["data"]["batch_results"]
print("batch", [x["ciphertext"][:12] for x in bi])
print("batch decrypt", len(t.decrypt_data(name=key, ciphertext="", batch_input=[{"ciphertext": bi[0]["ciphertext"]}, {"ciphertext": bi[1]["ciphertext"], "context": b(b"c")}])["data"]["batch_results"]))
print("read", t.read_key(name=key)["data"]["latest_version"], "list", t.list_keys()["data"]["keys"])
print("health", c.sys.read_health_status(method="GET")["version"], c.sys.is_sealed())
for n, f in [("wrong context", lambda: t.decrypt_data(name=key, ciphertext=e["ciphertext"])), ("rubbish", lambda: t.decrypt_data(name=key, ciphertext="vault:v1:AAAA")), ("rotate", lambda: t.rotate_key(name=key)), ("nosuch", lambda: t.read_key(name="nosuch.x")), ("batch partial", lambda: t.decrypt_data(name=key, ciphertext="", batch_input=[{"ciphertext": bi[0]["ciphertext"]}, {"ciphertext": "vault:v1:AAAA"}]))]:
    try: f(); raise SystemExit(n + ": no error")
    except Exception as x: print(n, "->", type(x).__name__, str(x).replace("\n", " ")[:160]); got = type(x).__name__
    assert got in {"wrong context": ["InvalidRequest"], "rubbish": ["InvalidRequest"], "rotate": ["Forbidden", "UnexpectedError"], "nosuch": ["InvalidPath", "Forbidden"], "batch partial": ["InvalidRequest"]}[n], (n, got)
try: c.auth.approle.login("app-role", "sid"); raise SystemExit("approle: no error")
except hvac.exceptions.Forbidden as x: print("approle ->", x)
try: c.secrets.transit.encrypt_data(name="forbidden", plaintext=b(b"x")); raise SystemExit("denied: no error")
except hvac.exceptions.Forbidden as x: print("denied ->", x)
