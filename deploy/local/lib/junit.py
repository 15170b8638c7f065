#!/usr/bin/env python3
"""Summarizes a JUnit report of cargo-nextest: the slowest tests, the failed ones, and the counts.

usage: junit.py REPORT [--slowest N]

The last line is the total, such as "757 passed, 0 failed, 0 skipped".
"""

import argparse
import pathlib
import sys
import xml.etree.ElementTree


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--slowest", type=int, default=0)
    arguments = parser.parse_args()
    if not arguments.report.exists():
        print("0 passed, 0 failed, 0 skipped")
        sys.exit(f"error: there is no test report at {arguments.report}")

    passed, failed, skipped, times = 0, [], 0, []
    for case in xml.etree.ElementTree.parse(arguments.report).getroot().iter("testcase"):
        name = f"{case.get('classname')} {case.get('name')}"
        times.append((float(case.get("time", 0)), name))
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1

    if arguments.slowest:
        print(f"\nThe {arguments.slowest} slowest tests:")
        for seconds, name in sorted(times, reverse=True)[: arguments.slowest]:
            print(f"{seconds:8.1f} s  {name}")
    if failed:
        print("\nFailed tests:")
        print("\n".join(f"  {name}" for name in failed))
    print(f"\nJUnit report: {arguments.report}")
    print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")


if __name__ == "__main__":
    main()
