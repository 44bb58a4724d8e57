"""A thousand programs that ask as `consul watch` does, through a gateway, are one to Consul.

    fan_in_test.py MESHGATE
"""
import asyncio
import base64
import collections
import gzip
import json
import os
import re
import resource
import sys
import time
import unittest

import cases
import processes
from processes import ConsulAgent, Gateway, await_true, call
from tcp_proxy import TcpProxy

MESHGATE = os.path.abspath(sys.argv[1])
READERS = 1000
KEY = "/v1/kv/fleet/flags"
# Consul's own default, which a gateway must not need more of.
AGENT_CONNECTIONS = 200
ESTABLISHED = "01"


def connections_to(port):
    """Bytes that wait to be read, of each established connection at the side of a port of this host."""
    waiting = []
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            # "sl local_address rem_address st tx_queue:rx_queue ...", all of it hexadecimal.
            fields = line.split()
            if fields[3] == ESTABLISHED and int(fields[1].split(":")[1], 16) == port:
                waiting.append(int(fields[4].split(":")[1], 16))
    return waiting


class Reader:
    """One program: a connection that it keeps, and a request at a time."""

    async def connect(self, address):
        host, _, port = address.partition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))

    def ask(self, target):
        # As Go's library asks.
        self._writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n".encode())

    async def answer(self):
        """(status, headers, body)"""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if headers.get("transfer-encoding") == "chunked":
            body = await self._chunks()
        else:
            body = await self._reader.readexactly(int(headers["content-length"]))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return int(head[0].split()[1]), headers, body

    async def _chunks(self):
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return body

    def close(self):
        self._writer.close()


async def all_of(readers):
    return await asyncio.wait_for(asyncio.gather(*(reader.answer() for reader in readers)), 4 * processes.BOUND)


class FanInTest(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        cls.agent = ConsulAgent("fan-in", f"limits {{ http_max_conns_per_client = {AGENT_CONNECTIONS} }}")
        cls.addClassCleanup(cls.agent.stop)
        cls.proxy = TcpProxy(cls.agent.port)
        cls.addClassCleanup(cls.proxy.close)
        # Half as many again as there are readers: some are kept for calls.
        cls.gateway = Gateway(MESHGATE, "--backend=consul", f"--consul_address=http://{cls.proxy.address}",
                              f"--http_max_connections={READERS * 3 // 2}", "--consul_wait=5m")
        cls.addClassCleanup(cls.gateway.stop)

    def put(self, value):
        call(f"http://{self.agent.address}{KEY}", "PUT", value)

    async def readers(self):
        readers = [Reader() for _ in range(READERS)]
        for reader in readers:
            self.addCleanup(reader.close)
            await reader.connect(self.gateway.address)
        return readers

    def blocking_queries(self):
        """Of the key, that Consul was asked so far."""
        return [head.split()[1] for head in self.proxy.requests() if re.match(rf"GET {KEY}\?\S*index=[1-9]", head)]

    async def test_a_thousand_blocking_queries_are_one(self):
        """Each reader would cost Consul a connection, of which it gives a host 200."""
        self.put(b"one")
        readers = await self.readers()
        for reader in readers:
            reader.ask(KEY)
        # Reads that do not wait are Consul's to answer, over connections that are kept for the next ones.
        index = self.check(await all_of(readers), "one")
        before = len(connections_to(self.agent.port))
        begun = time.monotonic()
        for count, value in enumerate(["two", "three", "four"], 1):
            for i, reader in enumerate(readers):
                # `consul watch` leaves how long to Consul, libraries say it.
                reader.ask(f"{KEY}?index={index}" + ("&wait=300000ms" if i % 2 else ""))
            answers = asyncio.create_task(all_of(readers))
            await asyncio.sleep(0)
            await_true(lambda: sum(connections_to(self.gateway.port)) == 0 and len(self.blocking_queries()) >= count,
                       "the gateway has read all that it was asked, and asks Consul")
            # Since the one before was answered there has been one, and one more where that had waited for a second.
            most = count + int(time.monotonic() - begun)
            self.assertLessEqual(len(self.blocking_queries()), most, self.blocking_queries())
            # Some of those for calls may be open.
            self.assertLessEqual(len(connections_to(self.agent.port)), before + 1)
            self.assertFalse(answers.done())
            self.put(value.encode())
            index = self.check(await answers, value)

    def check(self, answers, value):
        """Holds the answers to be one; returns its index."""
        self.assertEqual(collections.Counter(status for status, _, _ in answers), {200: READERS})
        bodies = {body for _, _, body in answers}
        self.assertEqual(len(bodies), 1)
        self.assertEqual(base64.b64decode(json.loads(bodies.pop())[0]["Value"]).decode(), value)
        indexes = {headers["x-consul-index"] for _, headers, _ in answers}
        self.assertEqual(len(indexes), 1)
        return indexes.pop()


if __name__ == "__main__":
    cases.main()
