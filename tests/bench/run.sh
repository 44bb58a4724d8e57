#!/usr/bin/env bash
# Builds the gateway as it is shipped and measures it, alone and against other servers.
#
#   tests/bench/run.sh                            everything, 3 runs of what is compared; half an hour
#   tests/bench/run.sh [WORKLOAD ...] [--only=PATTERN] [--servers=PATTERN] [--runs=N] [--quick] [OPTIONS]
#     compared:   fan_out unary discover propagation idle
#     others:     slow_reader many_keys stream_cost reconnect floods http_streams
#   tests/bench/run.sh --quick                    all of them, tiny: whether they work
#   tests/bench/run.sh micro [OPTIONS OF GOOGLE BENCHMARK]
#
# docs/performance.md says what each does, prints and takes.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/system.sh
. tools/system.sh

case ${1:-} in
  -h | --help)
    sed -n '2,/^\[/{/^\[/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
command -v "$BAZEL" >/dev/null || die "Bazel is missing: ./tests/run.sh installs what is needed"
mkdir -p .cache/log
program=tests/bench/bench
if [[ ${1:-} == micro ]]; then
  program=tests/bench/micro/micro
  shift
fi
with_progress "building" .cache/log/bench-build.log \
  "$BAZEL" build --config=opt --symlink_prefix=.cache/bench- "//${program%/*}:${program##*/}"
TEST_TMPDIR=$(mktemp -d)
export TEST_TMPDIR
trap 'rm -rf "$TEST_TMPDIR"' EXIT
cd ".cache/bench-bin/$program.runfiles/meshgate"
"$program" "$@"
