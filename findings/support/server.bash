# Sourced by the findings: a MySQL server of its own in a temporary folder, ended with the script.
#
# In:  options for mysqld. Out: `sql STATEMENTS` prints rows without names, `mysqlbinlog ARGUMENTS` reads the server's log,
# `expect WHAT GOT WANTED` fails the script when they differ. The server is Debian's package; the findings were measured
# with the version that `measured` names, and say so when it is another one.
set -euo pipefail

folder=$(mktemp -d)
here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
mysql=$(bash "$here/../../tests/support/get-mysql.sh" "$folder/mysql")
server=
trap '[[ -z $server ]] || { kill "$server"; wait "$server" || true; }; rm -rf "$folder"' EXIT

start() {
  cp -a "$mysql/data-template" "$folder/data"
  "$mysql/bin/mysqld" --datadir="$folder/data" --socket="$folder/socket" --skip-networking --mysqlx=OFF \
    --secure-file-priv= --log-error="$folder/log" "$@" >/dev/null 2>&1 &
  server=$!
  for _ in $(seq 150); do
    "$mysql/bin/mysql" -uroot --socket="$folder/socket" -e 'SELECT 1' >/dev/null 2>&1 && break
    sleep 0.2
  done
  local version
  version=$(sql 'SELECT @@version')
  echo "MySQL $version"
  [[ $version == "$measured"* ]] || echo "measured with $measured"
}

sql() { "$mysql/bin/mysql" -uroot --socket="$folder/socket" --default-character-set=utf8mb4 -N -e "$1"; }

mysqlbinlog() { "$mysql/bin/mysqlbinlog" -uroot --socket="$folder/socket" "$@"; }

expect() {
  echo "$1: $2"
  [[ $2 == "$3" ]] || { echo "CHANGED: expected $3" >&2; exit 1; }
}
