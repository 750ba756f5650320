"""How do the checks see a C++ file? As lines, and as lines without comments and literals."""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^()\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-zA-Z_])'(?:\\.|[^'\\\n])*'",
    re.DOTALL,
)
_INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


@dataclass
class Source:
    path: str  # relative to the repository, with forward slashes
    text: str
    lines: list = field(init=False)
    code: list = field(init=False)  # the same lines; comments and literals blanked out
    includes: list = field(init=False)  # (line number, '<' or '"', name)

    def __post_init__(self):
        self.lines = self.text.split("\n")
        self.code = _TOKEN.sub(_blank, self.text).split("\n")
        matches = ((n, _INCLUDE.match(line)) for n, line in enumerate(self.lines, 1))
        self.includes = [(n, m.group(1), m.group(2)) for n, m in matches if m]

    def complaint(self, line, text):
        return f"{self.path}:{line}: {text}"

    def allowed(self, line, rule):
        """True for a line that says `// check:allow RULE: reason`, itself or on the line above."""
        wanted = re.compile(r"//\s*check:allow " + re.escape(rule) + r": \S")
        return any(wanted.search(text) for text in self.lines[max(0, line - 2) : line])


def _blank(match):
    text = match.group(0)
    quote = text[0] if text[0] in "\"'" else '"' if text[0] == "R" else ""
    return quote + "\n" * text.count("\n") + quote if quote else "\n" * text.count("\n") or " "
