#!/bin/bash
# The AWS CLI, as the README shows it. $1: the program.
set -e; cd "$(mktemp -d)"; aws=("$@")
"${aws[@]}" kms generate-data-key --key-id alias/tenant-a/billing --key-spec AES_256 --encryption-context invoice=4711 --query CiphertextBlob --output text | base64 -d > key.bin
"${aws[@]}" kms decrypt --ciphertext-blob fileb://key.bin --encryption-context invoice=4711 --query Plaintext --output text | base64 -d | wc -c | grep -qx 32
printf 'the value' > value; "${aws[@]}" kms encrypt --key-id alias/my-app --plaintext fileb://value --query CiphertextBlob --output text | base64 -d > value.bin
[ "$("${aws[@]}" kms decrypt --ciphertext-blob fileb://value.bin --query Plaintext --output text | base64 -d)" = "the value" ]
"${aws[@]}" kms describe-key --key-id alias/tenant-a/billing --query KeyMetadata.KeyState --output text | grep -qx Enabled
if "${aws[@]}" kms decrypt --ciphertext-blob fileb://key.bin 2> error; then exit 1; fi; grep -q InvalidCiphertextException error
"${aws[@]}" kms generate-data-key --no-sign-request --key-id alias/tenant-a/billing --key-spec AES_128 > /dev/null
echo ok
