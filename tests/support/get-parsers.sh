#!/usr/bin/env bash
# get-parsers.sh - the parsers of real web frameworks, for tests of what rowhook sends. Needs Node and npm.
#
# In:   nothing. $CARGO_TARGET_DIR is respected.
# Out:  stdout: the folder that holds node_modules; stderr: progress and trouble; exit 0, or 1.
#
# Ready: returns at once. May be run many times at once. To begin afresh, delete the folder.
set -euo pipefail

packages=(busboy@1.6.0 qs@6.14.0 @xmldom/xmldom@0.9.8)

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${CARGO_TARGET_DIR:-$root/target}/parsers
mkdir -p -- "$cache"
exec 9>"$cache/lock"
flock 9
if [[ $(cat -- "$cache/ready" 2>/dev/null) != "${packages[*]}" ]]; then
  type -P npm >/dev/null || { echo "get-parsers: npm is missing; install Node 18 or later" >&2; exit 1; }
  npm install --no-package-lock --no-audit --no-fund --ignore-scripts --prefix "$cache" "${packages[@]}" >&2
  printf '%s' "${packages[*]}" >"$cache/ready"
fi
printf '%s\n' "$cache"
