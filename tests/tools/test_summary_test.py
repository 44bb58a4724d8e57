"""tools/test_summary.py decides whether a change is good: what it overlooks is merged."""
import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, "tools")
import test_summary  # pylint: disable=wrong-import-position

PASS = '<testsuite><testcase name="a" status="run"/><testcase name="b" status="run"/></testsuite>'
MIXED = ('<testsuite><testcase name="a"/><testcase name="b"><failure message="x"/></testcase>'
         '<testcase name="c" result="skipped"/><testcase name="d"><skipped/></testcase>'
         '<testcase name="e" status="notrun"/></testsuite>')


class SummaryTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.events = []

    def add(self, label, status, xml=None):
        path = os.path.join(self.folder.name, f"{len(self.events)} x.xml")
        if xml is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(xml)
        self.events.append({"id": {"testResult": {"label": label, "run": 1, "shard": 1, "attempt": 1}},
                            "testResult": {"testActionOutput": [
                                {"name": "test.xml", "uri": "file://" + path.replace(" ", "%20")}]}})
        self.events.append({"id": {"testSummary": {"label": label}}, "testSummary": {"overallStatus": status}})

    def run_summary(self, bazel_status=0, finished=True):
        path = os.path.join(self.folder.name, "events.json")
        with open(path, "w", encoding="utf-8") as file:
            for event in self.events + ([{"id": {"buildFinished": {}}}] if finished else []):
                file.write(json.dumps(event) + "\n")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = test_summary.main([f"plain={bazel_status}={path}"])
        return status, out.getvalue().splitlines()[-1]

    def test_counts_cases(self):
        self.add("//a", "PASSED", PASS)
        self.assertEqual(self.run_summary(), (0, "2 passed, 0 failed"))

    def test_counts_failures_and_skips(self):
        self.add("//a", "PASSED", PASS)
        self.add("//b", "FAILED", MIXED)
        self.assertEqual(self.run_summary(3), (1, "3 passed, 1 failed, 3 skipped"))

    def test_a_target_that_died_is_a_failure(self):
        for status in ("TIMEOUT", "FAILED", "FAILED_TO_BUILD", "NO_STATUS", "INCOMPLETE", "REMOTE_FAILURE"):
            with self.subTest(status):
                self.events = []
                self.add("//a", "PASSED", PASS)
                self.add("//b", status)
                self.assertEqual(self.run_summary(3), (1, "2 passed, 1 failed"))

    def test_a_crash_after_passed_cases_is_a_failure(self):
        self.add("//a", "FAILED", PASS)
        self.assertEqual(self.run_summary(3), (1, "2 passed, 1 failed"))

    def test_a_target_that_was_not_built_is_a_failure(self):
        self.add("//a", "PASSED", PASS)
        self.events.append({"id": {"targetCompleted": {"label": "//b"}}, "aborted": {"reason": "ANALYSIS_FAILURE"}})
        self.assertEqual(self.run_summary(1), (1, "2 passed, 1 failed"))

    def test_a_run_that_failed_without_tests_is_a_failure(self):
        self.assertEqual(self.run_summary(1), (1, "0 passed, 1 failed"))

    def test_a_run_that_was_cut_off_is_a_failure(self):
        self.add("//a", "PASSED", PASS)
        self.assertEqual(self.run_summary(0, finished=False), (1, "2 passed, 1 failed"))

    def test_no_tests_are_no_success(self):
        self.assertEqual(self.run_summary(0), (1, "0 passed, 0 failed"))

    def summarise_cases(self, xml, status):
        path = os.path.join(self.folder.name, "results.xml")
        if xml is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(xml)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = test_summary.main([f"fuzz={status}={path}"])
        return code, out.getvalue().splitlines()[-1]

    def test_counts_the_cases_of_what_bazel_does_not_run(self):
        self.assertEqual(self.summarise_cases(PASS, 0), (0, "2 passed, 0 failed"))
        self.assertEqual(self.summarise_cases(MIXED, 1), (1, "1 passed, 1 failed, 3 skipped"))

    def test_what_failed_without_a_failed_case_is_a_failure(self):
        self.assertEqual(self.summarise_cases(None, 1), (1, "0 passed, 1 failed"))
        self.assertEqual(self.summarise_cases(PASS, 1), (1, "2 passed, 1 failed"))
        self.assertEqual(self.summarise_cases("<testsuite/>", 0), (1, "0 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
