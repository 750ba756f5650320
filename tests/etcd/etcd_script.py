"""Which calls does a random script make?

Every draw depends on the seed and on the answers of the reference alone, so that a seed is the same
script each time. Keys, values and leases are few, so that calls meet what others have left.

Not drawn, since what etcd 3.4 does is a bug or chance:
- a sort target that does not exist (etcd stops);
- a limit with a sort target but no sort order (etcd sorts what the limit has left);
- sorting more than twelve keys by what may be equal (its sort is not stable from there on);
- in a transaction a delete with range_end "\\0", which etcd does not see to overlap with a put (and
  stops, if the put has ignore_value or ignore_lease);
- in a transaction a delete after a nested one, which etcd does not see to overlap with the puts of
  the latter; raftkv refuses that (docs/etcd.md);
- in a transaction a range of a revision that cannot be had: raftkv refuses it in the branch that is
  not taken as well (docs/etcd.md);
- a watch from a negative revision, or from the compacted one (what that deleted may be gone).
"""

import random
import string

import etcd3.etcdrpc as rpc
from etcd_endpoint import Call

PREFIXES = (b"a/", b"b/")
KEYS = [prefix + str(digit).encode() for prefix in PREFIXES for digit in range(10)] + [
    b"\x00", b"a", b"a0", b"b", b"b\x00", b"c\x00\xff", b"\xff", b"\xff\xff"]
VALUES = [b"", b"0", b"1", b"2", b"\x00\xff", b"v" * 300]
LEASES = range(1, 13)
LONG_TXN = 128
MAX_DEPTH = 3

_Range, _Compare = rpc.RangeRequest, rpc.Compare
_SORT_TARGETS = (_Range.KEY, _Range.VERSION, _Range.CREATE, _Range.MOD, _Range.VALUE)
_ORDERS = (_Range.NONE, _Range.ASCEND, _Range.DESCEND)
_RESULTS = (_Compare.EQUAL, _Compare.GREATER, _Compare.LESS, _Compare.NOT_EQUAL)


def prefix_end(prefix):
    """The `range_end` of all keys that begin with `prefix`."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b"\x00"


class Known:
    """What the reference has answered so far."""

    def __init__(self):
        self.revision = 1
        self.compacted = 0
        self.deletes = set()  # revisions that may have deleted something
        self.kvs = {}  # key -> what was last seen of it
        self.leases = set()

    def learn(self, call, answer):
        if answer.code != "OK":
            return
        self.revision = max(self.revision, answer.message.header.revision)
        self._learn_from(answer.message)
        if call.method == "Compact":
            self.compacted = call.request.revision
        elif call.method == "LeaseGrant":
            self.leases.add(answer.message.ID)
        elif call.method == "LeaseRevoke":
            self.leases.discard(call.request.ID)
        if call.method in ("DeleteRange", "Txn", "LeaseRevoke"):
            self.deletes.add(self.revision)

    def _learn_from(self, message):
        for field, value in message.ListFields():
            if field.message_type is None:
                continue
            for each in value if field.label == field.LABEL_REPEATED else [value]:
                if field.message_type.full_name == "mvccpb.KeyValue":
                    self.kvs[each.key] = each
                else:
                    self._learn_from(each)


class Script:
    """Draws one call after the other."""

    def __init__(self, seed, known, members):
        self._draw = random.Random(seed)
        self._known = known
        self._members = members
        self._makers = {
            "Put": (26, self._put), "Range": (24, self._range), "DeleteRange": (8, self._delete),
            "Txn": (27, self._txn), "Compact": (1, self._compact), "LeaseGrant": (4, self._grant),
            "LeaseRevoke": (1.5, self._revoke), "LeaseKeepAlive": (1.5, self._keep_alive),
            "LeaseTimeToLive": (2, self._time_to_live), "LeaseLeases": (0.5, self._leases),
        }

    def member(self):
        return self._draw.randrange(self._members)

    def chance(self, probability):
        return self._draw.random() < probability

    def choose(self, values):
        return self._draw.choice(values)

    def next(self):
        names = list(self._makers)
        method = self._draw.choices(names, [self._makers[name][0] for name in names])[0]
        request, may_lag = self._makers[method][1]()
        return Call(method, request, self.member(), may_lag)

    # --- keys, ranges, revisions

    def key(self):
        if self.chance(0.003):
            return b""
        if self.chance(0.02):
            return "".join(self._draw.choices(string.ascii_lowercase, k=3)).encode()
        return self.choose(KEYS)

    def value(self):
        return self.choose(VALUES)

    def lease(self):
        """Mostly one that exists."""
        if self._known.leases and self.chance(0.9):
            return self.choose(sorted(self._known.leases))
        return self.choose(LEASES)

    def range(self):
        """(key, range_end)"""
        shape = self.choose(("prefix", "prefix", "from", "all", "between", "prefix of ff"))
        if shape == "prefix":
            prefix = self.choose(PREFIXES)
            return prefix, prefix_end(prefix)
        if shape == "from":
            return self.key(), b"\x00"
        if shape == "all":
            return b"\x00", b"\x00"
        if shape == "prefix of ff":
            return b"\xff", prefix_end(b"\xff")
        return self.key(), self.choose(KEYS)  # the second may well be the smaller one

    def key_or_range(self, single=0.5):
        return (self.key(), b"") if self.chance(single) else self.range()

    def kept_revision(self):
        known = self._known
        return self._draw.randint(max(1, known.compacted, known.revision - 60), known.revision)

    def revision(self):
        """To read or watch at: most are there, some are compacted or in the future."""
        known = self._known
        if self.chance(0.85):
            return self.kept_revision()
        return self.choose((1, max(1, known.compacted - 1), max(1, known.compacted),
                            known.revision + 1, known.revision + 1000, -1))

    # --- KV

    def _put(self):
        return self.put(), False

    def put(self):
        request = rpc.PutRequest(key=self.key(), value=self.value(), prev_kv=self.chance(0.3))
        if self.chance(0.25):
            request.lease = self.lease()
        if self.chance(0.1):
            request.ignore_value = True
            if self.chance(0.8):
                request.value = b""
        if self.chance(0.1):
            request.ignore_lease = True
            if self.chance(0.8):
                request.lease = 0
        return request

    def _range(self):
        request = self.range_request()
        return request, request.serializable

    def range_request(self, kept_only=False):
        key, end = self.key_or_range(0.35)
        request = _Range(key=key, range_end=end)
        if self.chance(0.25):
            request.revision = self.kept_revision() if kept_only else self.revision()
        request.limit = self._draw.randint(1, 5) if self.chance(0.4) else 0
        if self.chance(0.5):
            request.sort_order = self.choose(_ORDERS)
        few = not end or end in map(prefix_end, PREFIXES) and key in PREFIXES
        if few and self.chance(0.6) and (request.sort_order or not request.limit):
            request.sort_target = self.choose(_SORT_TARGETS)
        request.serializable = self.chance(0.2)
        request.keys_only = self.chance(0.15)
        request.count_only = self.chance(0.1)
        for bound in ("min_mod_revision", "max_mod_revision", "min_create_revision",
                      "max_create_revision"):
            if self.chance(0.08):
                setattr(request, bound, max(1, self._known.revision - self._draw.randint(-2, 80)))
        return request

    def _delete(self):
        return self.delete(), False

    def delete(self, from_key=True):
        key, end = self.key_or_range(0.75)
        if not from_key and end == b"\x00":
            end = b""
        return rpc.DeleteRangeRequest(key=key, range_end=end, prev_kv=self.chance(0.4))

    def _compact(self):
        known = self._known
        revision = known.revision - self._draw.randint(0, 40)
        if self.chance(0.3):
            revision = self.choose((known.compacted, known.compacted - 1, known.revision + 1))
        # Before the first compaction etcd takes 0, too.
        return rpc.CompactionRequest(revision=max(1, revision), physical=self.chance(0.3)), False

    # --- Txn

    def _txn(self):
        if self.chance(0.3):
            request = self.choose(_SHAPES)(self)
        else:
            request = self.txn(read_only=self.chance(0.15))
        return request, _reads_only_serializable(request)

    def txn(self, depth=0, read_only=False, deletes=True):
        request = rpc.TxnRequest()
        request.compare.extend(self.compare() for _ in range(self._draw.choice((0, 1, 1, 1, 2, 3))))
        for branch in (request.success, request.failure):
            for _ in range(self._draw.choice((0, 1, 1, 2, 2, 3, 4))):
                several = any(op.HasField("request_txn") for op in branch)
                branch.append(self._op(depth, read_only, deletes and not several))
        if depth == 0 and self.chance(0.01):
            self._make_long(request)
        return request

    def _op(self, depth, read_only, deletes):
        kinds = ("range",) if read_only else ("range", "range", "put", "put", "put", "delete")
        if not deletes:
            kinds = kinds[:-1] or kinds
        if depth + 1 < MAX_DEPTH and self.chance(0.15):
            kinds = ("txn",)
        kind = self.choose(kinds)
        if kind == "range":
            return rpc.RequestOp(request_range=self.range_request(kept_only=True))
        if kind == "put":
            return rpc.RequestOp(request_put=self.put())
        if kind == "delete":
            return rpc.RequestOp(request_delete_range=self.delete(from_key=False))
        return rpc.RequestOp(request_txn=self.txn(depth + 1, read_only, deletes))

    def _make_long(self, request):
        """Many operations."""
        count = LONG_TXN + self.choose((0, 1))
        branch = self.choose((request.success, request.failure))
        del branch[:]
        branch.extend(rpc.RequestOp(request_range=_Range(key=self.choose(KEYS)))
                      for _ in range(count))

    def compare(self, key=None):
        compare = _Compare(key=self.key() if key is None else key, result=self.choose(_RESULTS))
        if key is None and self.chance(0.2):
            compare.key, compare.range_end = self.range()
        seen = self._known.kvs.get(compare.key) if self.chance(0.6) else None
        target = self.choose(("version", "create_revision", "mod_revision", "value", "lease"))
        compare.target = {"version": _Compare.VERSION, "create_revision": _Compare.CREATE,
                          "mod_revision": _Compare.MOD, "value": _Compare.VALUE,
                          "lease": _Compare.LEASE}[target]
        if self.chance(0.03):
            return compare  # with no operand: zero, or an empty value
        if self.chance(0.02):
            target = "version"  # the operand of another target: none for this one
        if seen is not None:
            setattr(compare, target, getattr(seen, target))
        elif target == "value":
            compare.value = self.value()
        elif target == "lease":
            compare.lease = self.choose((0, self.lease()))
        elif target == "version":
            compare.version = self._draw.randint(0, 4)
        else:
            now = self._known.revision
            setattr(compare, target, self.choose((0, now, now - self._draw.randint(0, 30))))
        return compare

    # --- Lease

    def _grant(self):
        ttl = self._draw.randint(600, 100_000)
        if self.chance(0.03):
            ttl = 9_000_000_001
        return rpc.LeaseGrantRequest(ID=self.choose(LEASES), TTL=ttl), False

    def _revoke(self):
        return rpc.LeaseRevokeRequest(ID=self.lease()), False

    def _keep_alive(self):
        return rpc.LeaseKeepAliveRequest(ID=self.lease()), True

    def _time_to_live(self):
        return rpc.LeaseTimeToLiveRequest(ID=self.lease(), keys=self.chance(0.7)), True

    def _leases(self):
        return rpc.LeaseLeasesRequest(), True

    # --- what clients send (ranges and compares as their libraries build them)

    def shape_create(self):
        """etcd3 and etcd3gw: create; Kubernetes: the first put of an object."""
        key = self.choose(KEYS)
        target = self.choose(("create_revision", "mod_revision"))
        return _txn([_compare(key, **{target: 0})],
                    [_put(key, self.value(), self.choose((0, self.lease())))], [])

    def shape_update(self):
        """Kubernetes: put or delete if unchanged, else what is there."""
        key = self.choose(KEYS)
        seen = self._known.kvs.get(key)
        put = _put(key, self.value(), self.choose((0, self.lease())))
        change = self.choose((put, _delete(key)))
        return _txn([_compare(key, mod_revision=seen.mod_revision if seen else 0)], [change],
                    [rpc.RequestOp(request_range=_Range(key=key))])

    def shape_counter(self):
        """Kubernetes: its compact_rev_key, by version."""
        key = self.choose(KEYS)
        seen = self._known.kvs.get(key)
        return _txn([_compare(key, version=seen.version if seen else 0)], [_put(key, self.value())],
                    [rpc.RequestOp(request_range=_Range(key=key))])

    def shape_replace(self):
        """etcd3: replace, and the release of its lock."""
        key = self.choose(KEYS)
        seen = self._known.kvs.get(key)
        change = self.choose((_put(key, self.value()), _delete(key)))
        return _txn([_compare(key, value=seen.value if seen else b"")], [change], [])

    def shape_lock(self):
        """clientv3/concurrency: the mutex, which also asks who holds it."""
        prefix = self.choose(PREFIXES)
        key = self.choose([each for each in KEYS if each.startswith(prefix)])
        owner = rpc.RequestOp(request_range=_Range(
            key=prefix, range_end=prefix_end(prefix), limit=1, sort_order=_Range.ASCEND,
            sort_target=_Range.CREATE))
        return _txn([_compare(key, create_revision=0)], [_put(key, b"", self.lease()), owner],
                    [rpc.RequestOp(request_range=_Range(key=key)), owner])

    def shape_resign(self):
        """clientv3/concurrency: an election that is given up, or a value that is proclaimed."""
        key = self.choose(KEYS)
        seen = self._known.kvs.get(key)
        change = self.choose((_delete(key), _put(key, self.value(), self.lease())))
        return _txn([_compare(key, create_revision=seen.create_revision if seen else 5)], [change],
                    [])


def _txn(compare, success, failure):
    return rpc.TxnRequest(compare=compare, success=success, failure=failure)


def _compare(key, **operand):
    target = {"version": _Compare.VERSION, "create_revision": _Compare.CREATE,
              "mod_revision": _Compare.MOD, "value": _Compare.VALUE}[next(iter(operand))]
    return _Compare(key=key, target=target, result=_Compare.EQUAL, **operand)


def _put(key, value, lease=0):
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value, lease=lease))


def _delete(key):
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))


_SHAPES = (Script.shape_create, Script.shape_update, Script.shape_counter, Script.shape_replace,
           Script.shape_lock, Script.shape_resign)


def _reads_only_serializable(request):
    """Such a transaction may be answered by a member from what it has."""
    for op in [*request.success, *request.failure]:
        kind = op.WhichOneof("request")
        if kind == "request_txn":
            if not _reads_only_serializable(op.request_txn):
                return False
        elif kind != "request_range" or not op.request_range.serializable:
            return False
    return True
