#!/usr/bin/env python3
"""Do etcd's recipes for locks and elections keep mutual exclusion while members are killed?

usage: lock_counter.py (--endpoints HOST:PORT,... | --self-test) [--seconds N] [--workers N]

Four recipes, each with a counter of its own and several workers: the lock of python3-etcd3; the
mutex of etcd's Go client, out of transactions; and the services for locks and for elections, which
jetcd uses. A worker takes the lock, reads the counter, waits a little, writes it plus one if it
still has the lock's key, and lets go. If two were inside at a time an increment would be lost, so
in the end the counter has to be the number of increments. The caller kills members meanwhile;
--self-test runs three etcd servers and kills their leader itself. Prints one JSON line; exits with
1 if anything was wrong.
"""

import argparse
import collections
import json
import sys
import threading
import time

import etcd3
import grpc

import etcd3.etcdrpc as rpc
from etcd_endpoint import ignore_closed_channels
from etcd_messages import recipe_call, recipe_request
from etcd_script import prefix_end
from etcd_servers import EtcdCluster

CALL_SECONDS = 10
PATIENCE_SECONDS = 120  # until a cluster has to answer again
TTL_SECONDS = 300
HOLD_SECONDS = 0.01
# Nothing happened, and asking elsewhere would not help.
_DEFINITE = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT,
             grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.OUT_OF_RANGE)
_Compare, _Range = rpc.Compare, rpc.RangeRequest


class Connection:
    """A client of one member at a time; of the next one once a call has failed."""

    def __init__(self, endpoints, first):
        self._endpoints = endpoints
        self._at = first
        self._client = None
        self.failures = 0

    @property
    def client(self):
        if self._client is None:
            host, port = self._endpoints[self._at % len(self._endpoints)].rsplit(":", 1)
            self._client = etcd3.client(host=host, port=int(port), timeout=CALL_SECONDS)
        return self._client

    def move_on(self):
        self.failures += 1
        self._at += 1
        self.close()
        time.sleep(0.05)

    def close(self):
        if self._client is not None:
            self._client.close()
        self._client = None

    def answer(self, step):
        """`step(client)`, again until it is answered: it has to be safe to do twice."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return step(self.client)
            except (grpc.RpcError, etcd3.exceptions.Etcd3Exception) as error:
                if isinstance(error, grpc.RpcError) and error.code() in _DEFINITE:
                    raise
                if time.monotonic() > deadline:
                    raise
                self.move_on()

    def once(self, step):
        """`step(client)`; None: who knows."""
        try:
            return step(self.client)
        except (grpc.RpcError, etcd3.exceptions.Etcd3Exception):
            self.move_on()
            return None

    def wait_for_change(self, key, revision):
        """Until `key` changes at `revision` or later, or some seconds have passed."""
        try:
            self.client.watch_once(key, timeout=5, start_revision=revision)
        except etcd3.exceptions.WatchTimedOut:
            pass
        except (grpc.RpcError, etcd3.exceptions.Etcd3Exception, AttributeError):
            self.move_on()  # AttributeError: etcd3 takes the error for an answer

    def txn(self, **request):
        return self.answer(lambda client: client.kvstub.Txn(rpc.TxnRequest(**request),
                                                            timeout=CALL_SECONDS))

    def range(self, **request):
        return self.answer(lambda client: client.kvstub.Range(_Range(**request),
                                                              timeout=CALL_SECONDS))

    def grant(self):
        return self.answer(lambda client: client.leasestub.LeaseGrant(
            rpc.LeaseGrantRequest(TTL=TTL_SECONDS), timeout=CALL_SECONDS)).ID

    def revoke(self, lease):
        """Afterwards no transaction that is still under way can attach a key to it."""
        try:
            self.answer(lambda client: client.leasestub.LeaseRevoke(
                rpc.LeaseRevokeRequest(ID=lease), timeout=CALL_SECONDS))
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise


def _created(key, revision):
    return _Compare(key=key, target=_Compare.CREATE, result=_Compare.EQUAL,
                    create_revision=revision)


class LibraryLock:
    """etcd3.Lock: a key that only one can create."""

    name = "etcd3"

    def __init__(self, connection):
        self._connection = connection
        self._lock = None

    def acquire(self, deadline):
        while time.monotonic() < deadline:
            lock = self._connection.client.lock(self.name, ttl=TTL_SECONDS)
            # Its own waiting does not work with the tenacity of Debian 12.
            taken = self._connection.once(lambda client: lock.acquire(timeout=0))
            if taken:
                self._lock = lock
                return _Compare(key=lock.key.encode(), target=_Compare.VALUE, result=_Compare.EQUAL,
                                value=lock.uuid)
            if lock.lease is not None:
                self._connection.revoke(lock.lease.id)
            if taken is False:
                now = self._connection.range(key=lock.key.encode())
                if now.kvs:
                    self._connection.wait_for_change(lock.key, now.header.revision + 1)
        return None

    def release(self):
        self._connection.revoke(self._lock.lease.id)


class Mutex:
    """clientv3/concurrency: keys with leases queue up by their create_revision."""

    name = "txn"

    def __init__(self, connection):
        self._connection = connection
        self._lease = None

    def acquire(self, deadline):
        self._lease = self._connection.grant()
        prefix = b"mutex/"
        key = prefix + b"%x" % self._lease
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=key, lease=self._lease))
        get = rpc.RequestOp(request_range=_Range(key=key))
        answer = self._connection.txn(compare=[_created(key, 0)], success=[put], failure=[get])
        mine = (answer.header.revision if answer.succeeded
                else answer.responses[0].response_range.kvs[0].create_revision)
        while time.monotonic() < deadline:
            before = self._connection.range(
                key=prefix, range_end=prefix_end(prefix), limit=1, sort_order=_Range.DESCEND,
                sort_target=_Range.CREATE, max_create_revision=mine - 1)
            if not before.kvs:
                return _created(key, mine)
            self._connection.wait_for_change(before.kvs[0].key, before.header.revision + 1)
        self.release()
        return None

    def release(self):
        self._connection.revoke(self._lease)


class Service:
    """The server does the same, within one call that waits."""

    def __init__(self, connection):
        self._connection = connection
        self._lease = None

    def acquire(self, deadline):
        while time.monotonic() < deadline:
            # A lease for each attempt: the server lets go of the key of one that was given up.
            self._lease = self._connection.grant()
            held = self._connection.once(self._enter)
            if held:
                return held
            self.release()
        return None

    def release(self):
        self._connection.revoke(self._lease)


class LockService(Service):
    name = "lock service"

    def _enter(self, client):
        request = recipe_request("Lock", name=b"service", lease=self._lease)
        key = recipe_call(client.channel, "Lock")(request, timeout=CALL_SECONDS).key
        kvs = client.kvstub.Range(_Range(key=key), timeout=CALL_SECONDS).kvs
        return _created(key, kvs[0].create_revision) if kvs else _created(key, -1)


class ElectionService(Service):
    name = "election service"

    def _enter(self, client):
        request = recipe_request("Campaign", name=b"election", lease=self._lease, value=b"me")
        leader = recipe_call(client.channel, "Campaign")(request, timeout=CALL_SECONDS).leader
        return _created(leader.key, leader.rev)


RECIPES = (LibraryLock, Mutex, LockService, ElectionService)


class Counters:
    """What all workers share."""

    def __init__(self, endpoints, seconds):
        self.endpoints = endpoints
        self.deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self.increments = collections.Counter()
        self.failures = 0
        self.problems = []

    def work(self, recipe_class, number):
        connection = Connection(self.endpoints, number)
        try:
            while time.monotonic() < self.deadline:
                self._increment(recipe_class(connection), connection)
        except Exception as error:  # whatever it is, it is a finding
            self.report(f"{recipe_class.name}: {type(error).__name__}: {error}")
        with self._lock:
            self.failures += connection.failures
        connection.close()

    def _increment(self, recipe, connection):
        fence = recipe.acquire(self.deadline + PATIENCE_SECONDS)
        if fence is None:
            return self.report(f"{recipe.name}: the lock could not be had")
        counter = f"counter/{recipe.name}".encode()
        kvs = connection.range(key=counter).kvs
        value = b"%d" % (int(kvs[0].value) + 1 if kvs else 1)
        time.sleep(HOLD_SECONDS)
        put = rpc.RequestOp(request_put=rpc.PutRequest(key=counter, value=value))
        # Asked twice it writes the same, and never once the lock is another's.
        if connection.txn(compare=[fence], success=[put]).succeeded:
            with self._lock:
                self.increments[recipe.name] += 1
        else:
            self.report(f"{recipe.name}: a lock was lost whose lease has minutes left")
        recipe.release()

    def report(self, problem):
        with self._lock:
            self.problems.append(problem)

    def check(self):
        connection = Connection(self.endpoints, 0)
        for recipe in RECIPES:
            kvs = connection.range(key=f"counter/{recipe.name}".encode()).kvs
            counted, expected = int(kvs[0].value) if kvs else 0, self.increments[recipe.name]
            if counted != expected:
                self.report(f"{recipe.name}: {expected} increments, but the counter is {counted}")
            if not expected:
                self.report(f"{recipe.name}: no increment at all")
        connection.close()


def run(endpoints, options):
    counters = Counters(endpoints, options.seconds)
    threads = [threading.Thread(target=counters.work, args=(recipe, number))
               for recipe in RECIPES for number in range(options.workers)]
    for thread in threads:
        thread.start()
    yield  # meanwhile
    for thread in threads:
        thread.join()
    counters.check()
    print(json.dumps({"increments": counters.increments, "failed_calls": counters.failures,
                      "problems": counters.problems[:20]}), flush=True)
    yield not counters.problems


def kill_leaders(cluster, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline - 3:
        time.sleep(3)
        members = range(len(cluster.endpoints))
        leader = next((i for i in members if _leads(cluster.endpoints[i])), 0)
        cluster.kill(leader)
        time.sleep(0.5)
        cluster.start(leader)
        cluster.wait_until_ready(leader)


def _leads(endpoint):
    channel = grpc.insecure_channel(endpoint)
    status = rpc.MaintenanceStub(channel).Status(rpc.StatusRequest(), timeout=CALL_SECONDS)
    channel.close()
    return status.leader == status.header.member_id


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--endpoints", help="of a cluster, separated by commas")
    which.add_argument("--self-test", action="store_true", help="with three etcd servers")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--workers", type=int, default=3, help="for each recipe")
    options = parser.parse_args()
    ignore_closed_channels()
    if options.endpoints:
        running = run(options.endpoints.split(","), options)
        next(running)
        return 0 if next(running) else 1
    with EtcdCluster(3) as cluster:
        running = run(cluster.endpoints, options)
        next(running)
        kill_leaders(cluster, options.seconds)
        return 0 if next(running) else 1


if __name__ == "__main__":
    sys.exit(main())
