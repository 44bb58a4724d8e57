#!/bin/sh
# Debian's python, and what its tests share: run.sh TEST.py ARGUMENTS...
export PYTHONPATH="$PWD/tests/testing/python" PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 "$@"
