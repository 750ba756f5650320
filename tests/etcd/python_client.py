#!/usr/bin/env python3
"""Does python3-etcd3 work against a cluster as its users use it?

usage: python_client.py HOST:PORT,HOST:PORT,...

Each member is asked on its own. Exits with 1 at the first thing that is wrong.
"""

import os
import queue
import sys
import tempfile
import time

import etcd3

from etcd_endpoint import ignore_closed_channels, wait_until

WAIT_SECONDS = 30


class Wrong(Exception):
    """(step, expected, got)"""


def require(expected, got, step):
    if expected != got:
        raise Wrong(step, expected, got)


def keys(client):
    client.delete_prefix("py/")
    require((None, None), client.get("py/none"), "get of nothing")
    client.put("py/1", "one")
    require(b"one", client.get("py/1")[0], "get")
    require(b"one", client.put("py/1", "eins", prev_kv=True).prev_kv.value, "put with prev_kv")
    value, data = client.get("py/1")
    require((b"eins", 2, b"py/1"), (value, data.version, data.key), "get after a second put")
    require(True, client.put_if_not_exists("py/2", "two"), "put_if_not_exists")
    require(False, client.put_if_not_exists("py/2", "again"), "put_if_not_exists again")
    require(True, client.replace("py/2", "two", "zwei"), "replace")
    require(False, client.replace("py/2", "two", "deux"), "replace of what is not there")
    found = client.get_prefix("py/", sort_order="descend", sort_target="mod")
    require([b"zwei", b"eins"], [value for value, _ in found], "get_prefix, sorted")
    found = [data.key for _, data in client.get_range("py/1", "py/2", keys_only=True)]
    require([b"py/1"], found, "get_range")
    # A member may answer that from what it has so far.
    wait_until(lambda: client.get("py/2", serializable=True)[0] == b"zwei", WAIT_SECONDS)
    require(b"zwei", client.get("py/2", serializable=True)[0], "get, serializable")
    require(True, client.delete("py/1"), "delete")
    require(False, client.delete("py/1"), "delete again")
    require(1, client.delete_prefix("py/").deleted, "delete_prefix")


def transactions(client):
    make = client.transactions
    change = dict(compare=[make.version("py/t") == 0, make.value("py/u") != "x"],
                  success=[make.put("py/t", "1"), make.get("py/t")],
                  failure=[make.get("py/t"), make.delete("py/t")])
    # A missing key has no value that could be compared.
    require(False, client.transaction(**change)[0], "a value of a missing key")
    client.put("py/u", "y")
    succeeded, (_, read) = client.transaction(**change)
    require((True, b"1"), (succeeded, read[0][0]), "a transaction that succeeds")
    succeeded, (read, _) = client.transaction(**change)
    require((False, b"1"), (succeeded, read[0][0]), "a transaction that fails")
    nested = make.txn(compare=[make.version("py/t") == 0], success=[make.put("py/t", "2")],
                      failure=[])
    require(True, client.transaction(compare=[], success=[nested], failure=[])[0], "a nested one")
    require(b"2", client.get("py/t")[0], "what it wrote")
    client.delete_prefix("py/")


def leases(client):
    lease = client.lease(100)
    client.put("py/leased", "x", lease=lease)
    require([b"py/leased"], list(lease.keys), "keys of a lease")
    require(100, lease.granted_ttl, "granted_ttl")
    require(True, 80 <= lease.remaining_ttl <= 100, "remaining_ttl")
    require(100, lease.refresh()[0].TTL, "refresh")
    lease.revoke()
    require(None, client.get("py/leased")[0], "get after revoke")
    lock = client.lock("py", ttl=60)
    require((True, True), (lock.acquire(timeout=0), lock.is_acquired()), "lock")
    require(False, client.lock("py", ttl=60).acquire(timeout=0), "the lock of another")
    require(True, lock.release(), "release")


def watches(client):
    seen = queue.Queue()
    first = client.add_watch_callback("py/w", lambda answer: [seen.put(e) for e in answer.events])
    client.put("py/w", "1")
    client.delete("py/w")
    require([b"1", b""], [seen.get(timeout=WAIT_SECONDS).value for _ in range(2)], "a callback")
    require(0, first, "the id of the first watch")
    client.cancel_watch(first)  # by its id, which is 0
    events, cancel = client.watch_prefix("py/w", prev_kv=True)
    client.put("py/w2", "2")
    client.put("py/w2", "3")
    both = [next(events) for _ in range(2)]
    require([b"2", b"3"], [event.value for event in both], "watch_prefix")
    require(b"2", both[1].prev_value, "the value before")
    cancel()
    require(0, seen.qsize(), "events of a watch that was canceled")
    revision = both[0].mod_revision
    require(b"2", client.watch_once("py/w2", timeout=WAIT_SECONDS, start_revision=revision).value,
            "watch from the past")
    client.put("py/w2", "4")
    client.compact(revision + 1)
    try:
        client.watch_once("py/w2", timeout=WAIT_SECONDS, start_revision=revision)
        raise Wrong("a watch from a compacted revision", "RevisionCompactedError", "an event")
    except (etcd3.exceptions.RevisionCompactedError, AttributeError):
        pass  # AttributeError: etcd3 0.12 takes the error for an answer
    client.delete_prefix("py/")


def maintenance(client, members):
    require(members, len(list(client.members)), "members")
    status = client.status()
    require("3", status.version.split(".")[0], "version")
    require(True, status.leader is not None and bool(status.leader.client_urls), "leader")
    require(True, status.raft_term > 0 and status.raft_index > 0, "raft_term, raft_index")
    require([], list(client.list_alarms()), "list_alarms")
    client.hash()
    client.defragment()
    with tempfile.TemporaryFile() as file:
        client.snapshot(file)
        require(True, file.seek(0, os.SEEK_END) > 0, "snapshot")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    endpoints = sys.argv[1].split(",")
    ignore_closed_channels()
    for endpoint in endpoints:
        host, port = endpoint.rsplit(":", 1)
        started = time.monotonic()
        try:
            with etcd3.client(host=host, port=int(port), timeout=WAIT_SECONDS) as client:
                for step in (keys, transactions, leases, watches):
                    step(client)
                maintenance(client, len(endpoints))
        except Wrong as wrong:
            sys.exit("WRONG at %s, %s: expected %r, got %r" % (endpoint, *wrong.args))
        print(f"{endpoint}: {time.monotonic() - started:.1f} s")
    print("etcd3: all as expected")
    os._exit(0)  # the threads of its watchers do not end by themselves


if __name__ == "__main__":
    main()
