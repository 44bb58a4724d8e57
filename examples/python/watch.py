"""Keeps the configuration under a prefix up to date, and prints it whenever it changes."""
import os
import sys
import time

import grpc
from meshgate.v1 import config_service_pb2 as api
from meshgate.v1 import config_service_pb2_grpc as rpc

prefix = sys.argv[1]
config = {}
endpoint = os.environ.get("MESHGATE_ENDPOINT", "127.0.0.1:50051")
with grpc.insecure_channel(endpoint, options=[("grpc.enable_http_proxy", 0)]) as channel:
    stub = rpc.ConfigServiceStub(channel)
    while True:
        try:
            for response in stub.WatchConfig(api.WatchConfigRequest(prefix=prefix), wait_for_ready=True):
                if response.snapshot:  # The whole state; otherwise what has changed.
                    config.clear()
                for event in response.events:
                    if event.type == api.ConfigEvent.TYPE_PUT:
                        config[event.entry.key] = event.entry.value.decode(errors="replace")
                    else:
                        config.pop(event.entry.key, None)
                print("stale" if response.stale else "current", dict(sorted(config.items())), flush=True)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
        time.sleep(1)  # The gateway is restarting: subscribe again.
