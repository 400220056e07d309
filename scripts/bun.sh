#!/bin/sh
# Runs the pinned Bun with the given arguments, and first installs what the lock file names if that has not been done.
# Needs Node 20 with npm, or any Bun.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
stamp="$root/node_modules/.installed-lock"
lock=$(cksum <"$root/package-lock.json")

if [ "$(cat "$stamp" 2>/dev/null || true)" != "$lock" ]; then
  echo "installing the locked dependencies (once)…" >&2
  if command -v npm >/dev/null 2>&1; then
    (cd "$root" && npm ci --no-audit --no-fund --loglevel=error >&2)
  else
    # Native addons (the pkcs11 plugin's) are built by npm only.
    (cd "$root" && bun install --no-save --ignore-scripts >&2)
  fi
  printf '%s' "$lock" >"$stamp"
fi

bun="$root/node_modules/.bin/bun"
# Without npm nothing has put the pinned Bun in its place: the one that is there must do.
"$bun" --version >/dev/null 2>&1 || bun=$(command -v bun)
export PATH="$root/node_modules/.bin:$PATH"
exec "$bun" "$@"
