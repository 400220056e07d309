#!/bin/sh
# Runs the pinned Bun with the given arguments, and first installs what the lock file names if that has not been done.
# Needs Node 20 with npm, or any Bun.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/scripts/install.sh"

bun="$root/node_modules/.bin/bun"
# Without npm nothing has put the pinned Bun in its place: the one that is there must do.
"$bun" --version >/dev/null 2>&1 || bun=$(command -v bun)
export PATH="$root/node_modules/.bin:$PATH"

# A test may take two minutes: some start servers, and the machine may be busy. bunfig.toml has no such setting, and Bun's own
# limit is 5 seconds. A later --timeout takes this one's place.
if [ "${1-}" = test ]; then
  shift
  set -- test --timeout=120000 "$@"
fi
exec "$bun" "$@"
