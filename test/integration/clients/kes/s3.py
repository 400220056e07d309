"""S3 calls at a MinIO server whose KMS is a KES server: python s3.py URL session|again|denied BUCKET

session: SSE-S3, SSE-KMS, bucket encryption, copies, multipart; again: reads what the session has left; denied: it can't any more."""
import base64
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, what, bucket = sys.argv[1:4]
s3 = boto3.client(
    "s3",
    endpoint_url=url,
    aws_access_key_id="minioadmin",
    aws_secret_access_key="minioadmin",
    region_name="us-east-1",
    config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}),
)
KEY = "minio-default"


def body(key, **more):
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def refused(code, call):
    try:
        call()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert status == code, (status, error)
        return
    raise AssertionError("it was not refused")


def session():
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="plain", Body=b"x")
    put = s3.put_object(Bucket=bucket, Key="sse-s3", Body=b"hello", ServerSideEncryption="AES256")
    assert put["ServerSideEncryption"] == "AES256"
    assert body("sse-s3") == b"hello"
    assert s3.head_object(Bucket=bucket, Key="sse-s3")["ContentLength"] == 5
    put = s3.put_object(Bucket=bucket, Key="kms", Body=b"hello", ServerSideEncryption="aws:kms")
    assert put["SSEKMSKeyId"].endswith(KEY), put
    context = base64.b64encode(json.dumps({"app": "x"}).encode()).decode()
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY}
    s3.put_object(Bucket=bucket, Key="kms-context", Body=b"hello", SSEKMSEncryptionContext=context, **kms)
    assert body("kms-context") == b"hello"
    assert body("kms-context", Range="bytes=1-2") == b"el"
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 4
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/kms", **kms)
    assert body("copy") == b"hello"

    unknown = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "no-such-key"}
    refused(404, lambda: s3.put_object(Bucket=bucket, Key="no", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="no-such-key"))
    rule = lambda by: {"Rules": [{"ApplyServerSideEncryptionByDefault": by}]}
    refused(404, lambda: s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule(unknown)))
    known = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rule(known))
    put = s3.put_object(Bucket=bucket, Key="by-default", Body=b"hello")
    assert put["ServerSideEncryption"] == "aws:kms", put

    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts", **kms)["UploadId"]
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=n, Body=part)["ETag"]}
        for n, part in ((1, b"a" * (5 << 20)), (2, b"b" * 10))
    ]
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    again()
    s3.delete_object(Bucket=bucket, Key="kms-context")


def again():
    for key in ("sse-s3", "kms", "copy", "by-default"):
        assert body(key) == b"hello", key
    assert len(body("parts")) == (5 << 20) + 10
    s3.put_object(Bucket=bucket, Key="later", Body=b"hello")
    assert body("later") == b"hello"
    assert "later" in [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]


def denied():
    assert body("plain") == b"x"
    for key in ("sse-s3", "kms", "copy", "by-default", "parts"):
        refused(403, lambda: body(key))


{"session": session, "again": again, "denied": denied}[what]()
print("OK", what)
