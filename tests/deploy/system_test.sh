#!/usr/bin/env bash
# Holds tools/system.sh to what it promises about apt, with an apt-get that only pretends.
set -euo pipefail
root=$PWD
fail() { echo "FAILED: $*" >&2; exit 1; }

work=$TEST_TMPDIR/system
mkdir -p "$work/bin" "$work/lists"
cd "$work"
export POLICY=$work/policy-rc.d APT_LISTS=$work/lists LOCK_PAUSE=0 CALLS=$work/calls
export PATH=$work/bin:/usr/bin:/bin

# Makes a program that does what standard input says, after writing down how it was called.
# shellcheck disable=SC2016
program() { { printf '#!/bin/bash\necho "%s $*" >>"$CALLS"\n' "$1"; cat; } >"bin/$1" && chmod +x "bin/$1"; : >"$CALLS"; }

# Runs a line with the functions of system.sh, as if by root.
run() { bash -c ". $root/tools/system.sh; as_root() { \"\$@\"; }; $1"; }

# A policy that is left behind keeps every later package of this machine from starting its services.
program apt-get <<'SH'
[[ -e $POLICY ]] || exit 9
kill -INT 0
sleep 60
SH
status=0
setsid --wait bash -c "trap - INT; . $root/tools/system.sh; as_root() { \"\$@\"; }; apt_install prometheus" || status=$?
((status == 130)) || fail "an interrupted installation ends with $status"
[[ ! -e $POLICY ]] || fail "an interrupted installation leaves $POLICY behind"

program apt-get </dev/null
run 'apt_install prometheus' || fail "apt_install"
[[ ! -e $POLICY ]] || fail "an installation leaves $POLICY behind"
grep -q 'DPkg::Lock::Timeout=600' "$CALLS" || fail "an installation does not wait for apt's lock"

# Packages that bring no service need no policy, and sudo is asked for less.
program apt-get <<'SH'
[[ ! -e $POLICY ]]
SH
run 'apt_install g++ libgrpc++-dev' || fail "the policy is made for packages without services"

# Somebody else's policy stays.
touch "$POLICY"
run '! apt_install prometheus' || fail "the policy was taken away before the installation"
[[ -e $POLICY ]] || fail "somebody else's policy was removed"
rm "$POLICY"

# On a fresh machine unattended upgrades hold the lock for minutes: no reason to give up.
program apt-get <<'SH'
(($(wc -l <"$CALLS") > 2)) || { echo 'E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1'; exit 100; }
SH
run apt_update >/dev/null || fail "apt_update does not wait for the lock"
(($(wc -l <"$CALLS") == 3)) || fail "apt_update: $(cat "$CALLS")"
program apt-get <<'SH'
echo 'E: Could not get lock /var/lib/apt/lists/lock'; exit 100
SH
! LOCK_SECONDS=0 run apt_update >/dev/null || fail "apt_update waits for ever"
program apt-get <<'SH'
echo 'E: no network'; exit 100
SH
! run apt_update >/dev/null || fail "apt_update hides a failure"
(($(wc -l <"$CALLS") == 1)) || fail "apt_update repeats what waiting does not mend"

# Images come without lists: then nothing can be found, whatever the sources offer.
program apt-get <<'SH'
if [[ $1 == -q && $2 == update ]]; then touch "$APT_LISTS/x_Packages"; fi
SH
program apt-cache <<'SH'
[[ ! -e $APT_LISTS/x_Packages ]] || echo '  Candidate: 1.8.7'
SH
# shellcheck disable=SC2016
consul='command() { [[ $2 != consul ]] && builtin command "$@"; }; require_root_for() { :; }; install_consul'
run "$consul" 2>said || fail "no Consul without package lists: $(cat said)"
grep -q 'install -y .* consul$' "$CALLS" || fail "Consul was not installed"

# The tests that need no Consul run without it: what can't be had is said, and is no reason to end.
rm -f "$APT_LISTS"/*
run "command() { [[ \$2 != consul && \$2 != apt-get ]] && builtin command \"\$@\"; }; install_consul || echo went on" \
  >said 2>&1 || fail "install_consul ends the script"
grep -q 'went on' said || fail "install_consul: $(cat said)"
