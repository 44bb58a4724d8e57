#!/usr/bin/env bash
# Builds the gateway as it is shipped and measures it.
#
#   tests/bench/run.sh slow_reader|many_keys|stream_cost [OPTIONS]
#   tests/bench/run.sh --quick                    all of them, tiny: whether they work
#
# docs/performance.md says what each does, prints and takes.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/system.sh
. tools/system.sh

case ${1:-} in
  '' | -h | --help)
    sed -n '2,/^\[/{/^\[/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
command -v "$BAZEL" >/dev/null || die "Bazel is missing: ./tests/run.sh installs what is needed"
mkdir -p .cache/log
with_progress "building" .cache/log/bench-build.log \
  "$BAZEL" build --config=opt --symlink_prefix=.cache/bench- //tests/bench
TEST_TMPDIR=$(mktemp -d)
export TEST_TMPDIR
trap 'rm -rf "$TEST_TMPDIR"' EXIT
cd .cache/bench-bin/tests/bench/bench.runfiles/meshgate
tests/bench/bench "$@"
