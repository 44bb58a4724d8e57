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

# Whether packages can be installed; says in one line why not, and returns 1.
#   require_root_for "install Consul" PACKAGES
require_root_for() {
  local what=$1 packages=$2 services=
  command -v apt-get >/dev/null || {
    say "can't $what: there is no apt-get here; meshgate builds on Debian 12"
    return 1
  }
  ((EUID == 0)) && return
  command -v sudo >/dev/null || {
    say "can't $what: neither root nor sudo; as root run: apt-get install $packages"
    return 1
  }
  # shellcheck disable=SC2086
  if brings_services $packages; then
    services="; $POLICY, which keeps their services from being started, is there for the time of the installation"
  fi
  say "sudo is used to $what, and for nothing else$services"
  sudo -v || {
    say "can't $what: sudo refused; as root run: apt-get install $packages"
    return 1
  }
}

# Where Debian's packages ask whether they may start their services.
POLICY=${POLICY:-/usr/sbin/policy-rc.d}

# A development machine should not find a Prometheus, a Consul, an etcd or a Docker running because of a test.
brings_services() { [[ " $* " =~ \ (prometheus|consul|docker-compose|etcd-server|systemd)\  ]]; }

# Unattended upgrades and other people hold apt's locks, for minutes. Installing can wait for them by itself, reading the
# lists can't.
LOCK_SECONDS=${LOCK_SECONDS:-600}

# shellcheck disable=SC2120
apt_update() {
  local end=$((SECONDS + LOCK_SECONDS)) output
  while true; do
    output=$(as_root apt-get -q update "$@" 2>&1) && break
    printf '%s\n' "$output"
    [[ $output == *'Could not get lock'* || $output == *'Unable to lock'* ]] && ((SECONDS < end)) || return 1
    sleep "${LOCK_PAUSE:-3}"
  done
  printf '%s\n' "$output"
}

# In a shell of its own: whatever ends it, Ctrl-C too, the policy does not stay behind.
apt_install() (
  made=0 status=0
  cleanup() {
    if ((made)); then as_root rm -f "$POLICY"; fi
    made=0
  }
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  if brings_services "$@" && [[ ! -e $POLICY ]]; then
    made=1
    { printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null && as_root chmod +x "$POLICY"; } || exit 1
  fi
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a \
    apt-get -q install -y --no-install-recommends -o "DPkg::Lock::Timeout=$LOCK_SECONDS" "$@" || status=$?
  cleanup
  if [[ -d /run/systemd/system ]]; then
    for unit in prometheus consul etcd; do
      if [[ " $* " =~ \ $unit(-server)?\  ]]; then as_root systemctl --quiet disable "$unit" || true; fi
    done
  fi
  exit "$status"
)

# Containers come without lists, or with ones that were removed to make them small.
have_package_lists() {
  [[ -n $(find "${APT_LISTS:-/var/lib/apt/lists}" -name '*_Packages*' -print -quit 2>/dev/null) ]]
}

# With the package lists as they are, or once more with new ones.
apt_install_fresh() {
  if have_package_lists; then
    apt_install "$@" && return
    # 130: somebody wants to stop.
    (($? == 130)) && return 130
  fi
  # shellcheck disable=SC2119
  apt_update && apt_install "$@"
}

# Installs what is missing of the packages; does nothing, fast, when nothing is.
install_packages() {
  local missing
  command -v dpkg-query >/dev/null || die "can't install packages: there is no dpkg here; meshgate builds on Debian 12"
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  require_root_for "install ${#missing[@]} Debian packages" "${missing[*]}" || exit 1
  say "missing: ${missing[*]}"
  with_progress "installing packages" "$(log_file packages)" apt_install_fresh "${missing[@]}" ||
    die "can't install: ${missing[*]}; is this Debian 12, and does 'apt-get update' work?"
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
  local uri keyring list=/etc/apt/sources.list.d/meshgate-consul.list
  # Where the tests look for it: Bazel gives them this PATH (.bazelrc), whatever the user's is.
  (PATH=/usr/local/bin:/usr/bin:/bin && command -v consul >/dev/null) && return 0
  require_root_for "install Consul for the tests, from Debian 11 (files meshgate-consul* below /etc/apt)" consul || return 1
  if ! have_package_lists; then
    with_progress "reading the package lists" "$(log_file lists)" apt_update || {
      say "no Consul: 'apt-get update' fails"
      return 1
    }
  fi
  if ! apt-cache policy consul 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    read -r uri keyring < <(debian_source) || {
      say "no Consul: apt's sources name no Debian release"
      return 1
    }
    printf 'Package: *\nPin: release n=bullseye\nPin-Priority: -1\n\n%s\n' \
      $'Package: consul\nPin: release n=bullseye\nPin-Priority: 500' |
      as_root tee /etc/apt/preferences.d/meshgate-consul >/dev/null
    printf 'deb [signed-by=%s] %s bullseye main\n' "$keyring" "$uri" | as_root tee "$list" >/dev/null
    with_progress "reading Debian 11's package list" "$(log_file consul-list)" apt_update \
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
