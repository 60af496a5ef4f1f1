#!/usr/bin/env bash
# get-mysql.sh [CACHE_DIR] - a real MySQL server (8.0 or later) for the tests, the benches and the quickstart. Linux.
#
# In:   CACHE_DIR                    where to put it; default <repo>/target/mysql ($CARGO_TARGET_DIR/mysql if that is set)
#       ROWHOOK_TEST_MYSQL_BASEDIR   (environment) use this installed or unpacked MySQL: it holds bin/mysqld, sbin/mysqld
#                                    or usr/sbin/mysqld, and the clients mysql and mysqlbinlog in the bin beside it
# Out:  stdout: one line, the absolute path of CACHE_DIR, ready to use; stderr: progress and trouble; exit 0, or 1.
#       CACHE_DIR/bin/mysqld         wrapper: runs the server with its fixed folders (--no-defaults, --basedir, ...);
#                                    the caller adds --datadir, --port, --socket, --mysqlx=OFF, --bind-address and
#                                    --secure-file-priv= (empty; else some builds will not start). It execs, so that the
#                                    process id the caller started is the server's own.
#       CACHE_DIR/bin/mysql          wrapper for the command line client
#       CACHE_DIR/bin/mysqlbinlog    wrapper for the binlog reader
#       CACHE_DIR/data-template      an initialised data directory (root without a password, TLS certificates and RSA
#                                    keys). Copy it (cp -a keeps its holes), start a server on the copy, never on itself.
#       CACHE_DIR/version            the server's version, as 8.4.6
#       CACHE_DIR/ready              marker: what this cache was made from
#
# Where it looks, in this order: ROWHOOK_TEST_MYSQL_BASEDIR; mysqld on PATH (not MariaDB); else it downloads Debian
# unstable's packages from the mirror this machine's apt already uses, and unpacks them into CACHE_DIR. Nothing is
# installed, the system's package lists stay as they are, and no root is needed.
#
# Ready and unchanged: returns at once. Made in a folder beside CACHE_DIR and renamed when complete, under a lock
# (CACHE_DIR.lock), so that it may be run many times at once and be interrupted. The folder made from Debian's packages
# may be moved or copied elsewhere. To begin afresh, delete CACHE_DIR.
set -euo pipefail

recipe=1 # raise when the layout or the way of making it changes: older caches are then made anew
min_major=8
packages=(mysql-server-core mysql-client-core)
# In the packages' dependencies, but for maintainer scripts and perl tools that are not used here.
unneeded='^(perl|libperl|libgdbm|libdb5|libbz2-|debconf|adduser|gcc-[0-9]+-base|libc-gconv|openssl-provider|libtirpc-common|libsasl2-modules)'

say() { printf 'get-mysql: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }
mib() { local m; m=$(du -sm "$1"); printf '%s MiB' "${m%%[^0-9]*}"; }
indent() { sed 's/^/    /' >&2; }

three_ways() {
  cat >&2 <<EOF
get-mysql: no MySQL server to work with. Any one of these three will do:
  1. set ROWHOOK_TEST_MYSQL_BASEDIR to an installed or unpacked MySQL 8.0 or later
     (a folder with bin/mysqld, sbin/mysqld or usr/sbin/mysqld, and the clients mysql and mysqlbinlog);
  2. install Oracle MySQL 8.0 or later, so that mysqld, mysql and mysqlbinlog are on PATH (MariaDB will not do);
  3. run this on Debian with its package mirror in reach: MySQL is then downloaded and unpacked by itself
     into $cache (about 55 MB to download, no root needed).
EOF
}

# ---- where ----------------------------------------------------------------------------------------------------------

[[ $# -le 1 && ${1-} != -* ]] || { echo "usage: get-mysql.sh [CACHE_DIR]" >&2; exit 1; }
if [[ -n ${1-} ]]; then
  cache=$1
elif [[ -n ${CARGO_TARGET_DIR-} ]]; then
  cache=$CARGO_TARGET_DIR/mysql
else
  self=${BASH_SOURCE[0]}
  [[ $self == */* ]] || self=./$self
  cache=$(CDPATH='' cd -- "${self%/*}/../.." && pwd -P)/target/mysql
fi
while [[ $cache == */ && $cache != / ]]; do cache=${cache%/}; done
[[ $cache == */* ]] || cache=./$cache
parent=${cache%/*}
[[ -d $parent/ ]] || mkdir -p -- "$parent/" || die "cannot make the folder $parent"
parent=$(CDPATH='' cd -- "$parent/" && pwd -P)
cache=${parent%/}/${cache##*/}
[[ $cache != */ && $cache != */. && $cache != */.. ]] || die "not usable as a cache folder: $cache"

# ---- what it would be made from, and whether that is there already ----------------------------------------------------

basedir=${ROWHOOK_TEST_MYSQL_BASEDIR-}
found='' # the mysqld to look at, if any
if [[ -n $basedir ]]; then
  basedir=$(CDPATH='' cd -- "$basedir" 2>/dev/null && pwd -P) ||
    die "ROWHOOK_TEST_MYSQL_BASEDIR: no such folder: $ROWHOOK_TEST_MYSQL_BASEDIR"
  for f in bin/mysqld sbin/mysqld usr/sbin/mysqld usr/bin/mysqld; do
    [[ -x $basedir/$f ]] && { found=$basedir/$f; break; }
  done
  [[ -n $found ]] || die "ROWHOOK_TEST_MYSQL_BASEDIR: no bin/mysqld, sbin/mysqld or usr/sbin/mysqld in $basedir"
else
  # Server packages put mysqld into sbin, which is not on everyone's PATH.
  found=$(PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin type -P mysqld || true)
  [[ -z $found ]] || found=$(readlink -f -- "$found")
  [[ $found != "$cache"/* ]] || found=''
fi
inputs="$recipe|$basedir|$found"
[[ -z $found ]] || inputs+="|$(stat -L -c '%s %Y' -- "$found")"
key=$(printf '%s' "$inputs" | sha256sum)
key="rowhook-mysql $recipe ${key%% *}"

is_ready() {
  local line=''
  [[ -r $cache/ready ]] && read -r line <"$cache/ready" && [[ $line == "$key" ]] &&
    [[ -x $cache/bin/mysqld && -d $cache/data-template/mysql ]]
}
if is_ready; then
  printf '%s\n' "$cache"
  exit 0
fi

( : >>"$cache.lock" ) 2>/dev/null || die "cannot write $cache.lock"
exec 9>>"$cache.lock"
if type -P flock >/dev/null; then
  flock -n 9 || { say "another run is making $cache; waiting for it"; flock 9; }
  if is_ready; then
    printf '%s\n' "$cache"
    exit 0
  fi
else
  say "no flock on this machine: take care not to run this twice at once"
fi

if [[ -e $cache || -L $cache ]]; then
  [[ -d $cache && ! -L $cache ]] || die "$cache exists and is not a folder"
  if [[ -n $(ls -A -- "$cache") ]]; then
    line=''
    [[ ! -r $cache/ready ]] || read -r line <"$cache/ready" || true
    [[ $line == "rowhook-mysql "* ]] || die "$cache exists, is not empty and was not made by this script; not touching it"
  fi
fi

rm -rf -- "$cache".tmp.* "$cache".old.* || true # left by a run that was killed; the lock says that none is at work
tmp=$(mktemp -d -- "$cache.tmp.XXXXXX")
chmod 755 "$tmp"
trap 'rm -rf -- "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
began=$SECONDS

# ---- an installed or unpacked tree -> wrappers and data template --------------------------------------------------------

quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; } # for sh

# wrapper NAME ROOT EXE [ARG...]: writes $tmp/bin/NAME. ROOT, EXE and the ARGs are sh text and may say "$home", "$root".
wrapper() {
  local name=$1 root=$2 exe=$3 run=''
  shift 3
  # shellcheck disable=SC2016 # the text is for the wrapper
  {
    printf '#!/bin/sh\n# Made by get-mysql.sh: %s with its own folders; what else is needed, the caller adds.\n' "$name"
    printf 'bin=$(dirname "$(readlink -f "$0")")\nhome=${bin%%/bin}\nroot=%s\n' "$root"
    if [[ $name == mysqld ]]; then
      printf '[ "$(id -u)" != 0 ] || set -- --user=root "$@"\n'
    else
      # Neither ~/.mylogin.cnf nor the environment may send a client to another server.
      printf 'unset MYSQL_HOST MYSQL_TCP_PORT MYSQL_UNIX_PORT MYSQL_GROUP_SUFFIX\n'
      printf 'MYSQL_TEST_LOGIN_FILE=/nonexistent/mylogin.cnf\nexport MYSQL_TEST_LOGIN_FILE\n'
    fi
    [[ -z $loader ]] || run="\"\$root/$loader\" --library-path \"\$root/${loader%/*}\" "
    printf 'exec %s%s --no-defaults \\\n ' "$run" "$exe"
    printf ' %s' "$@"
    printf ' "$@"\n'
  } >"$tmp/bin/$name"
  chmod 755 "$tmp/bin/$name"
}

# find_loader TREE: sets loader to the path in TREE of the dynamic loader that lies beside TREE's own C library, if any.
find_loader() {
  local libc l
  loader=''
  libc=$(find "$1" -name libc.so.6 -print -quit 2>/dev/null)
  [[ -n $libc ]] || return 0
  for l in "${libc%/*}"/ld-linux*.so.* "${libc%/*}"/ld64.so.* "${libc%/*}"/ld.so.*; do
    [[ -x $l ]] && { loader=${l#"$1"/}; return 0; }
  done
  return 0
}

# first DIR/PATTERN...: the first that exists.
first() {
  local p
  for p; do [[ -e $p ]] && { printf '%s' "$p"; return 0; }; done
  return 1
}

# make_from MYSQLD: wrappers, data template and version in $tmp, from the tree that MYSQLD lies in.
# On failure says why and returns 1.
make_from() {
  local mysqld=$1 dir prefix tree root exe out version msgs f c client from_tmp=no t
  local args=() cargs=()
  dir=${mysqld%/*} # .../bin or .../sbin
  prefix=${dir%/*}
  tree=$prefix
  loader=''
  case $mysqld in
    "$tmp"/root/usr/*) tree=$tmp/root from_tmp=yes ;;
    */usr/sbin/mysqld | */usr/bin/mysqld) tree=${prefix%/usr} ;;
  esac
  if [[ $from_tmp == yes ]]; then
    # shellcheck disable=SC2016
    root='$home/root'
    find_loader "$tree"
  else
    root=$(quoted "$tree")
    if [[ -n $tree ]] && ! "$mysqld" --no-defaults --version >/dev/null 2>&1; then
      find_loader "$tree" # unpacked, with a C library of its own
    fi
  fi
  if [[ -n $loader ]]; then
    out=$("$tree/$loader" --library-path "$tree/${loader%/*}" "$mysqld" --no-defaults --version 2>&1) || true
  else
    out=$("$mysqld" --no-defaults --version 2>&1) || true
  fi
  if [[ $out == *MariaDB* ]]; then
    say "$mysqld is MariaDB, not MySQL"
    return 1
  fi
  if [[ ! $out =~ Ver\ ([0-9]+)\.([0-9]+)(\.[0-9]+)? ]]; then
    say "$mysqld does not run, or does not tell its version:"
    printf '%s\n' "$out" | head -n 3 | indent
    return 1
  fi
  version=${BASH_REMATCH[1]}.${BASH_REMATCH[2]}${BASH_REMATCH[3]-}
  if ((BASH_REMATCH[1] < min_major)); then
    say "$mysqld is MySQL $version, too old: $min_major.0 or later is needed"
    return 1
  fi

  # in_root PATH: the path as the wrapper writes it
  # shellcheck disable=SC2016
  in_root() { printf '"$root"%s' "$(quoted "${1#"$tree"}")"; }

  mkdir -p "$tmp/bin"
  args=("--basedir=$(in_root "$prefix")")
  if msgs=$(first "$prefix"/share/{mysql,mysql-"${version%.*}",mysql-[0-9]*,mysql-community,.}/english/errmsg.sys); then
    args+=("--lc-messages-dir=$(in_root "${msgs%/english/errmsg.sys}")")
  fi
  if f=$(first "$prefix"/share/{mysql,mysql-"${version%.*}",mysql-[0-9]*,mysql-community,.}/charsets/Index.xml); then
    args+=("--character-sets-dir=$(in_root "${f%/Index.xml}")")
    cargs+=("--character-sets-dir=$(in_root "${f%/Index.xml}")")
  fi
  if f=$(first "$prefix"/{lib/mysql,lib64/mysql,lib,lib/*-linux-gnu/mysql}/plugin); then
    args+=("--plugin-dir=$(in_root "$f")")
  fi
  for c in mysql mysqlbinlog; do
    client=$(first "$prefix/bin/$c" "$dir/$c" || type -P "$c" || true)
    [[ $client != "$cache"/* ]] || client=''
    if [[ -z $client ]]; then
      say "$mysqld has no $c client beside it, nor is one on PATH"
      return 1
    fi
    if [[ $client == "$tree"/* ]]; then exe=$(in_root "$client"); else exe=$(quoted "$client"); fi
    wrapper "$c" "$root" "$exe" "${cargs[@]}"
    out=$("$tmp/bin/$c" --version 2>&1) || true
    if [[ $out == *MariaDB* || $out != *Ver* ]]; then
      say "$client is not a usable MySQL client:"
      printf '%s\n' "$out" | head -n 3 | indent
      return 1
    fi
  done

  wrapper mysqld "$root" "$(in_root "$mysqld")" "${args[@]}"
  t=$SECONDS
  if ! initialise; then
    # A security profile may confine the installed binary to the system's own data directory; it goes by the path.
    mkdir -p "$tmp/libexec"
    if [[ $from_tmp == yes ]] || ! cp -L -- "$mysqld" "$tmp/libexec/mysqld"; then
      init_failed "$mysqld"
      return 1
    fi
    # shellcheck disable=SC2016
    wrapper mysqld "$root" '"$home/libexec/mysqld"' "${args[@]}"
    if ! initialise; then
      init_failed "$mysqld"
      return 1
    fi
    say "$mysqld cannot write here, a copy of it can: using the copy"
  fi
  for f in ca.pem server-cert.pem server-key.pem private_key.pem public_key.pem; do
    if [[ ! -s $tmp/data-template/$f ]]; then
      say "$mysqld made no $f in its data directory: not usable for tests over TLS"
      return 1
    fi
  done
  rm -f "$tmp/init.log"
  printf '%s\n' "$version" >"$tmp/version"
  say "MySQL $version initialised in $((SECONDS - t)) s"
}

init_failed() {
  say "$1 could not initialise a data directory:"
  tail -n 6 "$tmp/init.log" | indent
}

initialise() {
  rm -rf -- "$tmp/data" "$tmp/data-template"
  # A small redo log keeps the template small; a server started on a copy grows it to what it is told.
  "$tmp/bin/mysqld" --initialize-insecure --datadir="$tmp/data" --loose-innodb-redo-log-capacity=16M \
    --secure-file-priv= </dev/null >"$tmp/init.log" 2>&1 9>&- || return 1
  rm -f -- "$tmp/data/auto.cnf" # the server's UUID: each copy is to get its own
  cp -a --sparse=always -- "$tmp/data" "$tmp/data-template" || return 1
  rm -rf -- "$tmp/data"
}

publish() {
  local old=''
  printf '%s\n%s\n' "$key" "$1" >"$tmp/ready"
  if [[ -d $cache ]]; then
    old=$cache.old.$$
    mv -T -- "$cache" "$old"
  fi
  mv -T -- "$tmp" "$cache"
  [[ -z $old ]] || rm -rf -- "$old"
  say "ready in $((SECONDS - began)) s, $(mib "$cache"): $cache"
  printf '%s\n' "$cache"
}

# ---- Debian unstable's packages, unpacked -------------------------------------------------------------------------------

# shellcheck disable=SC1091
# mirrors: the Debian mirrors in this machine's apt sources, one a line.
mirrors() {
  local f parts=/etc/apt/sources.list.d codename
  codename=$(. /etc/os-release 2>/dev/null && printf '%s' "${VERSION_CODENAME-}") || codename=''
  for f in "$parts"/*.sources /etc/apt/sources.list "$parts"/*.list; do
    [[ -f $f && -r $f ]] || continue
    case $f in
      *.sources)
        awk '
          function flush(  i, n, a) {
            if (types ~ /(^| )deb( |$)/ && enabled !~ /^ *(no|false|0)/ && comps ~ /(^| )main( |$)/) {
              n = split(uris, a, " "); for (i = 1; i <= n; i++) print a[i], suites
            }
            types = uris = suites = comps = enabled = field = ""
          }
          /^#/ { next }
          /^[ \t]*$/ { flush(); next }
          /^[^ \t]/ { i = index($0, ":"); field = tolower(substr($0, 1, i - 1)); $0 = substr($0, i + 1) }
          { gsub(/[ \t]+/, " ")
            if (field == "types") types = types " " $0
            else if (field == "uris") uris = uris " " $0
            else if (field == "suites") suites = suites " " $0
            else if (field == "components") comps = comps " " $0
            else if (field == "enabled") enabled = $0 }
          END { flush() }' "$f"
        ;;
      *)
        awk '/^deb[ \t]/ { sub(/#.*/, ""); sub(/\[[^]]*\]/, ""); for (i = 4; i <= NF; i++) if ($i == "main") print $2, $3 }' "$f"
        ;;
    esac
  done | awk -v code="$codename" '
    $1 ~ /^cdrom:/ { next }
    { for (i = 2; i <= NF; i++)
        if (($i == code || $i ~ /^(sid|unstable|testing|stable|oldstable)$/) && !seen[$1]++) print $1 }'
}

# twice CMD...: a failed download is tried once more. Quiet; says what went wrong in the end.
twice() {
  local n
  for n in 1 2; do
    "$@" >/dev/null 2>"$tmp/apt.log" 9>&- && return 0
    [[ $n == 2 ]] || { say "that failed, trying once more"; sleep 2; }
  done
  grep -v '^W:' "$tmp/apt.log" | tail -n 4 | cut -c1-300 | indent || true
  return 1
}

# shellcheck disable=SC1091
from_debian() {
  local cmd arch mirror keyring='' opts k apt work=$tmp/work got='' list names total n t d missing f id
  id=$(. /etc/os-release 2>/dev/null && printf '%s' "${ID-} ${ID_LIKE-}") || id=''
  for cmd in apt-get dpkg dpkg-deb tar awk; do
    if ! type -P "$cmd" >/dev/null; then
      say "no $cmd on this machine: Debian's packages cannot be had this way"
      return 1
    fi
  done
  mapfile -t list < <(mirrors)
  if [[ " $id " != *" debian "* || " $id " == *" ubuntu "* || ${#list[@]} == 0 ]]; then
    say "this machine's apt sources name no Debian mirror"
    return 1
  fi
  arch=$(dpkg --print-architecture)
  for k in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
    [[ ! -r $k ]] || { keyring=$k; break; }
  done
  opts="arch=$arch${keyring:+ signed-by=$keyring}"

  mkdir -p "$work"/{state/lists/partial,cache/archives/partial,debs}
  : >"$work/status" # nothing is installed, as far as this is concerned: the whole closure is asked for
  # Read after the system's apt configuration (proxies and the like stay), so that lists, caches and hooks are not shared.
  cat >"$work/apt.conf" <<EOF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "$arch";
APT::Architectures "$arch";
APT::Default-Release "";
APT::Sandbox::User "$(id -un)";
APT::Get::AllowUnauthenticated "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-hidpi::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$work/state";
Dir::State::lists "$work/state/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Cache::archives "$work/cache/archives";
EOF
  apt=(apt-get -qq -c "$work/apt.conf")
  export DEBIAN_FRONTEND=noninteractive LC_ALL=C

  t=$SECONDS
  for mirror in "${list[@]}"; do
    say "fetching the package list of Debian unstable (11 MB) from $mirror"
    printf 'deb [%s] %s sid main\n' "$opts" "$mirror" >"$work/sources.list"
    if twice "${apt[@]}" --error-on=any update || { grep -q 'error-on' "$tmp/apt.log" && twice "${apt[@]}" update; }; then
      got=yes
      break
    fi
  done
  if [[ -z $got ]]; then
    say "no package list from there"
    return 1
  fi

  # The names carry library versions that change, so they are asked for, not listed. Lines: 'address' file size hash.
  if ! "${apt[@]}" -y --no-install-recommends --print-uris install "${packages[@]}" >"$work/uris" 2>"$tmp/apt.log"; then
    say "Debian unstable has no installable ${packages[*]} for $arch today:"
    tail -n 4 "$tmp/apt.log" | indent
    return 1
  fi
  awk -v skip="$unneeded" '$1 ~ /^\047/ { split($2, p, "_"); if (p[1] !~ skip) { print p[1]; s += $3 } }
    END { print int(s / 1000000 + 0.5) }' "$work/uris" >"$work/names"
  mapfile -t names <"$work/names"
  total=${names[-1]}
  unset 'names[-1]'
  say "downloading ${#names[@]} packages, $total MB"
  cd "$work/debs"
  if ! twice "${apt[@]}" download "${names[@]}"; then
    say "the download did not complete"
    return 1
  fi
  n=$(find . -name '*.deb' | wc -l)
  cd "$parent"
  if ((n < ${#names[@]})); then
    say "only $n of ${#names[@]} packages arrived"
    return 1
  fi
  say "downloaded in $((SECONDS - t)) s; unpacking"

  mkdir -p "$tmp/root"
  for d in "$work"/debs/*.deb; do
    if ! dpkg-deb --fsys-tarfile "$d" | tar -x -C "$tmp/root" --no-same-owner --exclude=./usr/share/doc \
      --exclude=./usr/share/man --exclude=./usr/share/locale --exclude=./usr/lib/debug --exclude=./var 9>&-; then
      say "could not unpack ${d##*/}"
      return 1
    fi
  done
  rm -rf -- "$work" "$tmp/apt.log"
  prune "$tmp/root"

  find_loader "$tmp/root"
  if [[ -z $loader ]]; then
    say "the unpacked packages hold no dynamic loader"
    return 1
  fi
  for f in sbin/mysqld bin/mysql bin/mysqlbinlog; do
    if [[ ! -x $tmp/root/usr/$f ]]; then
      say "the unpacked packages hold no usr/$f"
      return 1
    fi
    missing=$("$tmp/root/$loader" --library-path "$tmp/root/${loader%/*}" --list "$tmp/root/usr/$f" 2>&1 | grep -F 'not found' || true)
    if [[ -n $missing ]]; then
      say "$f lacks libraries:"
      printf '%s\n' "$missing" | indent
      return 1
    fi
  done
  make_from "$tmp/root/usr/sbin/mysqld"
}

# prune ROOT: only what the three programs use stays.
prune() {
  local u=$1/usr
  find "$1" -mindepth 1 -maxdepth 1 ! -name usr ! -name 'lib*' -exec rm -rf -- {} +
  [[ ! -d $u/bin ]] || find "$u/bin" -mindepth 1 ! -name mysql ! -name mysqlbinlog -delete
  [[ ! -d $u/sbin ]] || find "$u/sbin" -mindepth 1 ! -name mysqld -delete
  find "$u/share" -mindepth 1 -maxdepth 1 ! -name mysql -exec rm -rf -- {} +
  find "$u/share/mysql" -mindepth 1 -maxdepth 1 -type d ! -name english ! -name charsets -exec rm -rf -- {} +
  find "$u/lib/mysql/plugin" \( -name '*_client.so' -o -name 'authentication_*' -o -name '*telemetry*' -o -name 'group_replication*' \
    -o -name 'component_group_replication*' -o -name 'mysql_clone.so' -o -name debug \) -exec rm -rf -- {} + 2>/dev/null || true
  find "$u/lib" -depth -type d \( -name gconv -o -name mysql-test -o -name audit -o -name perl -o -name perl-base \) -exec rm -rf -- {} + || true
}

# ---- in order -----------------------------------------------------------------------------------------------------------

if [[ -n $basedir ]]; then
  if ! make_from "$found"; then
    three_ways
    exit 1
  fi
  publish "basedir $basedir"
  exit 0
fi
if [[ -n $found ]]; then
  if make_from "$found"; then
    publish "path $found"
    exit 0
  fi
  say "not using $found; looking further"
  rm -rf -- "${tmp:?}"/*
fi
if from_debian; then
  publish debian
  exit 0
fi
three_ways
exit 1
