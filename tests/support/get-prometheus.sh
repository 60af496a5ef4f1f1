#!/usr/bin/env bash
# get-prometheus.sh - Prometheus and promtool, for the test that they read the metrics and that the shipped alerts fire.
#
# In:   nothing. ROWHOOK_TEST_PROMETHEUS names a folder that holds both; $CARGO_TARGET_DIR is respected.
# Out:  stdout: the path of the folder with both programs; stderr: progress and trouble; exit 0, or 1.
#
# Looks in this order: ROWHOOK_TEST_PROMETHEUS; both on PATH; else it downloads Debian's package from the mirror that this machine's apt
# uses, and unpacks it into the target folder. Nothing is installed. May be run many times at once. To begin afresh, delete the folder.
set -euo pipefail

say() { printf 'get-prometheus: %s\n' "$*" >&2; }

if [[ -n ${ROWHOOK_TEST_PROMETHEUS-} ]]; then
  printf '%s\n' "$ROWHOOK_TEST_PROMETHEUS"
  exit
fi
if found=$(type -P prometheus) && type -P promtool >/dev/null; then
  dirname -- "$found"
  exit
fi

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${CARGO_TARGET_DIR:-$root/target}/prometheus
mkdir -p -- "$cache"
exec 9>"$cache/lock"
flock 9
if [[ ! -x $cache/usr/bin/promtool ]]; then
  if ! type -P apt-get >/dev/null || ! type -P dpkg-deb >/dev/null; then
    say "install prometheus, or name the folder of its programs in ROWHOOK_TEST_PROMETHEUS"
    exit 1
  fi
  work=$(mktemp -d)
  trap 'rm -rf -- "$work"' EXIT
  mkdir -p "$work"/{state/lists/partial,cache/archives/partial}
  # Lists and caches of its own: the system's may be empty, and need root.
  apt=(apt-get -qq -o "Dir::State=$work/state" -o "Dir::Cache=$work/cache" -o "APT::Sandbox::User=$(id -un)" -o Acquire::Retries=3)
  say "fetching Debian's package list and prometheus"
  "${apt[@]}" update >&2
  (cd -- "$work" && "${apt[@]}" download prometheus >&2)
  dpkg-deb -x "$work"/prometheus_*.deb "$work/unpacked"
  mkdir -p -- "$cache/usr/bin"
  mv -- "$work/unpacked/usr/bin/prometheus" "$work/unpacked/usr/bin/promtool" "$cache/usr/bin/"
fi
printf '%s\n' "$cache/usr/bin"
