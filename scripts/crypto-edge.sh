#!/bin/sh
# `npx crypto-edge …` in a checkout: the program from its source, without a build.
script=$0
while [ -h "$script" ]; do
  target=$(readlink "$script")
  case $target in /*) script=$target ;; *) script=$(dirname "$script")/$target ;; esac
done
root=$(CDPATH='' cd -- "$(dirname -- "$script")/.." && pwd)
exec sh "$root/scripts/bun.sh" "$root/src/main.ts" "$@"
