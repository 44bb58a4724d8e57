#!/usr/bin/env bash
# Runs the whole fault matrix: real Consul agents, real gateways, writers and readers, and every harm that can be done to
# them. Installs what the tests need. About ten minutes on two cores.
#
#   ./tests/fault/run.sh [OPTIONS OF BAZEL TEST] [-- GTEST OPTIONS]
#     ./tests/fault/run.sh                                     everything
#     ./tests/fault/run.sh --config=opt                        with an optimized gateway
#     ./tests/fault/run.sh -- --gtest_filter='*Agent*'         some of it
#
# Ends with a table: fault, writes acknowledged, deliveries to readers, violations of what README.md promises of a watch
# (all 0), and the longest time from the end of a fault until every reader held what Consul holds. Exit status 0 when
# there are none. What each violation is stands above the table.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/packages.sh
. tools/packages.sh
# shellcheck source=tools/system.sh
. tools/system.sh

options=()
arguments=()
while (($#)); do
  case $1 in
    -h | --help)
      sed -n '2,/^\[/{/^\[/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    --)
      shift
      for argument in "$@"; do arguments+=("--test_arg=$argument"); done
      break
      ;;
    -*) options+=("$1") ;;
    *) die "'$1' is not an option; gtest's options go behind --" ;;
  esac
  shift
done

install_packages "${build_packages[@]}" "${test_packages[@]}"
install_consul || die "the matrix needs a real Consul"

say "building"
"$BAZEL" build --progress_report_interval=5 ${options[@]+"${options[@]}"} //tests/fault:matrix_test
# One scenario at a time, with its output as it comes: the bounds in time are for a machine that does nothing else.
exec "$BAZEL" test --nocache_test_results --test_output=streamed --test_timeout=1800 --test_sharding_strategy=disabled \
  --test_env=MESHGATE_FAULT_MATRIX=full --test_env=GTEST_BRIEF=0 ${options[@]+"${options[@]}"} \
  ${arguments[@]+"${arguments[@]}"} //tests/fault:matrix_test
