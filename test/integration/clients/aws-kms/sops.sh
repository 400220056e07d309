#!/bin/bash
# sops with a KMS key ARN, with an alias ARN and a context, and a new data key. $1: the program; $2: the account.
set -e; cd "$(mktemp -d)"; S="$1 --disable-version-check"; arn="arn:aws:kms:us-east-1:$2"
echo 'password: hunter2' > a.yaml
$S -e --kms "$arn:key/tenant-a/billing" a.yaml > e.yaml; $S -d e.yaml | grep -q hunter2
$S -e --kms "$arn:alias/tenant-a/billing" --encryption-context Env:prod a.yaml > f.yaml; $S -d f.yaml | grep -q hunter2
$S -r -i e.yaml; $S -d e.yaml | grep -q hunter2
echo ok
