#!/bin/bash
# sops with a Transit key: the namespace from the environment, and the tenant in the mount's path. $1: the program.
set -e; cd "$(mktemp -d)"; S="$1 --disable-version-check"
echo 'password: hunter2' > a.yaml
$S -e --hc-vault-transit "$VAULT_ADDR/v1/transit/keys/billing" a.yaml > e.yaml; $S -d e.yaml | grep -q hunter2
$S -r -i e.yaml; $S -d e.yaml | grep -q hunter2
unset VAULT_NAMESPACE
$S -e --hc-vault-transit "$VAULT_ADDR/v1/transit/tenant-a/keys/billing" a.yaml > f.yaml; $S -d f.yaml | grep -q hunter2
echo ok
