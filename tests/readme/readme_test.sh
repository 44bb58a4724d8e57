#!/bin/sh
# Debian's python, whose packages grpc and protobuf are in.
exec /usr/bin/python3 tests/readme/readme_test.py "$@"
