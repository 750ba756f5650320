"""Which calls do etcd's clients make for certain, and which errors do they match on?

Made once, before the random calls: each on a store whose state is known.
"""

import time

import grpc

import etcd3.etcdrpc as rpc
from etcd_answers import as_tree, first_difference
from etcd_comparison import Different
from etcd_endpoint import Call, wait_until
from etcd_messages import recipe, recipe_request
from etcd_watches import everything_below

WAIT_SECONDS = 30
_Range, _Compare, _Op = rpc.RangeRequest, rpc.Compare, rpc.RequestOp
MIB = 1 << 20


def run_first(comparison, script):
    """What comes before all watches, since the keys in it are not the same."""
    answer = comparison.make(Call("Range", _Range(key=b"\x00", range_end=b"\x00"))).message
    if answer.header.revision != 1 or answer.count:
        raise Different("both have to be new: revision", 1, answer.header.revision)
    Shapes(comparison, script).chosen_ids()


def run_shapes(comparison, watches, script):
    shapes = Shapes(comparison, script)
    shapes.locks()
    shapes.kubernetes()
    shapes.order_in_txn()
    shapes.duplicates()
    shapes.put_errors()
    shapes.lease_errors()
    shapes.history()
    shapes.wrong_sort()
    shapes.other_services()
    shapes.lock_service()
    shapes.election_service()
    watches.settle(comparison.known)
    shapes.large_events(watches)
    shapes.watch_errors(watches)
    shapes.expiry()
    watches.settle(comparison.known)
    for prefix in (b"s/", b"l/", b"e/"):
        shapes.delete(prefix, prefix[:-1] + b"0")


def _range(key, range_end=b"", **fields):
    return _Op(request_range=_Range(key=key, range_end=range_end, **fields))


def _put(key, value=b"", lease=0, **fields):
    return _Op(request_put=rpc.PutRequest(key=key, value=value, lease=lease, **fields))


def _delete(key, range_end=b"", **fields):
    return _Op(request_delete_range=rpc.DeleteRangeRequest(key=key, range_end=range_end, **fields))


def _nested(compare, success, failure):
    return _Op(request_txn=rpc.TxnRequest(compare=compare, success=success, failure=failure))


def _is(key, **operand):
    target = {"version": _Compare.VERSION, "create_revision": _Compare.CREATE,
              "lease": _Compare.LEASE, "mod_revision": _Compare.MOD,
              "value": _Compare.VALUE}[next(iter(operand))]
    return _Compare(key=key, target=target, result=_Compare.EQUAL, **operand)


class Shapes:
    def __init__(self, comparison, script):
        self._comparison = comparison
        self._script = script

    def call(self, method, request, may_lag=False):
        return self._comparison.make(Call(method, request, self._script.member(), may_lag))

    def txn(self, compare, success, failure=()):
        return self.call("Txn", rpc.TxnRequest(compare=compare, success=success, failure=failure))

    def put(self, key, value=b"", **fields):
        return self.call("Put", rpc.PutRequest(key=key, value=value, **fields))

    def delete(self, key, range_end=b"", **fields):
        return self.call("DeleteRange",
                         rpc.DeleteRangeRequest(key=key, range_end=range_end, **fields))

    def range(self, key, range_end=b"", **fields):
        return self.call("Range", _Range(key=key, range_end=range_end, **fields))

    def locks(self):
        """etcdctl lock, and elect: three contenders, of which each waits for the one before it."""
        owner = _range(b"s/m/", b"s/m0", limit=1, sort_order=_Range.ASCEND,
                       sort_target=_Range.CREATE)
        revisions = []
        for lease in (101, 102, 103):
            self.call("LeaseGrant", rpc.LeaseGrantRequest(ID=lease, TTL=600))
            key = b"s/m/%x" % lease
            took = ([_is(key, create_revision=0)], [_put(key, b"", lease), owner],
                    [_range(key), owner])
            self.txn(*took)
            revisions.append(self._comparison.known.revision)
            self.txn(*took)  # again, as after a lost answer
            self.range(b"s/m/", b"s/m0", limit=1, sort_order=_Range.DESCEND,
                       sort_target=_Range.CREATE, max_create_revision=revisions[-1] - 1)
        self.delete(b"s/m/65")
        self.range(b"s/m/", b"s/m0", limit=1, sort_order=_Range.ASCEND, sort_target=_Range.CREATE)
        self.txn([_is(b"s/m/66", create_revision=revisions[0])], [_delete(b"s/m/66")])
        self.txn([_is(b"s/m/66", create_revision=revisions[1])], [_put(b"s/m/66", b"said", 102)])
        self.txn([_is(b"s/m/66", create_revision=revisions[1])], [_delete(b"s/m/66")])
        self.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=103))
        self.range(b"s/m/", b"s/m0")
        for lease in (101, 102):
            self.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))

    def kubernetes(self):
        """Objects by mod_revision, compact_rev_key by version, pages of a list."""
        key, read = b"s/pod", [_range(b"s/pod")]
        for _ in range(2):
            self.txn([_is(key, mod_revision=0)], [_put(key, b"1")], read)
        at = self._comparison.known.revision
        self.txn([_is(key, mod_revision=at)], [_put(key, b"2")], read)
        self.txn([_is(key, mod_revision=at)], [_put(key, b"3")], read)
        self.txn([_is(key, mod_revision=at)], [_delete(key)], read)
        self.txn([_is(key, mod_revision=at + 1)], [_delete(key)], read)
        for version in (0, 1, 1, 2):
            self.txn([_is(b"s/rev", version=version)], [_put(b"s/rev", b"7")], [_range(b"s/rev")])
        for i in range(7):
            self.put(b"s/list/%d" % i, b"x" * i)
        at = self._comparison.known.revision
        self.put(b"s/list/8")
        for start in (b"s/list/", b"s/list/3\x00", b"s/list/6\x00"):
            self.range(start, b"s/list0", limit=3, revision=at)
            self.range(start, b"s/list0", limit=3, revision=at, keys_only=True)
        self.range(b"s/list/", b"s/list0", count_only=True)
        self.range(b"s/list/", b"s/list0", count_only=True, limit=2)

    def order_in_txn(self):
        """What a transaction reads of its own writes; when compares look, and at what."""
        self.txn([], [_put(b"s/o", b"1"), _range(b"s/o"), _put(b"s/p", b"2", prev_kv=True),
                      _delete(b"s/q", b"s/r", prev_kv=True), _range(b"s/o", b"s/q")])
        self.txn([], [_put(b"s/o", b"new"), _nested([_is(b"s/o", value=b"new")], [_range(b"s/o")],
                                                    [_range(b"s/o", keys_only=True)])])
        self.txn([_is(b"s/none", value=b"")], [_put(b"s/x")], [_range(b"s/none")])
        self.txn([_is(b"s/none", lease=0), _is(b"s/none", version=0)], [_range(b"s/none")])
        many = _Compare(key=b"s/", range_end=b"s0", target=_Compare.VERSION, version=0,
                        result=_Compare.GREATER)
        none = _Compare(key=b"t/", range_end=b"t0", target=_Compare.VERSION, version=1,
                        result=_Compare.EQUAL)
        absent = _Compare(key=b"t/", range_end=b"t0", target=_Compare.CREATE, create_revision=0,
                          result=_Compare.EQUAL)
        for compare in (many, none, absent):
            self.txn([compare], [_range(b"s/o")], [_range(b"s/p")])
        self.txn([], [])
        self.txn([], [_delete(b"s/none")])
        self.txn([], [_delete(b"s/o"), _delete(b"s/o"), _range(b"s/o")])
        self.txn([], [_range(b"s/p", serializable=True)])
        self.txn([], [_nested([], [_nested([], [_put(b"s/deep")], [])], [_put(b"s/not")])])

    def duplicates(self):
        """A key that is put twice, or put and deleted; which is refused in either branch."""
        twice = [_put(b"s/d"), _put(b"s/d")]
        for ops in (twice, [_put(b"s/d"), _delete(b"s/d")], [_delete(b"s/", b"s0"), _put(b"s/d")],
                    [_put(b"s/d"), _nested([], [_put(b"s/d")], [])],
                    [_put(b"s/d"), _nested([], [], [_delete(b"s/", b"t")])],
                    [_nested([], [_put(b"s/d")], [_put(b"s/d")])],
                    [_nested([], [_put(b"s/d")], []), _nested([], [_put(b"s/d")], [])]):
            self.txn([], ops)
            self.txn([], [], ops)
        for count in (4096, 4097):
            self.txn([], [_range(b"s/none")] * count)
            self.txn([_is(b"s/d", version=0)] * count, [])
        self.txn([], [], [_nested([], [_range(b"s/none")] * 4097, [])])
        self.txn([], [_nested([], [_range(b"s/d")] * 100, [])] * 2)
        self.txn([], [_Op()])
        self.txn([_is(b"", version=0)], [])
        self.txn([], [_put(b"")])

    def put_errors(self):
        self.put(b"", b"value")
        self.put(b"s/absent", ignore_value=True)
        self.put(b"s/absent", ignore_lease=True)
        self.put(b"s/absent", b"value", ignore_value=True)
        self.put(b"s/absent", lease=7, ignore_lease=True)
        self.put(b"s/absent", lease=4711)
        self.put(b"s/absent", lease=4711, ignore_value=True)
        self.put(b"s/large", b"x" * (3 * MIB // 2 + 1024))
        self.put(b"s/half", b"x" * (MIB // 2))
        self.delete(b"s/half", prev_kv=True)
        self.delete(b"")
        self.range(b"")
        self.txn([], [_put(b"s/absent", b"", 4711)])
        self.txn([], [_put(b"s/absent", ignore_value=True)])
        # Nothing of a transaction happens where a part of it cannot.
        self.txn([], [_put(b"s/part"), _put(b"s/absent", ignore_lease=True)])
        self.range(b"s/part")
        self.put(b"s/kept", b"1")
        self.put(b"s/kept", prev_kv=True, ignore_value=True)
        self.put(b"s/kept", b"2", prev_kv=True, ignore_lease=True)

    def lease_errors(self):
        self.call("LeaseGrant", rpc.LeaseGrantRequest(ID=104, TTL=600))
        self.call("LeaseGrant", rpc.LeaseGrantRequest(ID=104, TTL=700))
        self.call("LeaseGrant", rpc.LeaseGrantRequest(ID=105, TTL=9_000_000_001))
        self.put(b"s/leased1", lease=104)
        self.put(b"s/leased2", lease=104)
        self.put(b"s/leased2", ignore_lease=True, prev_kv=True)
        self.put(b"s/leased1")  # detaches it
        self.call("LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=104, keys=True), may_lag=True)
        self.call("LeaseKeepAlive", rpc.LeaseKeepAliveRequest(ID=104), may_lag=True)
        self.call("LeaseLeases", rpc.LeaseLeasesRequest(), may_lag=True)
        self.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=104))
        self.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=104))
        self.call("LeaseKeepAlive", rpc.LeaseKeepAliveRequest(ID=104), may_lag=True)
        self.call("LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=104), may_lag=True)
        self.range(b"s/leased", b"s/leasee")
        # A lease without keys takes no revision.
        self.call("LeaseGrant", rpc.LeaseGrantRequest(ID=106, TTL=600))
        self.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=106))

    def history(self):
        known = self._comparison.known
        for value in (b"1", b"2", b"3"):
            self.put(b"s/h", value)
        last = known.revision
        self.range(b"s/h", revision=last - 1)
        self.range(b"s/h", revision=last + 1)
        self.txn([], [_range(b"s/h", revision=last + 1)])
        self.txn([], [_put(b"s/h"), _range(b"s/h", revision=last + 1)])
        self.call("Compact", rpc.CompactionRequest(revision=last + 1))
        self.call("Compact", rpc.CompactionRequest(revision=last - 1, physical=True))
        self.call("Compact", rpc.CompactionRequest(revision=last - 1))
        self.call("Compact", rpc.CompactionRequest(revision=1))
        self.range(b"s/h", revision=last - 1)
        self.range(b"s/h", revision=last - 2)
        self.range(b"s/h", revision=1)
        self.txn([], [_range(b"s/h", revision=last - 2)])

    def wrong_sort(self):
        """etcd 3.4 does not survive this; the text is that of etcd from 3.5 on."""
        if not self._comparison.other_is_etcd:
            self._comparison.expect_of_other(
                Call("Range", _Range(key=b"s/", range_end=b"s0", sort_order=1, sort_target=9)),
                "INVALID_ARGUMENT", "etcdserver: invalid sort option")

    def other_services(self):
        self.call("Authenticate", rpc.AuthenticateRequest(name="user", password="password"))
        for path, request in (("/grpc.health.v1.Health/Check", b""),
                              ("/etcdserverpb.KV/NoSuch", b""), ("/no.such/Service", b""),
                              ("/etcdserverpb.KV/Range", b"\xff")):
            outcomes = []
            for server in self._comparison.servers:
                try:
                    method = server.channels[0].unary_unary(path)
                    outcomes.append(method(request, timeout=WAIT_SECONDS))
                except grpc.RpcError as error:
                    outcomes.append(error.code().name)
            if outcomes[0] != outcomes[1]:
                raise Different(path, *outcomes)

    def lock_service(self):
        for lease in (111, 112):
            self.call("LeaseGrant", rpc.LeaseGrantRequest(ID=lease, TTL=600))
        key = self.call("Lock", recipe_request("Lock", name=b"l/n", lease=111)).message.key
        self.call("Lock", recipe_request("Lock", name=b"l/n", lease=111))
        request = recipe_request("Lock", name=b"l/n", lease=112)
        waiting = self._begin(Call("Lock", request), b"l/", 2)
        self.call("Unlock", recipe_request("Unlock", key=key))
        self._end(waiting)
        self.call("Unlock", recipe_request("Unlock", key=key))
        self.range(b"l/", b"l0")
        self.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=112))
        self.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=111))
        self.call("Lock", recipe_request("Lock", name=b"l/n", lease=4711))

    def election_service(self):
        for lease in (113, 114):
            self.call("LeaseGrant", rpc.LeaseGrantRequest(ID=lease, TTL=600))
        self.call("Leader", recipe_request("Leader", name=b"e/n"))
        campaign = recipe_request("Campaign", name=b"e/n", lease=113, value=b"one")
        leader = self.call("Campaign", campaign).message.leader
        self.call("Leader", recipe_request("Leader", name=b"e/n"))
        observers = [self._observe(server, b"e/n") for server in self._comparison.servers]
        campaign = recipe_request("Campaign", name=b"e/n", lease=114, value=b"two")
        waiting = self._begin(Call("Campaign", campaign), b"e/", 2)
        self._same_observed(observers, b"one")
        self.call("Proclaim", recipe_request("Proclaim", leader=leader, value=b"uno"))
        self._same_observed(observers, b"uno")
        self.call("Resign", recipe_request("Resign", leader=leader))
        self._end(waiting)
        self._same_observed(observers, b"two")
        for observer in observers:
            observer.cancel()
        self.call("Proclaim", recipe_request("Proclaim", leader=leader, value=b"late"))
        self.call("Resign", recipe_request("Resign", leader=leader))
        self.call("Proclaim", recipe_request("Proclaim", value=b"whose"))
        self.call("Resign", recipe_request("Resign"))
        for lease in (113, 114):
            self.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))

    @staticmethod
    def _observe(server, name):
        call = server.channels[-1].unary_stream(
            "/v3electionpb.Election/Observe",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=recipe("v3electionpb.LeaderResponse").FromString)
        return call(recipe_request("Leader", name=name), timeout=WAIT_SECONDS)

    @staticmethod
    def _same_observed(observers, value):
        seen = [as_tree(next(observer).kv) for observer in observers]
        if seen[0] != seen[1] or seen[0]["value"] != value:
            raise Different(f"Observe, when {value} leads", *seen)

    def _begin(self, call, prefix, keys):
        """A call that waits for its turn: it does once there are so many keys."""
        servers = self._comparison.servers
        futures = [server.start_call(call) for server in servers]
        count = Call("Range", _Range(key=prefix, range_end=prefix[:-1] + b"0", count_only=True))
        for server in servers:
            if not wait_until(lambda: server.call(count).message.count == keys, WAIT_SECONDS):
                raise Different(f"{call} by {server.name} never queued", keys,
                                server.call(count).message.count)
        self.range(prefix, prefix[:-1] + b"0")
        time.sleep(0.2)
        if any(future.done() for future in futures):
            raise Different(f"{call} did not wait", *(future.done() for future in futures))
        return call, futures

    @staticmethod
    def _end(waiting):
        call, futures = waiting
        trees = [as_tree(future.result(WAIT_SECONDS)) for future in futures]
        found = first_difference(*trees)
        if found:
            raise Different(f"{call}, when its turn came: {found[0]}", *trees)

    def chosen_ids(self):
        """Where the server chooses the id of a lease, all but the id is the same."""
        for request in (rpc.LeaseGrantRequest(TTL=600), recipe_request("Lock", name=b"l/x")):
            method = "LeaseGrant" if isinstance(request, rpc.LeaseGrantRequest) else "Lock"
            answers = [server.call(Call(method, request)).message
                       for server in self._comparison.servers]
            if method == "LeaseGrant":
                ends = [Call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=each.ID)) for each in answers]
                same = [(bool(each.ID), each.TTL, each.header.revision) for each in answers]
            else:
                ends = [Call("Unlock", recipe_request("Unlock", key=each.key)) for each in answers]
                same = [(each.key.startswith(b"l/x/"), each.header.revision) for each in answers]
            if same[0] != same[1]:
                raise Different(f"{method} with a chosen id", *same)
            revisions = [server.call(end).message.header.revision
                         for server, end in zip(self._comparison.servers, ends)]
            if revisions[0] != revisions[1]:
                raise Different(f"revision after {ends[0].method}", *revisions)
            self._comparison.known.deletes.add(revisions[0])
            self._comparison.known.revision = revisions[0]
        # The session of such a lock may live on for a minute.
        for server in self._comparison.servers:
            for lease in server.call(Call("LeaseLeases", rpc.LeaseLeasesRequest())).message.leases:
                server.call(Call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease.ID)))

    def large_events(self, watches):
        """More in one revision than fits into an answer of 2 MiB."""
        known = self._comparison.known
        watches.create(1, known.revision + 1, fragment=True, prev_kv=True,
                       **everything_below(b"s/f/"))
        for i in range(4):
            self.put(b"s/f/%d" % i, bytes([i]) * (700 << 10))
        self.delete(b"s/f/", b"s/f0")
        watches.settle(known)

    def watch_errors(self, watches):
        known = self._comparison.known
        watches.create(0, known.revision + 1, key=b"s/2", range_end=b"s/1")
        watches.create(0, known.revision + 1, key=b"s/w", watch_id=77)
        watches.create(0, known.revision + 1, key=b"s/w", watch_id=77)
        watches.create(2, known.revision + 1, key=b"", range_end=b"")
        watches.create_compacted(1, b"s/w", 2)
        watches.cancel_unknown(1)

    def expiry(self):
        """A lease that nobody renews takes its keys with it, at one revision."""
        self.call("LeaseGrant", rpc.LeaseGrantRequest(ID=115, TTL=4))
        for key in (b"s/x2", b"s/x1", b"s/x3"):
            self.put(key, b"gone soon", lease=115)
        self.put(b"s/x3", b"stays")
        count = Call("Range", _Range(key=b"s/x", range_end=b"s/y", count_only=True))
        for server in self._comparison.servers:
            if not wait_until(lambda: server.call(count).message.count == 1, WAIT_SECONDS):
                raise Different(f"a lease of 4 s of {server.name} after {WAIT_SECONDS} s", "gone",
                                "there")
        self._comparison.known.deletes.add(self._comparison.known.revision + 1)
        self.range(b"s/x", b"s/y")
        self.call("LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=115, keys=True), may_lag=True)
