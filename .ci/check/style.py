"""Is a file short, does a header open with its question, does nobody call what is banned?"""

import functools
import os
import re

from layering import layer_of

_FILE_LIMIT = 600
_FUNCTION_LIMIT = 70
_TEST_FUNCTION_LIMIT = 120

_PURE = ("public", "base", "raft", "kv", "node")
_LIBRARY = _PURE + ("storage", "rpc", "open")
_ALL = _LIBRARY + ("cmd", "tests")


def _but(*layers):
    return tuple(layer for layer in _ALL if layer not in layers)


# (name, pattern, layers where it is banned, what to use instead)
_BANNED = [
    ("assert", r"(?<!\w)assert\s*\(", _ALL, "RAFTKV_CHECK, which is on in every build"),
    ("NDEBUG", r"\bNDEBUG\b", _ALL, "RAFTKV_CHECK, which is on in every build"),
    ("rand", r"(?<![\w.>])s?rand(om)?(_r)?\s*\(", _ALL, "lib/base/random.h with an injected seed"),
    ("random_device", r"\brandom_device\b", _PURE, "a seed that the caller passes in"),
    ("time", r"(?<![\w.>:])(std::)?time\s*\((\s*(0|NULL|nullptr|&\w+)\s*)?\)|\bgettimeofday\b",
     _ALL, "the Clock port, or std::chrono outside the pure layers"),
    ("now", r"\b(steady|system|high_resolution)_clock::now\b", _PURE, "the Clock port"),
    ("high_resolution_clock", r"\bhigh_resolution_clock\b", _ALL, "std::chrono::steady_clock"),
    ("cout", r"\bstd::cout\b|(?<![\w.])(std::)?(printf|puts)\s*\(", _but("cmd", "tests"),
     "the logger; stdout belongs to the host's program"),
    ("sprintf", r"\b(v?sprintf|strcpy|strcat)\s*\(", _ALL, "fmt::format"),
    ("atoi", r"\b(atoi|atol|atoll|strtok)\s*\(", _ALL, "std::from_chars"),
    ("sleep", r"\b(sleep_for|sleep_until|usleep|nanosleep)\b|(?<![\w.>])sleep\s*\(", _but("cmd"),
     "a timer of the event loop; in tests a wait for a condition with a deadline (tests/support)"),
    ("using namespace std", r"\busing\s+namespace\s+std\s*;", _ALL, "std:: where it is needed"),
    ("throw", r"(?<!\w)throw\b", _but("rpc", "tests"), "a returned Status or Result"),
    ("signal", r"(?<![\w.>])(std::)?(signal|sigaction)\s*\(", _LIBRARY,
     "nothing: a guest leaves its host's signals alone"),
    ("exit", r"(?<![\w.>])(std::)?(exit|_exit|_Exit|abort)\s*\(", _but("base", "cmd", "tests"),
     "a Status, or RAFTKV_CHECK for a broken invariant"),
    ("lock", r"\bstd::(\w*mutex\b|\w+_lock\b|lock_guard\b|condition_variable)", _but("tests"),
     "Mutex, MutexLock and Condition of lib/base/mutex.h, which clang checks"),
    ("detach", r"\.detach\s*\(\s*\)", _but("rpc"), "a thread that is joined by its owner"),
]
_BANNED = [(name, re.compile(pattern), layers, instead) for name, pattern, layers, instead in _BANNED]


def check(source):
    yield from _check_length(source)
    yield from _check_banned(source)
    yield from check_initializers(source)
    yield from check_assertions(source)
    if source.path.endswith(".h"):
        yield from _check_header(source)
    limit = _TEST_FUNCTION_LIMIT if source.path.startswith("tests/") else _FUNCTION_LIMIT
    for first, last in functions(source.code):
        if last - first + 1 > limit:
            yield source.complaint(
                first, f"function of {last - first + 1} lines, at most {limit}: give its steps names")


def _check_length(source):
    count = source.text.count("\n")
    if count > _FILE_LIMIT:
        yield source.complaint(1, f"{count} lines, at most {_FILE_LIMIT}: split it by responsibility")


# A message, or what the core hands out, names its fields: a field that is left out by position is
# left out unseen, and one that is added shifts the rest.
_NAMED_FIELDS = ("lib/raft/message.h", "lib/raft/ready.h", "lib/raft/types.h", "lib/node/ports.h")
_LITERAL = r"(?:\{\}|true|false|0)"
_NEIGHBOURS = re.compile(r"[,{(]\s*" + _LITERAL + r"\s*,\s*" + _LITERAL + r"\s*[,})]")


@functools.cache
def _structs_with_named_fields():
    names = set()
    for path in _NAMED_FIELDS:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                names.update(re.findall(r"^struct (\w+) \{", file.read(), re.M))
    return names


def check_initializers(source, structs=None):
    """`Reply{term, true, {}, {}, 0}` says nothing, and hides what it leaves out."""
    if layer_of(source.path) not in _LIBRARY:
        return
    code = "\n".join(source.code)
    names = "|".join(sorted(structs if structs is not None else _structs_with_named_fields()))
    found = []
    if names:
        positional = re.compile(r"(?<![\w.>])(?:\w+::)*(?:" + names +
                                r")(?:\s+\w+)?\{\s*[^.}\s][^;{}]*,")
        found += [(match, "fields by position; name them ({.term = term, ...})")
                  for match in positional.finditer(code)]
    found += [(match, "neighbouring literals; name them ({.field = value}, a constant or an enum)")
              for match in _NEIGHBOURS.finditer(code)]
    for match, text in found:
        number = code[:match.start()].count("\n") + 1
        if not source.allowed(number, "initializer"):
            yield source.complaint(number, text)


def check_assertions(source):
    """`RAFTKV_CHECK(a && b)` does not say which of the two broke."""
    code = "\n".join(source.code)
    for match in re.finditer(r"\bRAFTKV_CHECK\(", code):
        depth, condition = 1, ""
        for char in code[match.end():]:
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(char, 0)
            if depth == 0 or (depth == 1 and char == ","):
                break
            condition += char if depth == 1 else " "
        number = code[:match.start()].count("\n") + 1
        if "&&" in condition and not source.allowed(number, "assertion"):
            yield source.complaint(number, "two conditions in one RAFTKV_CHECK; write one for each")


def _check_banned(source):
    layer = layer_of(source.path)
    for number, line in enumerate(source.code, 1):
        for name, pattern, layers, instead in _BANNED:
            helper = name == "sleep" and source.path.startswith("tests/support/")
            if layer not in layers or helper or not pattern.search(line):
                continue
            if not source.allowed(number, name):
                yield source.complaint(number, f"{name} is banned here; use {instead}")


def _check_header(source):
    opening = []
    for line in source.lines:
        if not line.startswith("//"):
            break
        opening.append(line)
    if not opening or not opening[0].startswith("// ") or "?" not in "".join(opening):
        yield source.complaint(1, "open the header with a comment that asks the question it answers")
    if "#pragma once" not in source.text:
        yield source.complaint(1, "a header needs #pragma once")


_ACCESS = ("public", "private", "protected")
_NOT_A_FUNCTION = re.compile(r"(class|struct|union|enum|namespace|extern)\b")


def functions(code):
    """(first line, last line) of each function body's definition, lambdas counting to their own."""
    depth_in_function = 0  # braces open inside the function that we are in
    head, head_line, first = "", 0, 0
    continued = False
    for number, line in enumerate(code, 1):
        preprocessor = continued or line.lstrip().startswith("#")
        continued = preprocessor and line.endswith("\\")
        if preprocessor:
            continue
        for char in line + "\n":
            if depth_in_function:
                depth_in_function += {"{": 1, "}": -1}.get(char, 0)
                if depth_in_function == 0:
                    yield first, number
                    head = ""
            elif char == "{" and _is_function(head):
                depth_in_function, first = 1, head_line
            elif char in "{};" or char == ":" and head.strip() in _ACCESS:
                head = ""
            else:
                if not head.strip() and not char.isspace():
                    head, head_line = "", number
                head += char


def _is_function(head):
    head = head.strip()
    while head.startswith("template"):
        head = _after_angle_brackets(head)
    return "(" in head and not _NOT_A_FUNCTION.match(head) and not head.endswith(("=", "return", ","))


def _after_angle_brackets(text):
    depth = 0
    for position, char in enumerate(text):
        depth += {"<": 1, ">": -1}.get(char, 0)
        if char == ">" and depth == 0:
            return text[position + 1 :].strip()
    return ""
