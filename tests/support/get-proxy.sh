#!/usr/bin/env bash
# get-proxy.sh - tinyproxy, a real HTTP proxy, for tests of calls that go through one.
#
# In:   nothing. ROWHOOK_TEST_TINYPROXY names a program to use; $CARGO_TARGET_DIR is respected.
# Out:  stdout: the path of the program; stderr: progress and trouble; exit 0, or 1.
#
# Looks in this order: ROWHOOK_TEST_TINYPROXY; tinyproxy on PATH; else it downloads Debian's package from the mirror that this machine's apt
# uses, and unpacks it into the target folder. Nothing is installed. May be run many times at once. To begin afresh, delete the folder.
set -euo pipefail

say() { printf 'get-proxy: %s\n' "$*" >&2; }

if [[ -n ${ROWHOOK_TEST_TINYPROXY-} ]]; then
  printf '%s\n' "$ROWHOOK_TEST_TINYPROXY"
  exit
fi
if type -P tinyproxy; then
  exit
fi

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${CARGO_TARGET_DIR:-$root/target}/tinyproxy
program=$cache/usr/bin/tinyproxy
mkdir -p -- "$cache"
exec 9>"$cache/lock"
flock 9
if [[ ! -x $program ]]; then
  if ! type -P apt-get >/dev/null || ! type -P dpkg-deb >/dev/null; then
    say "install tinyproxy, or name one in ROWHOOK_TEST_TINYPROXY"
    exit 1
  fi
  work=$(mktemp -d)
  trap 'rm -rf -- "$work"' EXIT
  mkdir -p "$work"/{state/lists/partial,cache/archives/partial}
  # Lists and caches of its own: the system's may be empty, and need root.
  apt=(apt-get -qq -o "Dir::State=$work/state" -o "Dir::Cache=$work/cache" -o "APT::Sandbox::User=$(id -un)" -o Acquire::Retries=3)
  say "fetching Debian's package list and tinyproxy"
  "${apt[@]}" update >&2
  (cd -- "$work" && "${apt[@]}" download tinyproxy-bin >&2)
  dpkg-deb -x "$work"/tinyproxy-bin_*.deb "$work/unpacked"
  mkdir -p -- "$cache/usr/bin"
  mv -- "$work/unpacked/usr/bin/tinyproxy" "$program"
fi
printf '%s\n' "$program"
