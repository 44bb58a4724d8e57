#!/usr/bin/env bash
# Fuzzes what reads bytes that come from outside, with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   tests/fuzz/run.sh [--seconds=N] [--jobs=N] [TARGET ...]
#
# Each target runs for N seconds (300), as many at a time as --jobs says (one for each CPU); without a name all of them.
# Prints the executions of each and whether it has found anything. What it has found, and the inputs that it has made on
# the way, are in .cache/fuzz/TARGET; the latter are where the next run begins. .cache/fuzz/results.xml has a test case
# for each target.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/system.sh
. tools/system.sh

seconds=300
jobs=$(nproc)
targets=()
while (($#)); do
  case $1 in
    -h | --help)
      sed -n '2,/^\[/{/^\[/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    --seconds=*) seconds=${1#*=} ;;
    --jobs=*) jobs=${1#*=} ;;
    -*) die "'$1' is not an option" ;;
    *) targets+=("$1") ;;
  esac
  shift
done
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "--seconds takes a number, not '$seconds'"
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die "--jobs takes a number, not '$jobs'"
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

results=$PWD/.cache/fuzz/results.xml
mkdir -p .cache/log .cache/fuzz
rm -f "$results"
with_progress "building" .cache/log/fuzz-build.log \
  "$BAZEL" build ${BAZEL_JOBS:+--jobs="$BAZEL_JOBS"} --config=fuzz --symlink_prefix=.cache/fuzz- "${targets[@]/#/\/\/tests\/fuzz:}"
TEST_TMPDIR=$(mktemp -d)
export TEST_TMPDIR
trap 'rm -rf "$TEST_TMPDIR"' EXIT

# Runs one target, with its output in its folder, and says how it went.
fuzz() {
  local target=$1 work=$PWD/.cache/fuzz/$1 status=0 executions
  mkdir -p "$work/inputs" "$TEST_TMPDIR/$target"
  # What a target prints itself may be much; what the fuzzer says is at the end.
  TEST_TMPDIR=$TEST_TMPDIR/$target .cache/fuzz-bin/tests/fuzz/"$target" -max_total_time="$seconds" -timeout=20 \
    -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$work/" "$work/inputs" "tests/fuzz/corpus/$target" \
    >"$work/log" 2>&1 </dev/null || status=$?
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
  if ((status == 0)); then
    printf 'ok     %-24s %12s executions\n' "$target" "$executions"
    printf '<testcase name="%s"/>\n' "$target" >"$work/case.xml"
  else
    printf 'FAILED %-24s %12s executions\n' "$target" "${executions:--}"
    grep -aE 'not so:|ERROR:|runtime error:|Test unit written' "$work/log" | sed 's/^/         /' || tail -n 5 "$work/log"
    printf '<testcase name="%s"><failure message="see %s"/></testcase>\n' "$target" "$work/log" >"$work/case.xml"
  fi
}

for target in "${targets[@]}"; do
  while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
  rm -f ".cache/fuzz/$target/case.xml"
  fuzz "$target" &
done
wait

{
  printf '<testsuite name="fuzz">\n'
  for target in "${targets[@]}"; do
    cat ".cache/fuzz/$target/case.xml" 2>/dev/null ||
      printf '<testcase name="%s"><failure message="did not run"/></testcase>\n' "$target"
  done
  printf '</testsuite>\n'
} >"$results"
! grep -q '<failure' "$results"
