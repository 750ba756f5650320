"""How does a script start real etcd servers, as what raftkv is compared with?

Each is a child that the kernel kills should the script die, on free ports of 127.0.0.1, with a
temporary folder that is removed at the end.
"""

import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ETCD = "etcd"
READY_SECONDS = 60
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
# Below the range that the kernel hands out for connections; programs that run at the same time
# start at different places.
_ports = itertools.count(10_000 + os.getpid() * 67 % 20_000)


def free_address():
    """`127.0.0.1:PORT`, free now and not handed out again by this process."""
    for port in _ports:
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
                return f"127.0.0.1:{port}"
            except OSError:
                pass
    raise AssertionError("unreachable")


def die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class EtcdCluster:
    """`members` etcd servers; a context manager. Start it from the main thread."""

    def __init__(self, members=1):
        if shutil.which(ETCD) is None:
            sys.exit("etcd is missing: install the package etcd-server (./dev setup)")
        self._folder = tempfile.mkdtemp(prefix="raftkv-etcd-")
        self.endpoints = [free_address() for _ in range(members)]
        self._peers = [free_address() for _ in range(members)]
        self._processes = [None] * members

    def __enter__(self):
        try:
            for member in range(len(self.endpoints)):
                self.start(member)
            for member in range(len(self.endpoints)):
                self.wait_until_ready(member)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in filter(None, self._processes):
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self, member):
        cluster = ",".join(f"m{i}=http://{peer}" for i, peer in enumerate(self._peers))
        command = [
            ETCD, "--name", f"m{member}", "--data-dir", f"{self._folder}/m{member}",
            "--listen-client-urls", f"http://{self.endpoints[member]}",
            "--advertise-client-urls", f"http://{self.endpoints[member]}",
            "--listen-peer-urls", f"http://{self._peers[member]}",
            "--initial-advertise-peer-urls", f"http://{self._peers[member]}",
            # As many operations as raftkv allows.
            "--max-txn-ops", "4096",
            "--initial-cluster", cluster, "--logger", "zap", "--log-level", "error",
        ]
        with open(f"{self._folder}/m{member}.log", "ab") as log:
            self._processes[member] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent, start_new_session=True)

    def kill(self, member):
        self._processes[member].kill()
        self._processes[member].wait()

    def pid(self, member):
        return self._processes[member].pid

    def wait_until_ready(self, member):
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_healthy(member):
            if self._processes[member].poll() is not None or time.monotonic() > deadline:
                with open(f"{self._folder}/m{member}.log", encoding="utf-8") as log:
                    sys.exit(f"etcd did not start:\n{log.read()[-2000:]}")
            time.sleep(0.05)

    def _is_healthy(self, member):
        try:
            url = f"http://{self.endpoints[member]}/health"
            with urllib.request.urlopen(url, timeout=2) as reply:
                return b'"true"' in reply.read()
        except OSError:
            return False


def unsynced_watchers(endpoint):
    """How many watchers of this etcd have not yet received all of the past that they asked for."""
    with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=5) as reply:
        for line in reply.read().decode().splitlines():
            if line.startswith("etcd_debugging_mvcc_slow_watcher_total "):
                return int(float(line.split()[1]))
    sys.exit("this etcd does not count its slow watchers; the comparison needs that of 3.4")
