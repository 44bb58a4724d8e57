"""Holds meshgate's /v1/ to Consul's: clients of Consul's run the same script against an agent and against a gateway.

    dropin_test.py MESHGATE SCRIPT [--compare-agents]

SCRIPT is the module that has the script: run(world). Each of its commands is a test case, which fails where the two
outcomes differ in anything but what normal_form.py allows. With --compare-agents the second side is an agent, too: what
fails then is a mistake of the script's or of normal_form.py's.
"""
import difflib
import importlib
import os
import sys
import threading
import traceback
import unittest

import cases
import normal_form
from processes import ConsulAgent, Gateway
from tcp_proxy import TcpProxy
from worlds import NODE, World

SCRIPT = sys.argv[2]
LONGEST = 20000  # Characters of one difference that are shown.


class OutcomeTest(unittest.TestCase):
    def __init__(self, command, agents, others):
        super().__init__()
        self._command = command
        self._agents, self._others = (world.outcomes.get(command) for world in (agents, others))
        self._surprise = agents.surprises.get(command)

    def id(self):
        return f"__main__.{SCRIPT}.{self._command}"

    def __str__(self):
        return self._command

    def runTest(self):
        self.assertIsNotNone(self._agents, "the script did not come so far with the agent")
        self.assertIsNotNone(self._others, "the script did not come so far with the gateway")
        self.assertIsNone(self._surprise, f"what the script expects is not what Consul does: {self._surprise}")
        # Line by line: unittest's own comparison takes minutes where long lines differ.
        lines = (outcome.splitlines() for outcome in (self._agents, self._others))
        difference = "\n".join(difflib.unified_diff(*lines, "agent", "gateway", n=1000, lineterm=""))
        self.assertTrue(normal_form.same(self._agents, self._others), difference[:LONGEST])


def run(script, world):
    try:
        script.run(world)
    except Exception:  # Whatever keeps a script from its end is a failure, with what it has found so far.
        world.failed = traceback.format_exc()


def main():
    meshgate = os.path.abspath(sys.argv[1])
    script = importlib.import_module(SCRIPT)
    agents = [ConsulAgent(NODE), ConsulAgent(NODE)]
    if "--compare-agents" in sys.argv:
        front = TcpProxy(agents[1].port)
    else:
        front = Gateway(meshgate, "--backend=consul", f"--consul_address=http://{agents[1].address}")
    worlds = [World(agents[0], agents[0].address), World(agents[1], front.address)]
    threads = [threading.Thread(target=run, args=(script, world)) for world in worlds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in [front, *agents]:
        if isinstance(process, TcpProxy):
            process.close()
        else:
            process.stop()
    names = {**worlds[0].outcomes, **worlds[1].outcomes}  # In order.
    suite = unittest.TestSuite(OutcomeTest(name, *worlds) for name in names)
    suite.addTest(EndTest([world.failed for world in worlds]))
    cases.run(suite)


class EndTest(unittest.TestCase):
    """A script that stops half-way has compared half of it."""

    def __init__(self, failures):
        super().__init__()
        self._failures = failures

    def runTest(self):
        for failure in self._failures:
            self.assertIsNone(failure, failure)


if __name__ == "__main__":
    main()
