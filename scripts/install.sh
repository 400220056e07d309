#!/bin/sh
# Installs what the lock file names, if that has not been done. Needs Node 20 with npm, or any Bun.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
stamp="$root/node_modules/.installed-lock"
lock=$(cksum <"$root/package-lock.json")

[ "$(cat "$stamp" 2>/dev/null || true)" != "$lock" ] || exit 0
echo "installing the locked dependencies (once)…" >&2
if command -v npm >/dev/null 2>&1; then
  (cd "$root" && npm ci --no-audit --no-fund --loglevel=error >&2)
elif command -v bun >/dev/null 2>&1; then
  # Native addons (the pkcs11 plugin's) are built by npm only.
  (cd "$root" && bun install --no-save --ignore-scripts >&2)
else
  echo "neither npm nor bun is here: install Node 20 with npm, and start again" >&2
  exit 1
fi
printf '%s' "$lock" >"$stamp"
