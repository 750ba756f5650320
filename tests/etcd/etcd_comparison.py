"""How is a call made on two servers, and what is printed where their answers differ?"""

import collections
import re

from etcd_answers import first_difference
from etcd_endpoint import wait_until
from etcd_script import Known

LAG_SECONDS = 10
TAIL = 25
LONGEST = 3000  # of what is printed of one call


class Different(Exception):
    """The two servers do not agree: (what, the reference's, the other's)."""


class Comparison:
    """Makes calls on both servers and raises Different where the answers are."""

    def __init__(self, reference, other, other_is_etcd):
        self.servers = (reference, other)
        self.other_is_etcd = other_is_etcd
        self.known = Known()
        self.made = 0
        self._tail = collections.deque(maxlen=TAIL)
        self._outcomes = collections.Counter()

    def make(self, call):
        """The reference's answer."""
        self.made += 1
        expected = self.servers[0].call(call)
        if expected.code == "UNAVAILABLE":
            raise Different(f"etcd itself did not survive {call}", expected.details, "not asked")
        self._tail.append((call, expected))
        found, got = self._compare(call, expected)
        if found and call.may_lag:
            wait_until(lambda: not self._compare(call, expected)[0], LAG_SECONDS)
            found, got = self._compare(call, expected)
        if found:
            raise Different(f"{call}: {found[0]}", found[1], f"{found[2]}\n  whole: {got}")
        self.known.learn(call, expected)
        self._outcomes[f"{call.method} {expected.code} {expected.details}".strip()] += 1
        return expected

    def _compare(self, call, expected):
        got = self.servers[1].call(call)
        return first_difference(expected.tree(), got.tree()), got

    def expect_of_other(self, call, code, details):
        """Where the reference cannot be asked."""
        got = self.servers[1].call(call)
        if (got.code, got.details) != (code, details):
            raise Different(str(call), f"{code}: {details}", got)

    def print_outcomes(self):
        for outcome, count in sorted(self._outcomes.items()):
            print(f"  {count:6} {brief(outcome)}")

    def report(self, different, command):
        """`command` repeats the run."""
        what, reference, other = (*(different.args or (str(different),)), "", "")[:3]
        print(f"The last calls before the difference, of {self.made}:")
        for call, answer in self._tail:
            print(f"  {brief(call)}\n    -> {brief(answer)}")
        print(f"different: {brief(what)}\n  etcd: {brief(reference)}\n  other: {brief(other)}")
        print(f"repeat it with: {command}")


def brief(value):
    """Its text, where what is repeated is left out."""
    text = re.sub(r"(\\x..|\\\d{3}|.)\1{30,}", r"\1...", str(value))
    return text if len(text) < LONGEST else text[:LONGEST] + "..."
