#!/usr/bin/env bash
# get-prometheus.sh - Prometheus and promtool, for the test that they read the metrics and that the shipped alerts fire.
#
# In:   nothing. ROWHOOK_TEST_PROMETHEUS names a folder that holds both; $CARGO_TARGET_DIR is respected.
# Out:  stdout: the path of the folder with both programs; stderr: progress and trouble; exit 0, or 1.
#
# Looks in this order: ROWHOOK_TEST_PROMETHEUS; both on PATH; else it downloads Debian's package from the mirror that this machine's apt
# uses, and unpacks it into the target folder. Nothing is installed. May be run many times at once. To begin afresh, delete the folder.
set -euo pipefail

if [[ -n ${ROWHOOK_TEST_PROMETHEUS-} ]]; then
  printf '%s\n' "$ROWHOOK_TEST_PROMETHEUS"
  exit
fi
if found=$(type -P prometheus) && type -P promtool >/dev/null; then
  dirname -- "$found"
  exit
fi

# shellcheck source=tests/support/debian-package.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/debian-package.sh"
from_debian 'get-prometheus: install prometheus, or name the folder of its programs in ROWHOOK_TEST_PROMETHEUS' prometheus prometheus prometheus promtool
printf '%s\n' "$programs"
