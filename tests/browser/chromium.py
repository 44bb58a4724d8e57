"""Chromium without a window, told what to do over a pipe in the DevTools protocol."""
import json
import os
import select
import subprocess
import tempfile
import time

import processes

# Each page's window to the test: a function that tells it something, and what an EventSource saw, told as it is seen.
_PRELUDE = """
function watch(name, url) {
  const source = new EventSource(url);
  const tell = (what, more) => told(JSON.stringify({name, what, state: source.readyState, ...more}));
  source.onopen = () => tell('open');
  source.onerror = () => tell('error');
  source.onmessage = (event) => tell('message', {id: event.lastEventId, data: event.data});
  source.addEventListener('end', (event) => tell('end', {data: event.data}));
  window[name] = source;
}
"""


class Chromium:
    def __init__(self):
        self._profile = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"), ignore_cleanup_errors=True)
        ours, theirs = os.pipe(), os.pipe()

        def use_pipes():
            # It reads at 3 and writes at 4. Neither end may be overwritten before it has been moved.
            read, write = os.dup(ours[0]), os.dup(theirs[1])
            os.dup2(read, 3)
            os.dup2(write, 4)

        with open(f"{self._profile.name}/log", "wb") as log:
            self._process = subprocess.Popen([
                "chromium", "--headless", "--remote-debugging-pipe", f"--user-data-dir={self._profile.name}/profile",
                # Tests run as whoever runs them, root too, in a sandbox of their own.
                "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
                # The one name that there is leads to the loopback.
                "--host-resolver-rules=MAP rebound.example 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "about:blank",
            ], stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False, preexec_fn=use_pipes,
                env={**os.environ, "HOME": self._profile.name})
        os.close(ours[0])
        os.close(theirs[1])
        self._write, self._read = ours[1], theirs[0]
        self._buffer = b""
        self._last_id = 0
        self._events = []

    def close(self):
        try:
            self.call("Browser.close")
            self._process.wait(processes.BOUND)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            pass  # Then it is ended without being asked.
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._write)
            os.close(self._read)
            self._profile.cleanup()

    def new_page(self, url):
        """A page that has been loaded from there, whatever is there."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(self, target, session)
        page.call("Page.enable")
        page.call("Runtime.enable")
        page.call("Runtime.addBinding", {"name": "told"})
        page.call("Page.addScriptToEvaluateOnNewDocument", {"source": _PRELUDE})
        answer = page.call("Page.navigate", {"url": url})
        if "errorText" in answer:
            raise AssertionError(f"{url}: {answer['errorText']}")
        self.await_event(lambda event: event["method"] == "Page.loadEventFired" and event["sessionId"] == session)
        return page

    def call(self, method, params=None, session=None):
        self._last_id += 1
        request = {"id": self._last_id, "method": method, "params": params or {}}
        if session:
            request["sessionId"] = session
        os.write(self._write, json.dumps(request).encode() + b"\0")
        deadline = time.monotonic() + processes.BOUND
        while True:
            message = self._next(deadline)
            if message.get("id") == self._last_id:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]
            self._events.append(message)

    def await_event(self, matches, seconds=processes.BOUND):
        """Takes the first event that matches; None when none comes in time."""
        deadline = time.monotonic() + seconds
        checked = 0
        while True:
            for i in range(checked, len(self._events)):
                if matches(self._events[i]):
                    return self._events.pop(i)
            checked = len(self._events)
            message = self._next(deadline, None)
            if message is None:
                return None
            self._events.append(message)

    def _next(self, deadline, *default):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            if not data:
                if ready or not default:
                    raise AssertionError(f"chromium {'has ended' if ready else 'does not answer'}:\n{self._log()}")
                return default[0]
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _log(self):
        with open(f"{self._profile.name}/log", encoding="utf-8", errors="replace") as file:
            return file.read()


class Page:
    """One page; told() is what its EventSources have seen, in order."""

    def __init__(self, browser, target, session):
        self._browser, self._target, self._session = browser, target, session

    def call(self, method, params=None):
        return self._browser.call(method, params, self._session)

    def run(self, script):
        """Evaluates the script, waits for the promise it is, if any, and returns its value."""
        answer = self.call("Runtime.evaluate", {"expression": script, "awaitPromise": True, "returnByValue": True})
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def watch(self, name, url):
        """new EventSource(url), as `name`."""
        self.run(f"watch({json.dumps(name)}, {json.dumps(url)})")

    def told(self, seconds=processes.BOUND):
        """The next thing that an EventSource of the page saw."""
        event = self._browser.await_event(
            lambda event: event["method"] == "Runtime.bindingCalled" and event["sessionId"] == self._session, seconds)
        if event is None:
            raise AssertionError("the page has nothing to tell")
        return json.loads(event["params"]["payload"])

    def close(self):
        self._browser.call("Target.closeTarget", {"targetId": self._target})
