"""The script of npm's `consul`, which node/client.js has."""
import json
import os
import subprocess

import normal_form
import processes

# Beside the test's own sources, where Bazel runs it.
NODE_PATH = os.environ.get("NODE_PATH", os.path.abspath("../dropin_npm/node_modules"))
BOUND = 4 * processes.BOUND  # Seconds; for the whole script. Its parts have bounds of their own.


def run(world):
    client = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node", "client.js")
    done = subprocess.run(["node", client, world.address], timeout=BOUND, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={"PATH": os.environ["PATH"], "NODE_PATH": NODE_PATH})
    for line in done.stdout.decode().splitlines():
        said = json.loads(line)
        name = world.tell(said["step"], world.plain(normal_form.of(said["outcome"])))
        if said["surprise"]:
            world.surprises[name] = said["surprise"]
    if done.returncode:
        raise AssertionError(done.stderr.decode())
