"""A browser's own EventSource holds the gateway's streams to what README.md says of them.

    event_source_test.py MESHGATE
"""
import base64
import json
import os
import sys
import unittest
from urllib.parse import quote

import cases
import processes
from chromium import Chromium
from processes import Gateway, call
from tcp_proxy import TcpProxy

MESHGATE = os.path.abspath(sys.argv[1])
WATCH = "/api/v1/watch/config/"
CLOSED, CONNECTING = 2, 0  # EventSource.readyState


def put(gateway, key, value):
    status, _, body = call(f"http://{gateway.address}/api/v1/config/{key}?raw", "PUT", value.encode(),
                           {"Content-Type": "application/octet-stream"})
    if status != 200:
        raise AssertionError(body)


def values(message):
    """What a message says: (snapshot, {key: value})."""
    data = json.loads(message["data"])
    events = {event["entry"]["key"]: base64.b64decode(event["entry"].get("value", "")).decode()
              for event in data.get("events", [])}
    return data.get("snapshot", False), events


class EventSourceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Chromium()
        cls.addClassCleanup(cls.browser.close)
        # One that the gateway knows as an origin, and another, both of which lead to it.
        cls.proxy, cls.stranger = TcpProxy(), TcpProxy()
        cls.addClassCleanup(cls.proxy.close)
        cls.addClassCleanup(cls.stranger.close)
        cls.gateway = Gateway(MESHGATE, f"--http_cors_origins=http://{cls.proxy.address}")
        cls.addClassCleanup(cls.gateway.stop)
        cls.proxy.upstream_port = cls.stranger.upstream_port = cls.gateway.port

    def page(self, address):
        page = self.browser.new_page(f"http://{address}/livez")
        self.addCleanup(page.close)
        return page

    def assert_told(self, page, what, state=None):
        told = page.told()
        self.assertEqual(told["what"], what, told)
        if state is not None:
            self.assertEqual(told["state"], state, told)
        return told

    def assert_message(self, page, snapshot, events):
        message = self.assert_told(page, "message")
        self.assertEqual(values(message), (snapshot, events))
        return message

    def test_state_then_changes(self):
        """A page that misses the first state or a change shows what is no longer so."""
        put(self.gateway, "page/state", "one")
        page = self.page(self.gateway.address)
        page.watch("source", f"{WATCH}page/state")
        self.assert_told(page, "open")
        self.assert_message(page, True, {"page/state": "one"})
        for value in ("two", "three", ""):
            put(self.gateway, "page/state", value)
            message = self.assert_message(page, False, {"page/state": value})
            self.assertNotEqual(message["id"], "")

    def test_key_that_does_not_exist_yet(self):
        """A page that opens before its key is written must neither fail nor miss the key's creation."""
        page = self.page(self.gateway.address)
        page.watch("source", f"{WATCH}page/absent")
        self.assert_told(page, "open")
        self.assert_message(page, True, {})
        put(self.gateway, "page/absent", "here")
        self.assert_message(page, False, {"page/absent": "here"})

    def test_deletion(self):
        """A key that is deleted must not stay on the page."""
        put(self.gateway, "page/deleted", "there")
        page = self.page(self.gateway.address)
        page.watch("source", f"{WATCH}page/deleted")
        self.assert_told(page, "open")
        self.assert_message(page, True, {"page/deleted": "there"})
        call(f"http://{self.gateway.address}/api/v1/config/page/deleted", "DELETE")
        told = json.loads(self.assert_told(page, "message")["data"])
        self.assertEqual([event["type"] for event in told["events"]], ["TYPE_DELETE"])

    def test_prefix_with_any_bytes_in_its_keys(self):
        """encodeURIComponent is what a page has for a key's sake."""
        put(self.gateway, quote("page/ä b/#1", safe=""), "x")
        page = self.page(self.gateway.address)
        page.run("watch('source', '/api/v1/watch/config?prefix=' + encodeURIComponent('page/ä b/'))")
        self.assert_told(page, "open")
        self.assert_message(page, True, {"page/ä b/#1": "x"})

    def cut_page(self, key, change):
        """A page whose connection breaks, a change meanwhile, and the connection again."""
        put(self.gateway, key, "before")
        page = self.page(self.proxy.address)
        page.watch("source", WATCH + key)
        self.assert_told(page, "open")
        last = self.assert_message(page, True, {key: "before"})
        self.proxy.cut()
        self.assert_told(page, "error", CONNECTING)
        change()
        self.proxy.restore()
        # It tries each second, and may have done so in vain before.
        told = page.told()
        while told["what"] == "error":
            self.assertEqual(told["state"], CONNECTING)
            told = page.told()
        self.assertEqual(told["what"], "open", told)
        heads = [head for head in self.proxy.requests() if head.startswith(f"GET {WATCH}{key} ")]
        self.assertNotIn("last-event-id:", heads[0].lower())
        self.assertIn(f"last-event-id: {last['id']}\r\n".lower(), heads[-1].lower())
        return page

    def test_change_during_a_cut_arrives_once(self):
        """Resuming by Last-Event-ID is what makes a browser's own reconnecting lose nothing and repeat nothing."""
        page = self.cut_page("page/cut", lambda: put(self.gateway, "page/cut", "meanwhile"))
        self.assert_message(page, False, {"page/cut": "meanwhile"})
        put(self.gateway, "page/cut", "after")
        self.assert_message(page, False, {"page/cut": "after"})

    def test_nothing_is_told_twice_after_a_cut(self):
        """A state that the page has must not come again."""
        page = self.cut_page("page/quiet", lambda: None)
        self.assert_message(page, False, {})
        put(self.gateway, "page/quiet", "after")
        self.assert_message(page, False, {"page/quiet": "after"})

    def test_restart_of_the_gateway(self):
        """A page stays open through an upgrade: it is told of the end, comes back by itself, and misses nothing."""
        data_dir = processes.temp_dir()
        gateway = Gateway(MESHGATE, data_dir=data_dir)
        put(gateway, "page/restart", "before")
        page = self.page(gateway.address)
        page.watch("source", f"{WATCH}page/restart")
        self.assert_told(page, "open")
        self.assert_message(page, True, {"page/restart": "before"})
        self.assertEqual(gateway.stop(), 0)
        status = json.loads(self.assert_told(page, "end")["data"])
        self.assertEqual(status["code"], 14)
        self.assertIn("DRAINING", json.dumps(status))
        self.assert_told(page, "error", CONNECTING)
        gateway = Gateway(MESHGATE, http=gateway.address, data_dir=data_dir)
        self.addCleanup(gateway.stop)
        put(gateway, "page/restart", "after")
        told = page.told()
        while told["what"] == "error":
            self.assertEqual(told["state"], CONNECTING)
            told = page.told()
        self.assertEqual(told["what"], "open", told)
        # The old value is not told again. Where the page was quicker than the write it is told first that nothing has
        # changed; otherwise the new state, as a snapshot: what was before it this gateway has never seen.
        told = self.assert_told(page, "message")
        if values(told) == (False, {}):
            told = self.assert_told(page, "message")
        self.assertEqual(values(told)[1], {"page/restart": "after"})

    def test_error_that_passes_is_an_end(self):
        """A browser never comes back from a 429: the page would be dead for a moment's lack of room."""
        gateway = Gateway(MESHGATE, "--limit_streams=1")
        self.addCleanup(gateway.stop)
        put(gateway, "page/limit", "x")
        page = self.page(gateway.address)
        page.watch("first", f"{WATCH}page/limit")
        self.assert_told(page, "open")
        self.assert_message(page, True, {"page/limit": "x"})
        page.watch("second", f"{WATCH}page/limit")
        self.assert_told(page, "open")
        status = json.loads(self.assert_told(page, "end")["data"])
        self.assertIn("TOO_MANY_STREAMS", json.dumps(status))
        self.assert_told(page, "error", CONNECTING)
        page.run("first.close()")
        told = page.told()
        while told["what"] != "message":
            self.assertNotEqual(told["state"], CLOSED)
            told = page.told()
        self.assertEqual(told["name"], "second")
        self.assertEqual(values(told), (True, {"page/limit": "x"}))

    def test_error_that_stays_is_one(self):
        """A page that asks for what cannot be must not ask for it each second."""
        page = self.page(self.gateway.address)
        page.watch("source", f"{WATCH}page/state?no_such_parameter=1")
        self.assert_told(page, "error", CLOSED)

    def test_page_of_a_named_origin(self):
        """--http_cors_origins is what a page elsewhere needs."""
        put(self.gateway, "page/origin", "x")
        page = self.page(self.proxy.address)
        page.watch("source", f"http://{self.gateway.address}{WATCH}page/origin")
        self.assert_told(page, "open")
        self.assert_message(page, True, {"page/origin": "x"})

    def test_page_of_another_origin(self):
        """Whatever page somebody on this host looks at must not read the configuration."""
        put(self.gateway, "page/origin", "x")
        page = self.page(self.stranger.address)
        page.watch("source", f"http://{self.gateway.address}{WATCH}page/origin")
        self.assert_told(page, "error", CLOSED)
        # The same page reads what is of its own origin, so it was not the stream that failed.
        page.watch("own", f"{WATCH}page/origin")
        self.assert_told(page, "open")
        self.assert_message(page, True, {"page/origin": "x"})

    def test_name_that_leads_to_the_loopback(self):
        """DNS rebinding makes any page one of the gateway's origin."""
        put(self.gateway, "page/origin", "x")
        page = self.page(f"rebound.example:{self.gateway.port}")
        page.watch("source", f"{WATCH}page/origin")
        self.assert_told(page, "error", CLOSED)

    def fetch(self, page):
        put(self.gateway, "page/fetch", "x")
        return page.run(f"""(async () => {{
          const response = await fetch('http://{self.gateway.address}{WATCH}page/fetch',
                                       {{headers: {{'X-Consul-Token': 'anything'}}}});
          const reader = response.body.getReader();
          let text = '';
          while (!text.includes('data: ')) text += new TextDecoder().decode((await reader.read()).value);
          await reader.cancel();
          return text;
        }})().catch((error) => 'refused: ' + error.name)""")

    def test_fetch_with_a_token(self):
        """With access control a page reads the events with fetch(), for which the browser asks first (a preflight)."""
        self.assertIn('"snapshot":true', self.fetch(self.page(self.proxy.address)).replace(" ", ""))

    def test_fetch_from_another_origin(self):
        """The preflight is refused, too."""
        self.assertEqual(self.fetch(self.page(self.stranger.address)), "refused: TypeError")


if __name__ == "__main__":
    cases.main()
