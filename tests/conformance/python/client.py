"""Runs the script's cases against a server; see script.proto.

client.py --target=HOST:PORT --script=FILE --descriptors=FILE [--drain]
"""
import argparse
import json
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import grpc
from google.protobuf import json_format

import calls
import protos
import standard

KEEPALIVE_TIMEOUT_MS = 5000


def say(case, outcome):
    print(json.dumps({"case": case.name, "outcome": json_format.MessageToDict(outcome)}), flush=True)


def make_channel(target, keepalive_ms):
    # Its own limit of 8 KiB would refuse what the server sends back.
    options = [("grpc.max_metadata_size", 64 << 10)]
    if keepalive_ms:
        options += [("grpc.keepalive_time_ms", keepalive_ms), ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
                    ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0)]
    return grpc.insecure_channel(target, options=options)


def run_drain(channel, cases):
    """Has calls in progress when the server is told to drain, which happens on the line that says so."""
    outcomes = {}
    threads = []
    for case in cases:
        if case.until_code:
            continue
        call = calls.Call(channel, case)
        threads.append(threading.Thread(target=lambda case=case, call=call: outcomes.update({case.name: call.run()})))
        threads[-1].start()
        call.wait_started()
    print(json.dumps({"ready": True}), flush=True)
    for case in cases:
        if case.until_code:
            outcomes[case.name] = calls.run(channel, case)
    for thread in threads:
        thread.join()
    for case in cases:
        say(case, outcomes[case.name])


def main():
    parser = argparse.ArgumentParser()
    for flag in ("--target", "--script", "--descriptors"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--drain", action="store_true")
    args = parser.parse_args()
    protos.load(args.descriptors)
    with open(args.script, "rb") as file:
        script = protos.conformance("Script").FromString(file.read())
    cases = [c for c in script.cases if c.drain == args.drain and "python" not in c.not_for]
    channel = make_channel(args.target, 0)
    if args.drain:
        run_drain(channel, cases)
        return
    for case in cases:
        own = make_channel(args.target, case.keepalive_ms) if case.keepalive_ms else channel
        say(case, (standard if case.method[:1] in "HR" else calls).run(own, case))


main()
