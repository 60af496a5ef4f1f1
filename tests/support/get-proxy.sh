#!/usr/bin/env bash
# get-proxy.sh - tinyproxy, a real HTTP proxy, for tests of calls that go through one.
#
# In:   nothing. ROWHOOK_TEST_TINYPROXY names a program to use; $CARGO_TARGET_DIR is respected.
# Out:  stdout: the path of the program; stderr: progress and trouble; exit 0, or 1.
#
# Looks in this order: ROWHOOK_TEST_TINYPROXY; tinyproxy on PATH; else it downloads Debian's package from the mirror that this machine's apt
# uses, and unpacks it into the target folder. Nothing is installed. May be run many times at once. To begin afresh, delete the folder.
set -euo pipefail

if [[ -n ${ROWHOOK_TEST_TINYPROXY-} ]]; then
  printf '%s\n' "$ROWHOOK_TEST_TINYPROXY"
  exit
fi
if type -P tinyproxy; then
  exit
fi

# shellcheck source=tests/support/debian-package.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/debian-package.sh"
from_debian 'get-proxy: install tinyproxy, or name one in ROWHOOK_TEST_TINYPROXY' tinyproxy tinyproxy-bin tinyproxy
printf '%s\n' "$programs/tinyproxy"
