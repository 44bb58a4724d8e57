# shellcheck shell=bash
# What deploy/run.sh and tests/run.sh share: messages, progress, packages. Sourced by bash scripts that run from the
# repository's root. Output of the tools is parsed, so their language is fixed here, whatever the user's is.
export LC_ALL=C.UTF-8

# A home is where Bazel keeps its cache; cron and bare containers may not say which.
if [[ -z ${HOME:-} ]]; then
  HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
  export HOME
fi

# Debian's, not another bazel that would download things.
# shellcheck disable=SC2034
BAZEL=/usr/bin/bazel

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
  say "$@"
  exit 1
}

# Runs a command with its output in a log, says every few seconds for how long it has been running and what its last
# line is, and shows the end of the log when it fails. Returns its exit status.
#   with_progress "installing packages" LOG command...
with_progress() {
  local what=$1 log=$2 status=0 start=$SECONDS beat
  shift 2
  say "$what ..."
  : >"$log"
  # The command stays in the foreground, where Ctrl-C reaches it.
  heartbeat "$what" "$log" $$ &
  beat=$!
  "$@" >>"$log" 2>&1 </dev/null || status=$?
  kill "$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
  if ((status == 0)); then
    say "$what: done in $((SECONDS - start)) s"
  else
    tail -n 40 "$log" >&2
    say "$what: failed (exit status $status), the whole log is $log"
  fi
  return "$status"
}

heartbeat() {
  local what=$1 log=$2 parent=$3 start=$SECONDS last
  while sleep 5 && kill -0 "$parent" 2>/dev/null; do
    last=$(tail -c 400 "$log" | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c 1-100) || true
    say "$what: $((SECONDS - start)) s; $last"
  done
}

# Prints those of the packages that are not installed.
missing_packages() {
  local installed
  # Unknown packages make it fail: they are missing like the others.
  installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | sed -n 's/ installed$//p') || true
  printf '%s\n' "$@" | grep -vxF -f <(printf '%s\n' "$installed") || true
}

# Runs a command as root.
as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# Ends the script, in one line, where packages can't be installed.
require_root_for() {
  local what=$1
  command -v apt-get >/dev/null || die "can't $what: there is no apt-get here; meshgate builds on Debian 12"
  ((EUID == 0)) && return
  command -v sudo >/dev/null || die "can't $what: neither root nor sudo; as root run: apt-get install $what_to_install"
  say "sudo is used to $what, and for nothing else"
  sudo -v || die "can't $what: sudo refused; as root run: apt-get install $what_to_install"
}

apt_update() { as_root apt-get -q update; }

# Without services: a development machine should not find a Prometheus or a Consul running because of a test.
apt_install() {
  local policy=/usr/sbin/policy-rc.d made=0 status=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod +x "$policy" && made=1
  fi
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a \
    apt-get -q install -y --no-install-recommends "$@" || status=$?
  if ((made)); then as_root rm -f "$policy"; fi
  if [[ -d /run/systemd/system ]]; then
    local unit
    for unit in prometheus consul; do
      if [[ " $* " == *" $unit "* ]]; then as_root systemctl --quiet disable "$unit" || true; fi
    done
  fi
  return "$status"
}

# With the package lists as they are, or once more with new ones.
apt_install_fresh() {
  if [[ -z $(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null) ]]; then
    apt_update && apt_install "$@"
  else
    apt_install "$@" || { apt_update && apt_install "$@"; }
  fi
}

# Installs what is missing of the packages; does nothing, fast, when nothing is.
install_packages() {
  local missing what_to_install
  command -v dpkg-query >/dev/null || die "can't install packages: there is no dpkg here; meshgate builds on Debian 12"
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  what_to_install=${missing[*]}
  require_root_for "install ${#missing[@]} Debian packages"
  say "missing: $what_to_install"
  with_progress "installing packages" "$(log_file packages)" apt_install_fresh "${missing[@]}" ||
    die "can't install: $what_to_install; is this Debian 12, and does 'apt-get update' work?"
}

# Prints "URI keyring" of the source that the running release's packages come from, whichever way it is written down.
debian_source() {
  local codename uri entry keyring
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
  read -r uri entry < <(
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(RELEASE)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)' 'Created-By: Packages' |
      awk -F '|' -v codename="$codename" '
        $2 == "main" && ($1 == codename || $1 == "stable" || $1 == "oldstable") { print $3, $4; exit }'
  ) || return 1
  # SOURCESENTRY is FILE:NUMBER.
  keyring=$(grep -hioE 'signed-by[=:][[:space:]]*/[^] ,[:space:]]+' "${entry%:*}" 2>/dev/null |
    head -n 1 | sed -E 's/^[^=:]*[=:][[:space:]]*//') || true
  printf '%s %s\n' "$uri" "${keyring:-/usr/share/keyrings/debian-archive-keyring.gpg}"
}

# Debian 12 has no Consul; Debian 11's is a static binary that runs on it. Adds that release as a source for this one
# package. Returns 1, with the reason said, when there is no way to have one.
install_consul() {
  local what_to_install=consul uri keyring list=/etc/apt/sources.list.d/meshgate-consul.list
  command -v consul >/dev/null && return 0
  if ((EUID != 0)) && ! command -v sudo >/dev/null; then
    say "no Consul: neither root nor sudo to install it with"
    return 1
  fi
  require_root_for "install Consul for the tests, from Debian 11 (files meshgate-consul* below /etc/apt)"
  if ! apt-cache policy consul 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    read -r uri keyring < <(debian_source) || {
      say "no Consul: apt's sources name no Debian release"
      return 1
    }
    printf 'Package: *\nPin: release n=bullseye\nPin-Priority: -1\n\n%s\n' \
      $'Package: consul\nPin: release n=bullseye\nPin-Priority: 500' |
      as_root tee /etc/apt/preferences.d/meshgate-consul >/dev/null
    printf 'deb [signed-by=%s] %s bullseye main\n' "$keyring" "$uri" | as_root tee "$list" >/dev/null
    with_progress "reading Debian 11's package list" "$(log_file consul-list)" as_root apt-get -q update \
      -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 -o APT::Update::Error-Mode=any || {
      as_root rm -f "$list" /etc/apt/preferences.d/meshgate-consul
      say "no Consul: $uri does not offer Debian 11 (bullseye)"
      return 1
    }
  fi
  with_progress "installing consul" "$(log_file consul)" apt_install consul || {
    say "no Consul: it can't be installed"
    return 1
  }
}

# Where a step's log goes.
log_file() {
  mkdir -p .cache/log
  printf '%s/.cache/log/%s.log\n' "$PWD" "$1"
}
