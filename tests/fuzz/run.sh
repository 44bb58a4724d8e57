#!/usr/bin/env bash
# Fuzzes what reads bytes that come from outside, with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   tests/fuzz/run.sh [--seconds=N] [TARGET ...]    each for N seconds (300); without a name all of them
#
# Prints the executions of each target and whether it has found anything. What it has found, and the inputs that it has
# made on the way, are in .cache/fuzz/TARGET; the latter are where the next run begins.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/system.sh
. tools/system.sh

seconds=300
targets=()
while (($#)); do
  case $1 in
    -h | --help)
      sed -n '2,/^\[/{/^\[/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    --seconds=*) seconds=${1#*=} ;;
    -*) die "'$1' is not an option" ;;
    *) targets+=("$1") ;;
  esac
  shift
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "--seconds takes a number, not '$seconds'"
if ((${#targets[@]} == 0)); then
  for file in tests/fuzz/*_fuzz.cc; do targets+=("$(basename "$file" .cc)"); done
fi
for target in "${targets[@]}"; do
  [[ -e tests/fuzz/$target.cc ]] || die "there is no target '$target' in tests/fuzz"
done
command -v "$BAZEL" >/dev/null || die "Bazel is missing: ./tests/run.sh installs what is needed"
for package in clang libclang-rt-14-dev; do
  [[ -z $(missing_packages "$package") ]] || die "$package is missing: apt-get install clang libclang-rt-14-dev"
done

mkdir -p .cache/log
with_progress "building" .cache/log/fuzz-build.log \
  "$BAZEL" build ${BAZEL_JOBS:+--jobs="$BAZEL_JOBS"} --config=fuzz --symlink_prefix=.cache/fuzz- "${targets[@]/#/\/\/tests\/fuzz:}"
TEST_TMPDIR=$(mktemp -d)
export TEST_TMPDIR
trap 'rm -rf "$TEST_TMPDIR"' EXIT

found=0
for target in "${targets[@]}"; do
  work=$PWD/.cache/fuzz/$target
  mkdir -p "$work/inputs"
  status=0
  # What a target prints itself may be much; what the fuzzer says is at the end.
  .cache/fuzz-bin/tests/fuzz/"$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$work/" "$work/inputs" "tests/fuzz/corpus/$target" >"$work/log" 2>&1 </dev/null || status=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
  if ((status == 0)); then
    printf 'ok     %-24s %12s executions\n' "$target" "$executions"
  else
    found=1
    printf 'FAILED %-24s %12s executions\n' "$target" "${executions:--}"
    grep -E 'not so:|ERROR:|runtime error:|Test unit written' "$work/log" | sed 's/^/         /' || tail -n 5 "$work/log"
  fi
done
exit "$found"
