#!/usr/bin/env bash
# Installs what the tests need and runs them all.
#
#   ./tests/run.sh [--sanitizers] [--no-fuzz] [OPTIONS OF BAZEL TEST] [-- TARGETS]
#     ./tests/run.sh                                  everything, and each fuzz target for 20 s
#     ./tests/run.sh --no-fuzz                        without fuzzing, which has to build what it fuzzes with clang
#     ./tests/run.sh --config=asan                    everything, built with AddressSanitizer
#     ./tests/run.sh -- //tests/client/...            some of it
#     ./tests/run.sh --sanitizers                     everything plain, then ThreadSanitizer over what does not link
#                                                     gRPC, then Address- and UndefinedBehaviorSanitizer
#
# MESHGATE_SANITIZERS=all is --sanitizers; MESHGATE_SANITIZERS=tsan runs ThreadSanitizer alone after the plain tests.
# Ends with the line "N passed, N failed" over test cases, of which each fuzz target is one, and exit status 0 when none failed.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tools/packages.sh
. tools/packages.sh
# shellcheck source=tools/system.sh
. tools/system.sh

sanitizers=${MESHGATE_SANITIZERS:-}
fuzz_seconds=20
options=()
targets=()
while (($#)); do
  case $1 in
    -h | --help)
      sed -n '2,/^\[/{/^\[/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    --sanitizers) sanitizers=all ;;
    --no-fuzz) fuzz_seconds=0 ;;
    --)
      shift
      targets=("$@")
      break
      ;;
    -*) options+=("$1") ;;
    *) die "'$1' is not an option; targets go behind --" ;;
  esac
  shift
done
((${#targets[@]})) || targets=(//...)

install_packages "${build_packages[@]}" "${test_packages[@]}"
# Debian's conflicts with a nodejs that brings an npm of its own.
command -v npm >/dev/null || install_packages npm
install_consul || say "tests that need a real Consul can't run"

results=()

# Runs the tests once, with a name for the results and more options.
run_tests() {
  local name=$1
  shift
  local events=$PWD/.cache/log/events-$name.json status=0
  mkdir -p .cache/log
  say "$name: bazel test $* ${options[*]-} ${targets[*]}"
  # Bazel says what it is doing every few seconds, and prints what failed.
  "$BAZEL" test --keep_going --progress_report_interval=5 --build_event_json_file="$events" \
    "$@" ${options[@]+"${options[@]}"} -- "${targets[@]}" || status=$?
  results+=("$name=$status=$events")
  # 130: interrupted.
  if ((status == 8 || status == 130)); then die "interrupted"; fi
}

run_tests plain
if [[ ${targets[*]} == //... ]] && ((fuzz_seconds)); then
  say "fuzz: tests/fuzz/run.sh --seconds=$fuzz_seconds"
  status=0
  tests/fuzz/run.sh --seconds="$fuzz_seconds" || status=$?
  results+=("fuzz=$status=$PWD/.cache/fuzz/results.xml")
fi
case $sanitizers in
  '') ;;
  tsan) run_tests tsan --config=tsan ;;
  all)
    run_tests tsan --config=tsan
    run_tests asan-ubsan --config=asan --config=ubsan
    ;;
  *) die "MESHGATE_SANITIZERS is 'tsan' or 'all', not '$sanitizers'" ;;
esac
exec /usr/bin/python3 tools/test_summary.py "${results[@]}"
