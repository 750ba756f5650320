#!/usr/bin/env python3
"""Prints "N passed, N failed" from a JUnit file of ctest; exits 1 unless all passed and one ran."""

import os
import sys
import xml.etree.ElementTree as xml


def outcome(case):
    if case.get("status") == "run":
        return "passed"
    skipped = case.find("skipped")
    by_test = skipped is not None and skipped.get("message", "").startswith("SKIP_")
    return "skipped" if by_test or case.get("status") == "disabled" else "failed"


def main():
    path = sys.argv[1]
    cases = xml.parse(path).getroot().findall("testcase") if os.path.exists(path) else []
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for case in cases:
        count[outcome(case)] += 1
        if outcome(case) != "passed":
            print(f"{outcome(case)}: {case.get('name')}")
    print(f"{count['passed']} passed, {count['failed']} failed")
    return 0 if count["passed"] and not count["failed"] else 1


sys.exit(main())
