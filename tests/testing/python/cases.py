"""Runs unittest's cases and writes each of them down where Bazel, and tools/test_summary.py, look for them."""
import os
import sys
import time
import unittest
import xml.etree.ElementTree as ET


class _Result(unittest.TextTestResult):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.cases = []
        self._started = 0.0

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()
        _, _, name = test.id().rpartition("__main__.")
        suite, _, name = name.partition(".")
        self.cases.append(ET.Element("testcase", classname=suite, name=name or suite))

    def stopTest(self, test):
        self.cases[-1].set("time", f"{time.monotonic() - self._started:.3f}")
        super().stopTest(test)

    def _tell(self, kind, text):
        if not self.cases:  # A module's or a class's own set-up.
            self.cases.append(ET.Element("testcase", classname="setup", name="setup"))
        # XML has no place for most control characters.
        clean = "".join(c if c >= " " or c in "\n\t" else "?" for c in text)
        ET.SubElement(self.cases[-1], kind).text = clean

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._tell("failure", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._tell("error", self.errors[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._tell("skipped", reason)


def run(suite):
    """Runs the suite and ends the process: 0 when something ran and nothing failed."""
    result = unittest.TextTestRunner(verbosity=2, resultclass=_Result).run(suite)
    path = os.environ.get("XML_OUTPUT_FILE")
    if path:
        top = ET.Element("testsuites")
        ET.SubElement(top, "testsuite", name=os.path.basename(sys.argv[0])).extend(result.cases)
        ET.ElementTree(top).write(path, encoding="utf-8", xml_declaration=True)
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


def main():
    """Runs the cases of the test's own file."""
    run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
