"""Measures raftkv against its goals on this machine: see run.sh."""

import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

MEMBERS = ("n1", "n2", "n3")
ROUNDS = 3
LOAD = ("--clients", "64", "--connections", "8", "--value-size", "256", "--key-space", "1000000")
TICKS = os.sysconf("SC_CLK_TCK")
_ports = itertools.count(10_000 + os.getpid() * 61 % 20_000)


def free_address():
    for port in _ports:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
                return f"127.0.0.1:{port}"
            except OSError:
                pass


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Cluster:
    """`raftkv serve` on loopback, three times, in one folder."""

    def __init__(self, build, folder, *flags, members=MEMBERS):
        self.program = f"{build}/bin/raftkv"
        addresses = {name: free_address() for name in members}
        self.endpoints = ",".join(addresses.values())
        cluster = ",".join(f"{name}={address}" for name, address in addresses.items())
        self.processes = {}
        for name, address in addresses.items():
            with open(f"{folder}/{name}.log", "w", encoding="utf-8") as log:
                self.processes[name] = subprocess.Popen(
                    [self.program, "serve", "--name", name, "--data-dir", f"{folder}/{name}",
                     "--listen", address, "--cluster", cluster, "--log-level", "warn", *flags],
                    stdout=subprocess.DEVNULL, stderr=log)

    def __enter__(self):
        self.call("put", "started", "yes", "--timeout", "30s")
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def call(self, *arguments):
        command = [self.program, *arguments, "--endpoints", self.endpoints]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def terms(self):
        lines = self.call("endpoint", "status", "-w", "json").splitlines()
        return {line["name"]: line["term"] for line in map(json.loads, lines)}

    def leader(self):
        return json.loads(self.call("endpoint", "status", "-w", "json").splitlines()[0])["leader"]

    def bench(self, *arguments):
        """What `raftkv bench` prints, and the CPU seconds a second of each process meanwhile."""
        before = {name: cpu_seconds(p.pid) for name, p in self.processes.items()}
        children = os.times()
        result = json.loads(self.call("bench", *arguments, "-w", "json"))
        after = os.times()
        seconds = result["seconds"]
        cpu = {name: (cpu_seconds(p.pid) - before[name]) / seconds
               for name, p in self.processes.items()}
        cpu["client"] = (after.children_user + after.children_system - children.children_user -
                         children.children_system) / seconds
        return result, cpu


def run_json(*command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def show_cpu(cluster, cpu):
    leader = cluster.leader()
    return ", ".join(f"{name}{' (leader)' if name == leader else ''} {100 * used:.0f} %"
                     for name, used in cpu.items())


def note(text):
    print("  " + text, flush=True)


def throughput(build, folder):
    """Puts of 64 clients against RocksDB alone, interleaved."""
    ours, alone = [], []
    with Cluster(build, folder) as cluster:
        for round_number in range(ROUNDS):
            database = f"{folder}/alone{round_number}"
            reference = run_json(f"{build}/bin/bench_rocksdb_alone", database, "10")
            shutil.rmtree(database)
            result, cpu = cluster.bench("put", *LOAD, "--duration", "10s")
            alone.append(reference["ops_per_s"])
            ours.append(result["ops_per_s"])
            note(f"RocksDB alone {alone[-1]:,.0f}/s (CPU "
                 f"{100 * reference['cpu_s'] / reference['seconds']:.0f} %); raftkv {ours[-1]:,.0f}/s, "
                 f"p50 {result['p50_ms']:.2f} p99 {result['p99_ms']:.2f} p99.9 "
                 f"{result['p999_ms']:.2f} max {result['max_ms']:.1f} ms; CPU: "
                 + show_cpu(cluster, cpu))
    ratio = statistics.median(ours) / statistics.median(alone)
    yield "writes/s, 64 clients", f"{statistics.median(ours):,.0f}", "", None
    yield "RocksDB alone, writes/s", f"{statistics.median(alone):,.0f}", "", None
    yield "ratio to RocksDB alone", f"{ratio:.2f}", ">= 0.4", ratio >= 0.4


# How the two ends of the probe's round trip run: bench_sync_probe's name for it, and ours. The first
# is the one of the goal.
ROUND_TRIPS = {"round_trip": "wherever they run", "after_sync": "with a sync in between",
               "one_core": "both on one core", "two_cores": "each on its core"}


def latency(build, folder):
    """A put of one client against a sync and two round trips."""
    ratios, p50 = {}, []
    with Cluster(build, folder) as cluster:
        for _ in range(ROUNDS):
            probe = run_json(f"{build}/bin/bench_sync_probe", f"{folder}/probe", "4")
            result, cpu = cluster.bench("put", "--clients", "1", "--value-size", "256",
                                        "--duration", "5s")
            p50.append(result["p50_ms"])
            trips = []
            for name, meaning in ROUND_TRIPS.items():
                if (trip := probe.get(f"{name}_p50_ms")) is None:
                    continue
                ratio = result["p50_ms"] / (probe["sync_p50_ms"] + 2 * trip)
                ratios.setdefault(name, []).append(ratio)
                trips.append(f"{meaning} {trip:.3f} ms: {ratio:.2f}")
            note(f"raftkv p50 {result['p50_ms']:.3f} p99 {result['p99_ms']:.3f} ms, "
                 f"{result['ops_per_s']:,.0f}/s; CPU: " + show_cpu(cluster, cpu))
            # On a busy machine the sync waits for a processor, and the ratio says nothing.
            note(f"  load average {os.getloadavg()[0]:.1f} of {os.cpu_count()} processors; "
                 f"sync {probe['sync_p50_ms']:.3f} ms; round trip, and the ratio with it: "
                 + ", ".join(trips))
    yield "write p50, one client", f"{statistics.median(p50):.3f} ms", "", None
    for name, of_rounds in ratios.items():
        ratio = statistics.median(of_rounds)
        if name == "round_trip":
            yield "ratio to sync + 2 round trips", f"{ratio:.2f}", "<= 3", ratio <= 3
        else:
            yield f"  {ROUND_TRIPS[name]}", f"{ratio:.2f}", "", None


def reads(build, folder):
    """Linearizable gets of 64 clients."""
    rates = []
    with Cluster(build, folder) as cluster:
        cluster.bench("put", *LOAD, "--total", "100000")
        for _ in range(ROUNDS):
            result, cpu = cluster.bench("get", *LOAD[:4], "--key-space", "1000000", "--duration",
                                        "5s")
            rates.append(result["ops_per_s"])
            note(f"{rates[-1]:,.0f}/s, p50 {result['p50_ms']:.2f} p99 {result['p99_ms']:.2f} ms; CPU: "
                 + show_cpu(cluster, cpu))
    rate = statistics.median(rates)
    yield "linearizable reads/s, 64 clients", f"{rate:,.0f}", ">= 20,000", rate >= 20_000


def log(build, folder):
    """raftkv::Log against RocksDB and a bare file, in turns."""
    names = ("log_entries_per_s", "rocksdb_entries_per_s", "append_p50_us", "bare_p50_us")
    rounds = []
    for _ in range(ROUNDS):
        result = run_json(f"{build}/bin/bench_log", folder, "1000000", "2000")
        rounds.append([result[name] for name in names])
        ours, alone, append, bare = rounds[-1]
        note(f"batches of 1,000 of 256 B, synced: {ours:,.0f} entries/s, RocksDB alone {alone:,.0f}: "
             f"{ours / alone:.2f}; one synced append {append:.0f} us, write and fdatasync "
             f"{bare:.0f} us: {append / bare:.2f}; load average {os.getloadavg()[0]:.1f} of "
             f"{os.cpu_count()} processors")
    batches = statistics.median(ours / alone for ours, alone, _, _ in rounds)
    single = statistics.median(append / bare for _, _, append, bare in rounds)
    ours, alone, append, bare = map(statistics.median, zip(*rounds))
    yield "log, entries/s in batches of 1,000", f"{ours:,.0f}", "", None
    yield "RocksDB alone, entries/s", f"{alone:,.0f}", "", None
    yield "ratio to RocksDB alone", f"{batches:.2f}", ">= 0.5", batches >= 0.5
    yield "log, synced append p50", f"{append:.0f} us", "", None
    yield "write and fdatasync p50", f"{bare:.0f} us", "", None
    yield "ratio to write and fdatasync", f"{single:.2f}", "<= 1.2", single <= 1.2


def failover(build, _folder):
    """Writes while the leader is killed."""
    result = run_json(f"{build}/bin/bench_failover", "10")
    note("outages: " + ", ".join(f"{outage} ms" for outage in result["outages_ms"]))
    worst = result["worst_ms"]
    yield "worst of 10 write outages", f"{worst} ms", "<= 1000 ms", worst <= 1000


def soak(build, folder, seconds=600):
    """Full load without an election."""
    with Cluster(build, folder) as cluster:
        before = cluster.terms()
        result, cpu = cluster.bench("put", *LOAD, "--duration", f"{seconds}s")
        after = cluster.terms()
        note(f"{result['ops_per_s']:,.0f}/s for {result['seconds']:.0f} s, {result['errors']} errors, "
             f"max {result['max_ms']:.0f} ms; CPU: " + show_cpu(cluster, cpu))
        note(f"terms before {before}, after {after}")
    elections = max(after.values()) - max(before.values())
    yield f"elections in {seconds} s of full load", str(elections), "0", elections == 0


def encryption(build, folder):
    """Puts of 64 clients with and without encryption at rest, by turns."""
    key = f"{folder}/key"
    with open(key, "w", encoding="utf-8", opener=lambda *how: os.open(*how, 0o600)) as file:
        file.write(os.urandom(32).hex())
    folders = [f"{folder}/plain", f"{folder}/encrypted"]
    for each in folders:
        os.mkdir(each)
    ratios, work, plain, encrypted = [], [], [], []
    with Cluster(build, folders[0]) as without, \
            Cluster(build, folders[1], "--encryption-key-file", key) as with_key:
        for turn in range(4 * ROUNDS + 1):
            pair = [without, with_key]
            figures, cpu_a_put = {}, {}
            for cluster in pair if turn % 2 else reversed(pair):
                result, cpu = cluster.bench("put", *LOAD, "--duration", "2s")
                figures[cluster] = result["ops_per_s"]
                members = sum(used for name, used in cpu.items() if name in MEMBERS)
                cpu_a_put[cluster] = members / result["ops_per_s"]
                note(f"{'plain' if cluster is without else 'encrypted':<9} "
                     f"{result['ops_per_s']:,.0f}/s, p99 {result['p99_ms']:.1f} ms; CPU: " +
                     show_cpu(cluster, cpu))
            if turn == 0:
                continue  # both are new
            plain.append(figures[without])
            encrypted.append(figures[with_key])
            ratios.append(figures[with_key] / figures[without])
            work.append(cpu_a_put[with_key] / cpu_a_put[without])
    note("ratios " + ", ".join(f"{ratio:.2f}" for ratio in ratios))
    cost = 100 * (1 - statistics.median(ratios))
    yield "puts/s without encryption, median", f"{statistics.median(plain):,.0f}", "", None
    yield "puts/s with it, median", f"{statistics.median(encrypted):,.0f}", "", None
    yield "cost of encryption on writes", f"{cost:.1f} %", "< 15 %", cost < 15
    # Of use where others take the machine's time: it hardly depends on them.
    more = 100 * (statistics.median(work) - 1)
    yield "more CPU of the members for a write", f"{more:.1f} %", "", None


def timed(*command):
    """Seconds, CPU seconds and peak memory in MiB of a command."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"bench: {' '.join(command)} failed")
    return (time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def memory_mib(pid, kind):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(kind))


def peak_memory(pid):
    return memory_mib(pid, "VmHWM")


def folder_mib(folder):
    return sum(os.path.getsize(os.path.join(parent, name))
               for parent, _, names in os.walk(folder) for name in names) / 2**20


def even(folder, mib):
    """The same start for each: nothing waits to be written, and free memory was in use just now (a
    virtual machine may have to get the rest from its host, which takes longer than any copying)."""
    os.sync()
    with open(f"{folder}/scratch", "wb") as file:
        for _ in range(int(mib)):
            file.write(bytes(2**20))
    os.unlink(f"{folder}/scratch")


def backup(build, folder, mib=1024):
    """Backup and restore against `cp -r` and `sync` of the data folder, each as it is with the defaults
    of `serve`; page cache warm. How fast: the time that each takes for that folder, and the bytes a
    second of what each moves (a folder has a log besides, which no backup takes along)."""
    ratios = {"save": [], "restore": []}
    byte_ratios = {"save": [], "restore": []}
    peaks = {"member": [], "save": [], "restore": []}
    with Cluster(build, folder, members=("n1",)) as cluster:
        member = cluster.processes["n1"].pid
        subprocess.run((f"{build}/bin/bench_backup_fill", cluster.endpoints, str(mib)), check=True)
        file, copy, restored = f"{folder}/b.tar.zst", f"{folder}/copy", f"{folder}/restored"
        for _ in range(ROUNDS):
            size = folder_mib(f"{folder}/n1")
            even(folder, size)
            cp_seconds, cpu, _ = timed("sh", "-c", f"cp -r {folder}/n1 {copy} && sync")
            note(f"cp -r and sync: {size:.0f} MiB in {cp_seconds:.2f} s, CPU {cpu:.2f} s")
            shutil.rmtree(copy)
            even(folder, size)
            with open(f"/proc/{member}/clear_refs", "w", encoding="utf-8") as file_refs:
                file_refs.write("5")  # forgets the peak
            before = peak_memory(member)
            member_cpu = cpu_seconds(member)
            seconds, cpu, peak = timed(cluster.program, "snapshot", "save", file, "--endpoints",
                                       cluster.endpoints)
            member_cpu = cpu_seconds(member) - member_cpu
            info = run_json(cluster.program, "snapshot", "status", file, "-w", "json")
            data = info["data_bytes"] / 2**20
            ratios["save"].append(cp_seconds / seconds)
            byte_ratios["save"].append(data / seconds / (size / cp_seconds))
            peaks["save"].append(peak)
            peaks["member"].append(peak_memory(member) - before)
            note(f"save: {data:.0f} MiB in {seconds:.2f} s to {info['file_bytes'] / 2**20:.0f} MiB, "
                 f"CPU {cpu:.2f} s and of the member {member_cpu:.2f} s; "
                 f"peak {peak:.0f} MiB, member {peaks['member'][-1]:.0f} MiB more than before")
            even(folder, size)
            seconds, cpu, peak = timed(cluster.program, "snapshot", "restore", file, "--data-dir",
                                       restored, "--name", "n1", "--cluster", "n1=127.0.0.1:1")
            ratios["restore"].append(cp_seconds / seconds)
            byte_ratios["restore"].append(data / seconds / (size / cp_seconds))
            peaks["restore"].append(peak)
            note(f"restore: {seconds:.2f} s, CPU {cpu:.2f} s; peak {peak:.0f} MiB; "
                 f"load average {os.getloadavg()[0]:.1f} of {os.cpu_count()} processors")
            shutil.rmtree(restored)
            os.unlink(file)  # the next one is new, as the copy is
    for kind, by_name in (("for the folder", ratios), ("by bytes", byte_ratios)):
        for name, of_rounds in by_name.items():
            ratio = statistics.median(of_rounds)
            yield f"{name}, speed to that of cp {kind}", f"{ratio:.2f}", ">= 0.6", ratio >= 0.6
    # What the member itself needs depends on its caches.
    names = {"member": "memory that the member needs more", "save": "peak memory, save",
             "restore": "peak memory, restore"}
    for name, of_rounds in peaks.items():
        yield names[name], f"{max(of_rounds):.0f} MiB", "< 256 MiB", max(of_rounds) < 256


def memory(build, folder):
    """What a member still has in memory half a minute after a burst of large values."""
    with Cluster(build, folder, members=("n1",)) as cluster:
        member = cluster.processes["n1"].pid
        start = memory_mib(member, "VmRSS")
        result, _ = cluster.bench("put", "--clients", "8", "--total", "400", "--value-size",
                                  "1000000")
        end = memory_mib(member, "VmRSS")
        time.sleep(30)
        idle = memory_mib(member, "VmRSS")
        note(f"{start:.0f} MiB at the start, {end:.0f} MiB after the burst "
             f"({result['ops_per_s']:.0f} puts/s), {idle:.0f} MiB now")
        yield "memory after 400 values of 1 MB", f"{idle:.0f} MiB", "< 128 MiB", idle < 128


def range_delete(build, folder, keys=1_000_000):
    """A range of very many small keys is deleted while another client writes; then the member is
    started again."""
    with Cluster(build, folder, members=("n1",)) as cluster:
        member = cluster.processes["n1"].pid
        run = subprocess.run((f"{build}/bin/bench_range_delete", cluster.endpoints, str(keys)),
                             check=True, stdout=subprocess.PIPE, text=True)
        for line in run.stdout.splitlines():
            note(line)
        note(f"peak memory of the member {peak_memory(member):.0f} MiB")
        longest = float(run.stdout.split("longest ")[1].split()[0])
        yield "longest put beside a range delete", f"{longest:.0f} ms", "< 2000 ms", longest < 2000


MEASURES = {"throughput": throughput, "latency": latency, "reads": reads, "failover": failover,
            "encryption": encryption, "backup": backup, "log": log, "memory": memory,
            "range_delete": range_delete, "soak": soak}


def chosen(arguments):
    """(name, options) of each measure that is asked for."""
    measures = []
    for argument in arguments:
        if argument in MEASURES:
            measures.append((argument, []))
        elif argument.isdigit() and measures and measures[-1][0] in ("soak", "backup", "range_delete"):
            measures[-1][1].append(int(argument))
        else:
            sys.exit(f"bench: '{argument}' is none of {', '.join(MEASURES)}")
    return measures or [(name, []) for name in MEASURES if name != "soak"]


def main():
    if len(sys.argv) < 2 or not os.path.exists(f"{sys.argv[1]}/bin/raftkv"):
        sys.exit("usage: run.sh BUILD_DIR [MEASURE]...")
    build = os.path.abspath(sys.argv[1])
    rows = []
    for name, options in chosen(sys.argv[2:]):
        print(f"{name}: {MEASURES[name].__doc__}", flush=True)
        with tempfile.TemporaryDirectory(prefix="raftkv-bench-") as folder:
            rows.extend(MEASURES[name](build, folder, *options))
    print()
    for what, figure, goal, met in rows:
        print(f"| {what:<36} | {figure:>12} | {goal:>10} | {'' if met is None else 'met' if met else 'NOT met':<7} |")


main()
