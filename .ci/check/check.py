#!/usr/bin/env python3
"""Keeps the rules of the house. One line a complaint: where, what, and how to mend it."""

import os
import re
import subprocess
import sys

import layering
import style
from source import Source

_COLUMNS = 100
_FOLDERS = ("lib", "storage", "rpc", "cmd", "tests")
_ROOT = {
    "README.md", "LICENSE", "CHANGELOG.md", "CMakeLists.txt", "CMakePresets.json", "dev", "docs",
    "third_party", "build", *_FOLDERS,
}


def source_files():
    for folder in _FOLDERS:
        for parent, folders, names in os.walk(folder):
            folders.sort()
            yield from (f"{parent}/{name}" for name in sorted(names) if name.endswith((".h", ".cc")))


def check_root():
    for name in sorted(os.listdir(".")):
        if name not in _ROOT and not name.startswith("."):
            yield f"{name}:1: the root holds {', '.join(sorted(_ROOT))} and dotfiles only; move it"


def check_format(paths):
    result = subprocess.run(["clang-format", "--dry-run", "--ferror-limit=1", *paths],
                            stderr=subprocess.PIPE, text=True, check=False)
    seen = set()
    for path, line in re.findall(r"^([^\s:][^:\n]*):(\d+):\d+: (?:warning|error)", result.stderr, re.M):
        if path not in seen:
            seen.add(path)
            yield f"{path}:{line}: not formatted; run: clang-format -i {path}"
    if result.returncode and not seen:
        yield f".clang-format:1: clang-format failed: {result.stderr.strip()}"


def check_columns(path, text):
    """Prose of at most 100 columns; a table's row, a heading, a link and an example are one line each."""
    fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            fenced = not fenced
        one_line = fenced or line.startswith(("    ", "#", "|")) or " " not in line.strip()
        if len(line) > _COLUMNS and not one_line:
            yield f"{path}:{number}: {len(line)} columns, at most {_COLUMNS}: break the line"


def check_documents():
    names = [f"docs/{name}" for name in sorted(os.listdir("docs")) if name.endswith(".md")]
    for path in ["README.md", "CHANGELOG.md", *names]:
        with open(path, encoding="utf-8") as file:
            yield from check_columns(path, file.read())


def complaints():
    yield from check_root()
    yield from check_documents()
    paths = list(source_files())
    for path in paths:
        with open(path, encoding="utf-8") as file:
            source = Source(path, file.read())
        yield from layering.check(source)
        yield from style.check(source)
    if paths:
        yield from check_format(paths)


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    found = list(complaints())
    for complaint in found:
        print(complaint)
    if found:
        print(f"check: {len(found)} complaint(s); a line may be excused with "
              "`// check:allow NAME: reason` (NAME as in the complaint, or include)")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
