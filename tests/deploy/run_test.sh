#!/usr/bin/env bash
# Runs deploy/run.sh with a build that only copies: run_test.sh MESHGATE MESHGATECTL
set -euo pipefail
fail() { echo "FAILED: $*" >&2; exit 1; }

meshgate=$PWD/$1 meshgatectl=$PWD/$2
work=$TEST_TMPDIR/run
mkdir -p "$work/out/server" "$work/out/client" "$work/home"
cp -rL deploy tools "$work"
cd "$work"
for folder in client consul metrics proto server third_party; do mkdir -p "$folder"; done
touch WORKSPACE BUILD.bazel .bazelrc
ln -s "$meshgate" out/server/meshgate
ln -s "$meshgatectl" out/client/meshgatectl
cat >bazel <<'SH'
#!/bin/bash
echo "$1" >>calls
[[ $1 != info ]] || echo "$PWD/out"
SH
chmod +x bazel
cat >>tools/system.sh <<'SH'
BAZEL=$PWD/bazel
install_packages() { echo install >>calls; }
SH
export HOME=$work/home
unset "${!MESHGATE_@}"

# Asking for help must not cost a newcomer minutes and packages.
for flag in --help --version; do
  ./deploy/run.sh "$flag" >said || fail "$flag"
  [[ -s said && ! -e calls ]] || fail "$flag installs or builds"
done

gateway=
stop() {
  if [[ -n $gateway ]]; then
    kill "$gateway" 2>/dev/null || true
    wait "$gateway" || true
  fi
  gateway=
}
trap stop EXIT

# Starts the gateway with the arguments; what it says is in `said`, where it listens in $grpc and $http.
start() {
  stop
  : >said
  "$shell" ./deploy/run.sh --data_dir="$work/data" "$@" >line 2>said &
  gateway=$!
  for ((i = 0; i < 600; i++)); do
    if grep -q 'Ctrl-C stops it' said; then break; fi
    kill -0 "$gateway" 2>/dev/null || fail "it ended: $(cat said)"
    sleep 0.1
  done
  read -r grpc http < <(sed -n 's/^listening grpc=\(.*\) http=\(.*\)/\1 \2/p' line)
}

# The three commands it says, run as they are printed, with watch cut short.
try() {
  local lines
  mapfile -t lines < <(sed -n 's/^  \(bin\/meshgatectl .*\)/\1/p' said)
  ((${#lines[@]} == 3)) || fail "three commands are expected: $(cat said)"
  bash -c "${lines[0]}" >/dev/null || fail "${lines[0]}"
  [[ $(bash -c "${lines[1]}") == hello ]] || fail "${lines[1]}"
  [[ $(bash -c "${lines[2]} --count 1") == *hello* ]] || fail "${lines[2]}"
}

# A port that only the process knows. dash is what `sh` is on Debian.
shell=/bin/sh
start --grpc_listen=127.0.0.1:0 --http_listen=127.0.0.1:0
grep -q install calls || fail "nothing was installed"
grep -q build calls || fail "nothing was built"
grep -qF "http://$http" said || fail "where HTTP listens is not said: $(cat said)"
try

# A file sets the address; the second start builds nothing.
: >calls
shell=/bin/bash
port=${grpc##*:}
stop
printf 'auth: {mode: none}\ngrpc: {listen: "0.0.0.0:%s"}\nhttp: {listen: "127.0.0.1:0"}\n' "$port" >meshgate.yaml
start --config=meshgate.yaml
! grep -q build calls || fail "built again without a reason"
grep -qF "127.0.0.1:$port" said || fail "the address in the file is not said: $(cat said)"
try

: >calls
./deploy/run.sh --version | grep -q '^meshgate ' || fail "--version"
[[ ! -s calls ]] || fail "--version installs or builds"
