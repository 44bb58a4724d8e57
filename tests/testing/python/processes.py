"""Real gateways and agents of Consul for tests in Python, on free ports of the loopback.

They are ended by who started them, and die with the thread that did, so start them on the main one.
"""
import ctypes
import json
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

BOUND = 30  # Seconds; longer than anything that works takes.
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def temp_dir():
    return tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))


_given = set()


def free_ports(count):
    """Ports that nobody uses, none of them given before, and below those that the kernel gives to whoever connects."""
    ports = []
    while len(ports) < count:
        port = random.randrange(10_000, 32_768)
        if port not in _given and _is_free(port):
            _given.add(port)
            ports.append(port)
    return ports


def _is_free(port):
    for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
        with socket.socket(socket.AF_INET, kind) as bound:
            try:
                bound.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def await_true(condition, what):
    """Asks until the condition holds, and returns what it returned."""
    deadline = time.monotonic() + BOUND
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come to be within {BOUND} s: {what}")
        time.sleep(0.01)


def call(url, method="GET", body=None, headers=None):
    """One request by somebody who is not under test: (status, headers, body)."""
    request = urllib.request.Request(url, method=method, data=body, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=BOUND) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class Process:
    """A child with its output, both streams of it, in a file."""

    def __init__(self, command, **options):
        self.folder = temp_dir()
        self.log_file = f"{self.folder}/log"
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), **options)

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as file:
            return file.read()

    def find(self, pattern):
        """Waits until the log has it."""
        def look():
            found = re.search(pattern, self.log())
            if not found and self.process.poll() is not None:
                raise AssertionError(f"{self.process.args[0]} has ended:\n{self.log()}")
            return found
        return await_true(look, f"{pattern!r} in the log of {self.process.args[0]}")

    def stop(self):
        """Ends it as an operator would; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(BOUND)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class ConsulAgent(Process):
    """`consul agent -dev`: in memory, leader of itself, ready when the constructor returns."""

    def __init__(self, node_name, config=""):
        http, server, serf_lan, serf_wan = free_ports(4)
        folder = temp_dir()
        with open(f"{folder}/agent.hcl", "w", encoding="utf-8") as file:
            file.write(config)
        super().__init__([
            "consul", "agent", "-dev", f"-node={node_name}", "-client=127.0.0.1", "-bind=127.0.0.1",
            f"-http-port={http}", f"-server-port={server}", f"-serf-lan-port={serf_lan}", f"-serf-wan-port={serf_wan}",
            "-dns-port=-1", "-grpc-port=-1", f"-config-file={folder}/agent.hcl"])
        self.address = f"127.0.0.1:{http}"
        self.port = http
        self.ports = (http, server, serf_lan, serf_wan)
        await_true(lambda: self._ready(node_name), f"an agent that is ready; its log:\n{self.log()}")

    def _ready(self, node_name):
        if self.process.poll() is not None:
            raise AssertionError(f"consul has ended:\n{self.log()}")
        try:
            # Services can be registered once the node itself is in the catalog. Another agent may have taken the port.
            status, _, body = call(f"http://{self.address}/v1/health/node/{node_name}")
            return status == 200 and any(check["CheckID"] == "serfHealth" for check in json.loads(body))
        except OSError:
            return False


class Gateway(Process):
    """The real meshgate; `binary` is its path."""

    def __init__(self, binary, *flags, http="127.0.0.1:0", data_dir=None):
        super().__init__([binary, "--grpc_listen=127.0.0.1:0", f"--http_listen={http}",
                          f"--data_dir={data_dir or temp_dir()}", *flags])
        self.address = self.find(r"listening grpc=\S+ http=(\S+)")[1]
        self.port = int(self.address.rpartition(":")[2])
