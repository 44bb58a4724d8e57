#!/bin/sh
exec /usr/bin/python3 tests/tools/test_summary_test.py
