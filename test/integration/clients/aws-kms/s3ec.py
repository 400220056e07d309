# Amazon S3 Encryption Client: an object put and got. The bucket is a dictionary behind two methods of HTTP; the KMS calls are the client's own.
import boto3, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring
store = {}
class Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_PUT(self):
        meta = {k: v for k, v in self.headers.items() if k.lower().startswith("x-amz-meta-")}
        store[self.path.split("?")[0]] = (self.rfile.read(int(self.headers["Content-Length"])), meta); self.answer(200, b"", {"ETag": '"1"'})
    def do_GET(self):
        body, meta = store[self.path.split("?")[0]]; self.answer(200, body, {"ETag": '"1"', **meta})
    def answer(self, status, body, headers):
        self.send_response(status)
        for k, v in {"Content-Length": str(len(body)), **headers}.items(): self.send_header(k, v)
        self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket); threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
def new(key): return S3EncryptionClient(boto3.client("s3", endpoint_url="http://127.0.0.1:%d" % server.server_port), S3EncryptionClientConfig(keyring=KmsKeyring(boto3.client("kms"), key)))
for key in (os.environ["KMS_ARN"], os.environ["KMS_KEY"]):
    new(key).put_object(Bucket="b", Key="o", Body=b"secret data")
    assert b"secret data" not in store["/b/o"][0]
    assert new(key).get_object(Bucket="b", Key="o")["Body"].read() == b"secret data"
    print(sorted(store["/b/o"][1]))
blob, meta = store["/b/o"]; store["/b/o"] = (blob[:-1] + bytes([blob[-1] ^ 1]), meta)
try: new(key).get_object(Bucket="b", Key="o")["Body"].read()
except Exception as x: print(type(x).__name__, x)
else: raise SystemExit("altered: no error")
