#!/usr/bin/env bash
# Formats the C++ sources; with --check only says which ones are not formatted. Needs clang-format 14.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mode=(-i)
if [[ ${1:-} == --check ]]; then mode=(--dry-run --Werror); fi
find client consul metrics server tests -name '*.cc' -print0 -o -name '*.h' -print0 |
  xargs -0 clang-format "${mode[@]}" --style=file
