#!/usr/bin/env python3
"""Measures raftkv's door for etcd's clients against etcd itself: see usage below.

usage: etcd_compare.py BUILD_DIR [SECONDS] [--all-members] [--self-test]

Three members of each run at the same time on this machine, and the same client (bench_etcd_load)
loads one and then the other, in turns; what counts is the ratio of one run. The load goes to the
leader, with --all-members to all of them. --self-test: etcd in the place of raftkv.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../etcd"))
from etcd_servers import EtcdCluster, die_with_parent, free_address  # noqa: E402

ROUNDS = 3
KEYS = 10_000
TICKS = os.sysconf("SC_CLK_TCK")
# (operation, connections, outstanding calls), and the ratio that is the goal.
CASES = (("put", 8, 64, 2.0), ("put", 64, 64, 2.0), ("range", 8, 64, 3.0), ("range", 64, 64, 3.0))
START_SECONDS = 60


class RaftkvCluster:
    """Three members with --etcd. Each has a session of its own, since the kernel shares by it."""

    def __init__(self, build, folder):
        names = ("n1", "n2", "n3")
        addresses = {name: free_address() for name in names}
        self.endpoints = [free_address() for _ in names]
        cluster = ",".join(f"{name}={address}" for name, address in addresses.items())
        self._processes = []
        for name, endpoint in zip(names, self.endpoints):
            with open(f"{folder}/{name}.log", "w", encoding="utf-8") as log:
                self._processes.append(subprocess.Popen(
                    [f"{build}/bin/raftkv", "serve", "--name", name,
                     "--data-dir", f"{folder}/{name}", "--listen", addresses[name],
                     "--cluster", cluster, "--etcd", endpoint, "--log-level", "warn"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                    preexec_fn=die_with_parent, start_new_session=True))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def pid(self, member):
        return self._processes[member].pid


def status(endpoint):
    request = urllib.request.Request(f"http://{endpoint}/v3/maintenance/status", data=b"{}")
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)


def leader(cluster):
    """The endpoint of the member that leads, once there is one."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for endpoint in cluster.endpoints:
            try:
                now = status(endpoint)
            except OSError:
                continue
            if now.get("leader") == now["header"]["member_id"]:
                return endpoint
        time.sleep(0.1)
    sys.exit(f"no leader in {START_SECONDS} s at {', '.join(cluster.endpoints)}")


def cpu_seconds(cluster):
    total = 0
    for member in range(len(cluster.endpoints)):
        with open(f"/proc/{cluster.pid(member)}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def load(build, cluster, operation, connections, outstanding, seconds, all_members):
    """What bench_etcd_load says, and the CPU microseconds of all members for each call."""
    servers = ",".join(cluster.endpoints) if all_members else leader(cluster)
    before = cpu_seconds(cluster)
    run = subprocess.run(
        [f"{build}/bin/bench_etcd_load", operation, servers, str(connections), str(outstanding),
         str(seconds), str(KEYS)], check=True, stdout=subprocess.PIPE, text=True,
        start_new_session=True)
    result = json.loads(run.stdout)
    result["cpu_us"] = 1e6 * (cpu_seconds(cluster) - before) / max(1, result["ops"])
    return result


def note(text):
    print("  " + text, flush=True)


def compare(build, ours, theirs, seconds, all_members=False):
    """(what, figure, goal, met) of each case, as measure.py prints it."""
    clusters = {"raftkv": ours, "etcd": theirs}
    for cluster in clusters.values():
        load(build, cluster, "fill", 8, 64, seconds, all_members)
    for operation, connections, outstanding, goal in CASES:
        rates = {name: [] for name in clusters}
        costs = {name: [] for name in clusters}
        for turn in range(ROUNDS):
            for name in itertools.islice(itertools.cycle(clusters), turn % 2, turn % 2 + 2):
                result = load(build, clusters[name], operation, connections, outstanding, seconds,
                              all_members)
                rates[name].append(result["ops_per_s"])
                costs[name].append(result["cpu_us"])
                note(f"{operation:<5} {outstanding} on {connections:<2} {name:<6} "
                     f"{result['ops_per_s']:,.0f}/s, p50 {result['p50_ms']:.2f} p99 "
                     f"{result['p99_ms']:.2f} ms, servers' CPU {result['cpu_us']:.0f} us a call, "
                     f"client's {1e6 * result['client_cpu_s'] / max(1, result['ops']):.0f} us, "
                     f"{result['errors']} errors; load average {os.getloadavg()[0]:.1f}")
        ratios = [ours_rate / their_rate
                  for ours_rate, their_rate in zip(rates["raftkv"], rates["etcd"])]
        case = f"{operation}, {outstanding} on {connections}"
        for name in clusters:
            yield (f"{name}: {case}", f"{statistics.median(rates[name]):,.0f}/s "
                   f"{statistics.median(costs[name]):.0f} us", "", None)
        ratio = statistics.median(ratios)
        note("ratios " + ", ".join(f"{each:.2f}" for each in ratios))
        yield f"ratio to etcd: {case}", f"{ratio:.2f}", f">= {goal:.0f}", ratio >= goal


def etcd(build, folder, seconds=4):
    """Calls of etcd's API: raftkv against etcd, three members each, in turns."""
    with RaftkvCluster(build, folder) as ours, EtcdCluster(3) as theirs:
        yield from compare(build, ours, theirs, seconds)


def main():
    numbers = [argument for argument in sys.argv[2:] if argument.isdigit()]
    flags = set(sys.argv[2:]) - set(numbers)
    if len(sys.argv) < 2 or len(numbers) > 1 or not flags <= {"--all-members", "--self-test"}:
        sys.exit(__doc__)
    build, seconds = os.path.abspath(sys.argv[1]), int(numbers[0]) if numbers else 4
    with tempfile.TemporaryDirectory(prefix="raftkv-bench-") as folder:
        ours = EtcdCluster(3) if "--self-test" in flags else RaftkvCluster(build, folder)
        with ours, EtcdCluster(3) as theirs:
            rows = list(compare(build, ours, theirs, seconds, "--all-members" in flags))
    for what, figure, goal, met in rows:
        print(f"| {what:<36} | {figure:>16} | {goal:>6} | "
              f"{'' if met is None else 'met' if met else 'NOT met':<7} |")


if __name__ == "__main__":
    main()
