#!/usr/bin/env bash
# quickstart.sh [--keep] - see rowhook at work: a MySQL server of its own, a small API that fails at times, rowhook between.
# Needs cargo; MySQL is found or fetched (tests/support/get-mysql.sh). Writes to target/ and temporary folders only.
# Ends by itself within a minute, and ends what it started; --keep leaves it running until Ctrl-C.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

usage() {
  cat <<EOF
usage: ./quickstart.sh [--keep]
  A MySQL server, a small API and rowhook between them, for some ten seconds.
  --keep   leave them running until Ctrl-C, to write rows of your own
EOF
}
case "$*" in
  '' | --keep) ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
esac
if ! command -v cargo >/dev/null; then
  echo "quickstart: cargo not found. Install Rust, 1.90 or later: https://rustup.rs" >&2
  exit 1
fi

tests/support/get-mysql.sh >/dev/null
# Quick to build rather than quick to run. The first time takes some minutes, and cargo shows how far it is.
cargo build --locked --bin rowhook --example quickstart
exec cargo run --quiet --locked --example quickstart -- "$@"
