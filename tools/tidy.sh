#!/usr/bin/env bash
# Runs clang-tidy over the sources given, or all of the project's own. Needs clang-tidy 14; builds everything first, since
# it reads generated headers.
#
#   tools/tidy.sh [client/watch.cc ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
/usr/bin/bazel build //...
/usr/bin/python3 tools/compile_commands.py
if (($#)); then files=("$@"); else mapfile -t files < <(find client consul metrics server -name '*.cc'); fi
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy --quiet -p .
