"""A world is a fresh agent of Consul and the address at which clients believe it to be."""
import os
import re
import shlex
import subprocess
import tempfile

import normal_form
import processes
from processes import await_true, call

# Each agent's: it is in what they answer.
NODE = "dropin"


class World:
    """Runs commands in a folder of its own and keeps what came of each, by its name."""

    def __init__(self, agent, address):
        self.agent = agent
        self.address = address
        self.folder = tempfile.mkdtemp(prefix="world-", dir=os.environ.get("TEST_TMPDIR"))
        self.outcomes = {}
        # Commands that ended otherwise than the script expects: what both sides get wrong alike is no agreement.
        self.surprises = {}
        self.failed = None  # Why the script did not come to its end, if so.
        # What commands may have in them as {name}: what differs between worlds, such as a session.
        self.variables = {"address": address}
        # Where the agent listens, and whoever stands before it, is wherever it was free.
        ports = {*agent.ports, int(address.rpartition(":")[2])}
        self._own_ports = rf"\b(?:{'|'.join(map(str, ports))})\b"
        self._environment = {"PATH": os.environ["PATH"], "HOME": self.folder, "CONSUL_HTTP_ADDR": address,
                             "CONSUL_CLI_NO_COLOR": "1"}

    def tell(self, name, outcome):
        """Keeps an outcome under the name, or the name with a number where there is one already; returns which."""
        unique, count = name, 1
        while unique in self.outcomes:
            count += 1
            unique = f"{name} ({count})"
        self.outcomes[unique] = outcome
        return unique

    def run(self, command, status=0, stdin=""):
        """A command line of its own, without a shell, that is expected to end with this status. Returns what it printed."""
        done = subprocess.run(self._words(command), input=stdin.encode(), cwd=self.folder, env=self._environment,
                              timeout=processes.BOUND, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, errors = done.stdout.decode(), done.stderr.decode()
        name = self.tell(command, self.plain(
            f"exit status {done.returncode}\n{normal_form.output(output)}\n--- standard error\n{errors}"))
        if done.returncode != status:
            self.surprises[name] = f"exit status {done.returncode}, not {status}:\n{output}\n{errors}"
        return output

    def http(self, method, target, *arguments, stdin=""):
        """A request by curl. Returns the body."""
        done = subprocess.run(
            ["curl", "-sSi", "--path-as-is", "-m", str(processes.BOUND), "-X", method,
             *arguments,
             f"http://{self.address}{target.format(**self.variables)}"],
            input=stdin.encode(), cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        answer = done.stdout.decode("utf-8", "backslashreplace")
        name = " ".join(["curl", method, target, *map(repr, arguments)])
        self.tell(name, self.plain(normal_form.response(answer)) + done.stderr.decode())
        return answer.partition("\r\n\r\n")[2]

    def start(self, command):
        """The same as run(), but it goes on: see Running."""
        return Running(self, command, self._words(command), self._environment)

    def settle(self, target, pattern):
        """Asks the agent itself until it answers what the pattern matches: services come to the catalog by and by."""
        await_true(lambda: re.search(pattern, call(f"http://{self.agent.address}{target}")[2].decode()),
                   f"{pattern} in {target}")

    def plain(self, text):
        """The text without what only this run can have in it."""
        return normal_form.text(re.sub(self._own_ports, "<port>", text))

    def write(self, name, content):
        with open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
            file.write(content)

    def read(self, name):
        try:
            with open(f"{self.folder}/{name}", encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def await_lines(self, name, count):
        """Waits until a file of the folder has so many lines."""
        await_true(lambda: self.read(name).count("\n") >= count, f"{count} lines in {name}: {self.read(name)!r}")

    def _words(self, command):
        return [word.format(**self.variables) for word in shlex.split(command)]


class Running:
    """A command that has not ended yet."""

    def __init__(self, world, command, words, environment):
        self._world, self._command = world, command
        self._process = subprocess.Popen(words, cwd=world.folder, env=environment, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def end(self):
        """Waits for its end and keeps what came of it."""
        try:
            output, _ = self._process.communicate(timeout=processes.BOUND)
        except subprocess.TimeoutExpired:
            self.kill()
            output = b"it did not end"
        self._world.tell(self._command, self._world.plain(f"exit status {self._process.returncode}\n{output.decode()}"))

    def kill(self):
        """Ends it; what it says then depends on where it was."""
        self._process.kill()
        self._process.communicate()
