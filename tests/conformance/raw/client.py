"""Makes requests that no gRPC client makes, and tells what comes back frame by frame; see Raw in script.proto.

client.py --target=HOST:PORT --script=FILE --descriptors=FILE
"""
import argparse
import gzip
import json
import os
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
# pylint: disable=wrong-import-position
from google.protobuf import json_format
import h2.config
import h2.connection
import h2.events
import h2.exceptions

import protos

PATIENCE = 20
LEFT_OUT = (b"date",)


class Connection:
    """One HTTP/2 connection and what has come back on it."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False,
            validate_inbound_headers=False))
        self.h2.initiate_connection()
        self.flush()
        self.unread, self.answers, self.body = b"", [], b""
        self.over, self.pongs, self.settled = False, 0, False

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def read_until(self, done):
        while not self.over and not done():
            received = self.socket.recv(65536)
            if not received:
                self.over = True
                break
            self.unread += received
            for frame in self.whole_frames():
                for event in self.h2.receive_data(frame):
                    self.handle(event)
                if self.over:
                    # h2 takes offence at the RST_STREAM that may follow an end.
                    return
            try:
                self.flush()
            except OSError:
                # What the server has sent before it closed is still to be read.
                pass

    def whole_frames(self):
        while len(self.unread) >= 9:
            size = 9 + int.from_bytes(self.unread[:3], "big")
            if len(self.unread) < size:
                break
            frame, self.unread = self.unread[:size], self.unread[size:]
            yield frame

    def handle(self, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            self.settled = True
        elif isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
            self.tell_messages()
            kind = "headers" if isinstance(event, h2.events.ResponseReceived) else "trailers"
            self.answers += [f"{kind} {key.decode()}: {value.decode('latin1')}"
                             for key, value in sorted(event.headers) if key not in LEFT_OUT]
        elif isinstance(event, h2.events.DataReceived):
            self.body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.tell_messages()
            self.over = True
        elif isinstance(event, h2.events.StreamReset):
            self.answers.append(f"reset {int(event.error_code)}")
            self.over = True
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1
            self.answers.append("pong")
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.answers.append(f"goaway {int(event.error_code)} {(event.additional_data or b'').decode()}")
            self.over = True

    def tell_messages(self):
        """Those that are whole in the body; what is not is told as it is."""
        while len(self.body) >= 5:
            compressed, size = struct.unpack(">BI", self.body[:5])
            if len(self.body) < 5 + size:
                break
            message, self.body = self.body[5:5 + size], self.body[5 + size:]
            message = gzip.decompress(message) if compressed == 1 else message
            self.answers.append(f"message {len(message)}" + (" compressed" if compressed else ""))
        if self.body:
            self.answers.append(f"body {self.body!r}")
            self.body = b""


def headers_of(case, target):
    headers = {":method": "POST", ":scheme": "http", ":path": "/meshgate.conformance.v1.Conformance/Unary",
               ":authority": target, "te": "trailers", "content-type": "application/grpc"}
    more = []
    for line in case.raw.headers:
        key, value = line[:1] + line[1:].split(":", 1)[0], line[1:].split(":", 1)[1].strip()
        if not value:
            headers.pop(key, None)
        elif key in headers:
            headers[key] = value
        else:
            more.append((key, value))
    more += [(entry.key, entry.value.decode() * max(entry.times, 1)) for entry in case.metadata]
    return list(headers.items()) + more


def body_of(case, headers):
    if case.raw.has_no_body:
        return b""
    if case.raw.body:
        return case.raw.body
    request = protos.conformance("CallRequest")(plan=case.plan, payload=bytes(case.request_bytes)).SerializeToString()
    compressed = ("grpc-encoding", "gzip") in headers
    if compressed:
        request = gzip.compress(request)
    return struct.pack(">BI", int(compressed), len(request)) + request


def ping(connection, pings):
    for i in range(pings):
        connection.h2.ping(i.to_bytes(8, "big"))
        connection.flush()
        connection.read_until(lambda: connection.pongs > i)  # pylint: disable=cell-var-from-loop
        if connection.over:
            break


def call(connection, case, target):
    headers = headers_of(case, target)
    body = body_of(case, headers)
    connection.h2.send_headers(1, headers, end_stream=not body)
    step = case.raw.data_frame_bytes or len(body)
    for start in range(0, len(body), step or 1):
        connection.h2.send_data(1, body[start:start + step], end_stream=start + step >= len(body))
    connection.flush()
    connection.read_until(lambda: False)


def main():
    parser = argparse.ArgumentParser()
    for flag in ("--target", "--script", "--descriptors"):
        parser.add_argument(flag, required=True)
    args = parser.parse_args()
    protos.load(args.descriptors)
    with open(args.script, "rb") as file:
        script = protos.conformance("Script").FromString(file.read())
    for case in script.cases:
        connection = Connection(args.target)
        try:
            # Settings are in force once they have been acknowledged.
            connection.read_until(lambda: connection.settled)
            if case.raw.pings:
                ping(connection, case.raw.pings)
            else:
                call(connection, case, args.target)
        except (OSError, h2.exceptions.ProtocolError) as error:
            connection.answers.append(f"error {type(error).__name__}")
        connection.socket.close()
        outcome = protos.conformance("Outcome")(answers=connection.answers)
        print(json.dumps({"case": case.name, "outcome": json_format.MessageToDict(outcome)}), flush=True)


main()
