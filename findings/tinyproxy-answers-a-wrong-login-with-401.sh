#!/usr/bin/env bash
# tinyproxy answers a CONNECT without a login with 407, and one with a wrong login with 401.
#
# RFC 9110 (section 15.5.8) has 407 for both: 401 is the answer of the server behind the proxy, which was not asked yet. A
# client that tells the two apart by the status blames the API for a wrong password of the proxy.
set -euo pipefail

measured=1.11.1
folder=$(mktemp -d)
proxy=
trap '[[ -z $proxy ]] || { kill "$proxy"; wait "$proxy" || true; }; rm -rf "$folder"' EXIT

mkdir -p "$folder"/{state/lists/partial,cache/archives/partial}
apt=(apt-get -qq -o "Dir::State=$folder/state" -o "Dir::Cache=$folder/cache" -o "APT::Sandbox::User=$(id -un)")
"${apt[@]}" update
(cd -- "$folder" && "${apt[@]}" download tinyproxy-bin)
dpkg-deb -x "$folder"/tinyproxy-bin_*.deb "$folder/unpacked"
tinyproxy=$folder/unpacked/usr/bin/tinyproxy
version=$("$tinyproxy" -v)
echo "$version"
[[ $version == *"$measured"* ]] || echo "measured with $measured"

port=$((20000 + RANDOM % 10000))
printf 'Port %s\nListen 127.0.0.1\nAllow 127.0.0.1\nBasicAuth me right-password\nLogLevel Critical\nLogFile "%s"\n' \
  "$port" "$folder/log" >"$folder/settings"
"$tinyproxy" -d -c "$folder/settings" >/dev/null 2>&1 &
proxy=$!

# The status line and the challenge of the answer to a CONNECT with this header.
ask() {
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  printf 'CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n%s\r\n' "$1" >&3
  timeout 10 cat <&3 | tr -d '\r' | sed -n 's/^HTTP[^ ]* //p; s/^\([A-Za-z]*-Authenticate\): .*/\1/p' | paste -sd,
  exec 3>&-
}

expect() {
  echo "$1: $2"
  [[ $2 == "$3" ]] || { echo "CHANGED: expected $3" >&2; exit 1; }
}

for _ in $(seq 50); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.2; done
expect 'no login' "$(ask '')" '407 Proxy Authentication Required,Proxy-Authenticate'
wrong=$(printf 'me:wrong' | base64)
expect 'wrong login' "$(ask "Proxy-Authorization: Basic $wrong"$'\r\n')" '401 Unauthorized,WWW-Authenticate'
