"""How is one call made on a server over gRPC, and what is its answer?

Of a cluster, each call goes to the member that the script names.
"""

import collections
import dataclasses
import queue
import threading
import time

import grpc

import etcd3.etcdrpc as rpc
from etcd_answers import as_tree
from etcd_messages import RECIPES, recipe_call

CALL_SECONDS = 30
_STUBS = {
    rpc.KVStub: ("Range", "Put", "DeleteRange", "Txn", "Compact"),
    rpc.LeaseStub: ("LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "LeaseTimeToLive",
                    "LeaseLeases"),
    rpc.MaintenanceStub: ("Alarm", "Status", "Hash", "HashKV", "Defragment", "MoveLeader"),
    rpc.ClusterStub: ("MemberList", "MemberAdd", "MemberRemove", "MemberUpdate"),
    rpc.AuthStub: ("Authenticate",),
}


@dataclasses.dataclass
class Call:
    """What a script asks for: a method with its request, at a member."""

    method: str
    request: object
    member: int = 0
    # A member may answer this from what it has applied so far, and asking again changes nothing.
    may_lag: bool = False

    def __str__(self):
        text = " ".join(str(self.request).split())
        return f"{self.method} {{{text}}} at member {self.member}"


@dataclasses.dataclass
class Answer:
    message: object  # None unless the code is OK
    code: str
    details: str

    def tree(self):
        """What is compared."""
        # Where the server has no such method, the text is that of its gRPC library.
        details = self.details if self.code != "UNIMPLEMENTED" else ""
        return {"code": self.code, "details": details,
                "answer": as_tree(self.message) if self.message is not None else None}

    def __str__(self):
        return str(self.tree()["answer"]) if self.code == "OK" else f"{self.code}: {self.details}"


class Server:
    """A single etcd, or a cluster with several endpoints."""

    def __init__(self, name, endpoints):
        self.name = name
        self.endpoints = endpoints
        # Watch responses of several large keys are larger than gRPC's default of 4 MiB.
        options = [("grpc.max_receive_message_length", 64 << 20)]
        self.channels = [grpc.insecure_channel(each, options=options) for each in endpoints]
        self._methods = [self._methods_of(channel) for channel in self.channels]

    @staticmethod
    def _methods_of(channel):
        methods = {name: recipe_call(channel, name) for name in RECIPES}
        for stub, names in _STUBS.items():
            made = stub(channel)
            methods.update((name, getattr(made, name)) for name in names)
        return methods

    def call(self, call):
        method = self._methods[call.member % len(self._methods)][call.method]
        try:
            if call.method == "LeaseKeepAlive":
                stream = method(iter([call.request]), timeout=CALL_SECONDS)
                message = next(stream)
                stream.cancel()
            else:
                message = method(call.request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            return Answer(None, error.code().name, error.details())
        return Answer(message, "OK", "")

    def start_call(self, call):
        """A call that blocks, as a future."""
        return self._methods[call.member % len(self._methods)][call.method].future(
            call.request, timeout=CALL_SECONDS)

    def watch_stream(self, member):
        return WatchStream(self.channels[member % len(self.channels)])

    def close(self):
        for channel in self.channels:
            channel.close()


class WatchStream:
    """One Watch call. Answers are sorted by a thread of its own as they come."""

    def __init__(self, channel):
        self._requests = queue.Queue()
        self._arrived = threading.Condition()
        # All guarded by _arrived.
        # What is not about events, by what it is about.
        self.control = {"created": [], "canceled": [], "progress": []}
        self.events = collections.defaultdict(list)  # by watch id
        self.problems = []
        self._fragments = {}
        self._call = rpc.WatchStub(channel).Watch(iter(self._requests.get, None))
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, request):
        self._requests.put(request)

    def close(self):
        self._requests.put(None)
        self._call.cancel()

    def wait(self, condition, seconds):
        """Until `condition()` holds, called with the lock held; whether it did in time."""
        with self._arrived:
            return self._arrived.wait_for(lambda: condition() or self.problems, seconds) \
                and not self.problems

    def wait_for_control(self, kind, count, seconds=CALL_SECONDS):
        """The answers of a kind from number `count` on, at least one; empty: none came in time."""
        self.wait(lambda: len(self.control[kind]) > count, seconds)
        with self._arrived:
            return self.control[kind][count:]

    def _read(self):
        try:
            for response in self._call:
                with self._arrived:
                    self._take(response)
                    self._arrived.notify_all()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.CANCELLED:
                with self._arrived:
                    self.problems.append(f"the stream ended: {error.code().name} {error.details()}")
                    self._arrived.notify_all()

    def _take(self, response):
        if response.created or response.canceled or not response.events:
            kind = ("created" if response.created else
                    "canceled" if response.canceled else "progress")
            self.control[kind].append(response)
            return
        events = self.events[response.watch_id]
        revision = response.events[0].kv.mod_revision
        continues = self._fragments.pop(response.watch_id, False)
        if events and events[-1].kv.mod_revision == revision and not continues:
            self.problems.append(
                f"revision {revision} is in two answers of watch {response.watch_id}")
        newest = response.events[-1].kv.mod_revision
        if response.header.revision < newest:
            self.problems.append(
                f"an answer of revision {response.header.revision} has an event of {newest}")
        events.extend(response.events)
        # Field 7, which the stubs lack: more of this answer follows.
        self._fragments[response.watch_id] = any(
            field.field_number == 7 and field.data for field in response.UnknownFields())


def wait_until(condition, seconds):
    """The first result of `condition()` that is true; None: there was none in time."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result or time.monotonic() > deadline:
            return result or None
        time.sleep(0.02)


def ignore_closed_channels():
    """The thread of python3-etcd3's watcher ends with a ValueError where its client was closed."""
    def report(args):
        if not isinstance(args.exc_value, ValueError):
            threading.__excepthook__(args)
    threading.excepthook = report
