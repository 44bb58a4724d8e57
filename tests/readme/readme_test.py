"""Runs what README.md tells a newcomer to type against a real gateway, and holds its tables to the binaries.

    readme_test.py MESHGATE MESHGATECTL         from the root of the sources
"""
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

ROOT = os.getcwd()
MESHGATE, MESHGATECTL = (os.path.abspath(path) for path in sys.argv[1:3])
BOUND = 60  # Seconds; longer than anything that works takes.


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def lines_of(process, text):
    """Reads lines of a process until one holds the text."""
    deadline = time.monotonic() + BOUND
    seen = ""
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], deadline - time.monotonic())
        data = os.read(process.stdout.fileno(), 65536) if ready else b""
        if not data:
            break
        seen += data.decode()
        if text in seen:
            return seen
    raise AssertionError(f"{text!r} did not come; got: {seen}")


class Gateway:
    def __init__(self, data_dir, grpc="127.0.0.1:0", arguments=()):
        self.process = subprocess.Popen(
            [MESHGATE, f"--grpc_listen={grpc}", "--http_listen=127.0.0.1:0", f"--data_dir={data_dir}", *arguments],
            stdout=subprocess.PIPE)
        said = lines_of(self.process, "\n")
        found = re.search(r"listening grpc=(\S+) http=(\S+)", said)
        if not found:
            raise AssertionError(said)
        self.grpc, self.http = found.groups()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=BOUND) as response:
            return response.read().decode()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(BOUND)
        self.process.stdout.close()
        return status


class ReadmeTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.readme = read("README.md")
        self.folder = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, self.folder)

    def test_commands(self):
        """A first page whose commands fail sends a newcomer away."""
        blocks = re.findall(r"<!-- tested -->\n```sh\n(.*?)```", self.readme, re.DOTALL)
        self.assertEqual(len(blocks), 3)
        os.mkdir(f"{self.folder}/bin")
        os.symlink(MESHGATECTL, f"{self.folder}/bin/meshgatectl")
        os.symlink(f"{ROOT}/proto", f"{self.folder}/proto")
        os.symlink(f"{ROOT}/examples", f"{self.folder}/examples")
        gateway = Gateway(f"{self.folder}/data")
        # A proxy for the way out, as in many a shell, is none of a gateway's business.
        environment = {**os.environ, "MESHGATE_ENDPOINT": gateway.grpc, "http_proxy": "http://127.0.0.1:1"}

        def run(command):
            return subprocess.run(["bash", "-c", command], cwd=self.folder, env=environment, timeout=BOUND, check=True,
                                  stdout=subprocess.PIPE).stdout.decode()

        def start(command):
            process = subprocess.Popen(["bash", "-c", "exec env " + command], cwd=self.folder, env=environment,
                                       stdout=subprocess.PIPE)
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            return process

        def stays(command, first):
            process = start(command)
            lines_of(process, first)
            return process

        put, get, watch = blocks[0].splitlines()
        run(put)
        self.assertEqual(run(get), "hello")
        watcher = stays(watch, "demo/greeting")

        register, discover, watch, deregister = blocks[1].splitlines()
        self.assertEqual(run(register), "web-1\n")
        self.assertIn("127.0.0.1:8080", run(discover))
        services = stays(watch, "web-1")
        run(deregister)
        lines_of(services, "delete\tweb-1")
        services.send_signal(signal.SIGINT)
        self.assertEqual(services.wait(BOUND), 130)

        mkdir, protoc, python = blocks[2].splitlines()
        run(mkdir)
        run(protoc)
        reader = stays(python, "current {'demo/greeting': 'hello'}")
        run("bin/meshgatectl put demo/greeting salut")
        lines_of(reader, "{'demo/greeting': 'salut'}")
        lines_of(watcher, "salut")

        # "stop the gateway, start it again, and see the watch go on"
        self.assertEqual(gateway.stop(), 0)
        gateway = Gateway(f"{self.folder}/data", gateway.grpc)
        self.addCleanup(gateway.stop)
        run("bin/meshgatectl put demo/greeting again")
        lines_of(reader, "{'demo/greeting': 'again'}")
        lines_of(watcher, "again")
        watcher.send_signal(signal.SIGINT)
        self.assertEqual(watcher.wait(BOUND), 130)

    def test_http(self):
        """The lines for those without gRPC are typed as they are printed."""
        put, get, listing, watch = re.search(r"<!-- tested: HTTP -->\n```sh\n(.*?)```", self.readme,
                                             re.DOTALL).group(1).splitlines()
        gateway = Gateway(f"{self.folder}/data")
        self.addCleanup(gateway.stop)

        def here(command):
            self.assertIn("127.0.0.1:8080", command)
            return ["bash", "-c", "exec " + command.replace("127.0.0.1:8080", gateway.http).replace("curl", "curl -sf", 1)]

        def run(command):
            return subprocess.run(here(command), timeout=BOUND, check=True, stdout=subprocess.PIPE).stdout.decode()

        self.assertIn('"modify_index"', run(put))
        self.assertEqual(run(get), "hello")
        self.assertIn('"key":"demo/greeting"', run(listing))
        watcher = subprocess.Popen(here(watch), stdout=subprocess.PIPE)
        self.addCleanup(watcher.stdout.close)
        self.addCleanup(watcher.wait)
        self.addCleanup(watcher.kill)
        self.assertIn("data: {", lines_of(watcher, "aGVsbG8="))
        run(put.replace("hello", "salut"))
        self.assertIn("id: ", lines_of(watcher, "c2FsdXQ="))
        # Every path of the table is served: whatever it answers, it is not that nothing is there.
        table = self.readme.split("## Over HTTP")[1].split("\n\n")[3]
        paths = re.findall(r"[ `]((?:config|commit|services|instances|watch)[^` ,]*)`", table)
        self.assertGreater(len(paths), 8)
        for path in paths:
            path = re.sub(r"[A-Z]+", "x", path)
            answer = subprocess.run(["curl", "-s", "-m", "30", "-X", "OPTIONS", f"http://{gateway.http}/api/v1/{path}"],
                                    timeout=BOUND, check=True, stdout=subprocess.PIPE).stdout.decode()
            self.assertIn("METHOD_NOT_ALLOWED", answer, path)

    def test_tls(self):
        """Whoever follows the page has a gateway that lets in nobody without a certificate, and is let in."""
        *make, run, put = re.search(r"<!-- tested: TLS -->\n```sh\n(.*?)```", self.readme, re.DOTALL).group(1).splitlines()
        for command in make:
            subprocess.run(["bash", "-c", command], cwd=self.folder, check=True, timeout=BOUND, stderr=subprocess.DEVNULL)
        arguments = [argument.replace("=", f"={self.folder}/") for argument in run.split()[1:]]
        gateway = Gateway(f"{self.folder}/data", arguments=arguments)
        self.addCleanup(gateway.stop)
        os.mkdir(f"{self.folder}/bin")
        os.symlink(MESHGATECTL, f"{self.folder}/bin/meshgatectl")

        def status(command):
            return subprocess.run(["bash", "-c", command], cwd=self.folder, timeout=BOUND, stderr=subprocess.DEVNULL,
                                  env={**os.environ, "MESHGATE_ENDPOINT": gateway.grpc}).returncode

        self.assertEqual(status(put), 0)
        self.assertEqual(status(put.split(" --cert-file")[0]), 78)
        metrics = gateway.get("/metrics")
        for name in re.findall(r"`(meshgate_tls_\w+)\{", self.readme):
            self.assertRegex(metrics, rf'(?m)^{name}{{listener="grpc"')
        shown = re.search(r"`meshgate_tls_handshake_failures_total.*? counts them: (.*?) \|$", self.readme, re.MULTILINE)
        self.assertEqual(set(re.findall(r"`(\w+)`", shown.group(1))),
                         set(re.findall(r'handshake_failures_total{listener="grpc",reason="(\w+)"', metrics)))

    def test_files_shown_are_the_files(self):
        """A listing that lags behind its file teaches what no longer works."""
        shown = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", self.readme, re.DOTALL)
        self.assertTrue(shown)
        for path, text in shown:
            self.assertEqual(text, read(path), path)

    def test_links_lead_somewhere(self):
        """A link to a file that moved is a dead end."""
        for document in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"):
            for link in re.findall(r"\]\(([^)#]+)\)", read(document)):
                if "://" not in link:
                    self.assertTrue(os.path.exists(os.path.join(ROOT, link)), f"{document}: {link}")

    def test_options_table(self):
        """Operators set what the table says: it has to be the binary's own."""
        printed = subprocess.run([MESHGATE, "--help_markdown"], check=True, stdout=subprocess.PIPE, timeout=BOUND,
                                 env={"HOME": "/nonexistent"})
        shown = re.search(r"<!-- options -->\n(.*)<!-- /options -->", self.readme, re.DOTALL).group(1)
        self.assertEqual(shown, printed.stdout.decode())

    def test_errors_table(self):
        """Programs compare reasons: one that the code does not know would never match."""
        headers = read("consul/base/errors.h") + read("consul/check_allow_list.h") + read("server/auth/identity.h")
        headers += read("server/limits/limits.h")
        known = set(re.findall(r'= "([A-Z_]+)";', headers))
        table = self.readme.split("### Errors")[1].split("## ")[0]
        named = [reason for row in re.findall(r"\| ([^|]*) \|$", table, re.MULTILINE)
                 for reason in re.findall(r"`([A-Z_]+)`", row)]
        self.assertGreater(len(named), 8)
        for reason in named:
            self.assertIn(reason, known)

    def test_example_settings(self):
        """The example file is copied to where it is used: all of its lines must be ones that the gateway takes."""
        example = read("deploy/meshgate.yaml")
        everything = re.sub(r"^# ?( *[a-z_]+:( [a-z0-9/.:-]+)?)$", r"\1", example, flags=re.MULTILINE)
        self.assertIn("\n  linger: 30s\n", everything)
        for text in (example, everything):
            path = f"{self.folder}/meshgate.yaml"
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            gateway = Gateway(f"{self.folder}/data", arguments=["--backend=embedded", f"--config={path}"])
            self.assertEqual(gateway.stop(), 0)

    def test_alerts_use_metrics_that_exist(self):
        """An alert on a name that nobody exposes never fires."""
        # TLS has series where it is spoken, and a list where there is one.
        cert, key = f"{self.folder}/cert.pem", f"{self.folder}/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=gateway", "-addext",
                        "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, timeout=BOUND,
                       stderr=subprocess.DEVNULL)
        callers = f"{self.folder}/callers.yaml"
        with open(callers, "w", encoding="utf-8") as file:
            file.write('identities: {gateway: {read: {services: ["*"]}}}')
        gateway = Gateway(f"{self.folder}/data", arguments=[
            f"--grpc_tls_cert_file={cert}", f"--grpc_tls_key_file={key}", f"--grpc_tls_client_ca_file={cert}",
            "--auth=mtls", "--http_api=off", f"--auth_mtls_file={callers}"])
        self.addCleanup(gateway.stop)
        # The first call brings its method's series.
        subprocess.run([MESHGATECTL, "services", "--endpoint", gateway.grpc, "--ca-file", cert, "--cert-file", cert,
                        "--key-file", key], check=True, stdout=subprocess.DEVNULL, timeout=BOUND)
        metrics = gateway.get("/metrics")
        expressions = re.findall(r"expr: (?:\|\n)?((?:.|\n)*?)\n +(?:for|labels):", read("deploy/prometheus/alerts.yml"))
        names = {name for text in expressions for name in re.findall(r"\b(?:meshgate|grpc|process)_\w+(?=[{\[ ]|$)", text)
                 if name not in ("grpc_service", "grpc_method", "grpc_type", "grpc_code")}
        self.assertGreater(len(names), 8)
        for name in names:
            self.assertRegex(metrics, rf"(?m)^{name}[{{ ]")

    def test_versions_agree(self):
        """The two binaries are released together."""
        for binary in (MESHGATE, MESHGATECTL):
            said = subprocess.run([binary, "--version"], check=True, stdout=subprocess.PIPE, timeout=BOUND).stdout.decode()
            self.assertIn(re.search(r'MESHGATE_VERSION = "(.*)"', read("tools/version.bzl")).group(1), said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
