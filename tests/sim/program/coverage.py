"""Which lines and branches did the simulator never reach?

    coverage.py BUILD FOLDER...    after a run of BUILD/bin/raftkv_sim that was built with --coverage

Prints one line each: where, what is missing, the source. Branches that only an exception takes do not count.
"""
import collections
import glob
import json
import os
import subprocess
import sys


def gather(build, folders):
    """(file, line) -> [times, {branch: times}], over all object files."""
    lines = collections.defaultdict(lambda: [0, collections.Counter()])
    objects = os.path.join(build, "tests/CMakeFiles/raftkv_mutants.dir")
    for data in glob.glob(os.path.join(objects, "**/*.gcda"), recursive=True):
        told = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", os.path.abspath(data)],
                              capture_output=True, check=True, text=True).stdout
        for report in told.splitlines():
            for file in json.loads(report)["files"]:
                name = os.path.relpath(os.path.realpath(file["file"]), os.path.realpath("."))
                if not name.startswith(tuple(folder + "/" for folder in folders)):
                    continue
                for line in file["lines"]:
                    known = lines[name, line["line_number"]]
                    known[0] += line["count"]
                    for number, branch in enumerate(line["branches"]):
                        if not branch["throw"]:
                            known[1][number] += branch["count"]
    return lines


def main():
    lines = gather(sys.argv[1], sys.argv[2:])
    sources = {}
    missing = 0
    branches = 0
    for (name, number), (times, taken) in sorted(lines.items()):
        if name not in sources:
            with open(name, encoding="utf-8") as source:
                sources[name] = source.read().splitlines()
        text = sources[name][number - 1].strip()
        branches += len(taken)
        never = sum(count == 0 for count in taken.values())
        if times == 0:
            print(f"{name}:{number}: never reached: {text}")
        elif never:
            print(f"{name}:{number}: {never} of {len(taken)} ways never taken: {text}")
        missing += times == 0
    print(f"{len(lines)} lines, {missing} never reached; {branches} branches, "
          f"{sum(count == 0 for _, taken in lines.values() for count in taken.values())} never taken")


if __name__ == "__main__":
    main()
