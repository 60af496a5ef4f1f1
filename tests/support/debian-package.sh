# debian-package.sh - programs of one Debian package, for the scripts that find or fetch what tests need. To be sourced, by bash with
# `set -euo pipefail`.
#
# from_debian INSTEAD FOLDER PACKAGE PROGRAM...
#   Downloads PACKAGE from the mirror that this machine's apt uses, and puts usr/bin/PROGRAM of it into FOLDER in the target folder
#   ($CARGO_TARGET_DIR is respected), unless an earlier run did. Sets programs to the path of the folder that holds them. Nothing is
#   installed. May be run many times at once, and be interrupted. Where this machine is not Debian's, it says INSTEAD, and exits with 1.
from_debian() {
  local instead=$1 folder=$2 package=$3 root cache program missing='' work apt
  shift 3
  root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
  cache=${CARGO_TARGET_DIR:-$root/target}/$folder
  programs=$cache/usr/bin
  mkdir -p -- "$programs"
  exec 9>"$cache/lock"
  flock 9
  for program; do
    [[ -x $programs/$program ]] || missing=yes
  done
  [[ -n $missing ]] || return 0
  if ! type -P apt-get >/dev/null || ! type -P dpkg-deb >/dev/null; then
    printf '%s\n' "$instead" >&2
    exit 1
  fi
  # Beside the programs, so that each is there whole or not at all; the lock says that no other run is at work.
  work=$cache/work
  rm -rf -- "$work"
  mkdir -p "$work"/{state/lists/partial,cache/archives/partial}
  # Lists and caches of its own: the system's may be empty, and need root.
  apt=(apt-get -qq -o "Dir::State=$work/state" -o "Dir::Cache=$work/cache" -o "APT::Sandbox::User=$(id -un)" -o Acquire::Retries=3)
  printf "fetching Debian's package list and %s\n" "$package" >&2
  "${apt[@]}" update >&2
  (cd -- "$work" && "${apt[@]}" download "$package" >&2)
  dpkg-deb -x "$work/$package"_*.deb "$work/unpacked"
  for program; do
    mv -- "$work/unpacked/usr/bin/$program" "$programs/"
  done
  rm -rf -- "$work"
}
