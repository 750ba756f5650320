"""Do the watches of two servers deliver the same events, and those that they should?

A watch of everything on the reference is the log of what has happened. From it follows what each
other watch must deliver, by its range, its filters and its start; each server's events are compared
with that.
"""

import dataclasses

import etcd3.etcdrpc as rpc
from etcd_answers import as_tree, first_difference
from etcd_comparison import Different
from etcd_endpoint import wait_until
from etcd_messages import watch_cancel, watch_create, watch_progress
from etcd_script import prefix_end
from etcd_servers import unsynced_watchers

STREAMS = 3
MAX_WATCHES = 12
SECONDS = 30
_PUT, _DELETE = 0, 1
_Create = rpc.WatchCreateRequest


@dataclasses.dataclass
class Watch:
    stream: int
    id: int
    request: rpc.WatchCreateRequest
    first_revision: int  # of events that it may deliver
    # How much of the log, and how many of its events, have been compared.
    logged: int = 0
    delivered: int = 0

    def wants(self, event):
        key, start, end = event.kv.key, self.request.key or b"\x00", self.request.range_end
        if event.kv.mod_revision < self.first_revision:
            return False
        if event.type == _PUT and _Create.NOPUT in self.request.filters:
            return False
        if event.type == _DELETE and _Create.NODELETE in self.request.filters:
            return False
        if not end:
            return key == start
        return key >= start and (end == b"\x00" or key < end)

    def expected(self, log):
        """Of what the log has gained since it was last compared."""
        events = []
        for event in filter(self.wants, log[self.logged:]):
            if not self.request.prev_kv:
                event = type(event)(type=event.type, kv=event.kv)
            events.append(as_tree(event))
        return events


class Watches:
    """Opens and cancels watches on both servers, and compares what they deliver."""

    def __init__(self, reference, other, other_is_etcd, revision):
        """`revision`: of the last change before."""
        self._revision_before = revision
        self._servers = (reference, other)
        self._other_is_etcd = other_is_etcd
        self._streams = [[server.watch_stream(i) for i in range(STREAMS)]
                         for server in self._servers]
        self._open = []
        self.opened = 0
        self.delivered = 0
        self._log = reference.watch_stream(0)
        self._log.send(watch_create(key=b"\x00", range_end=b"\x00", prev_kv=True))
        if not self._log.wait_for_control("created", 0):
            raise Different("the log's watch", self._log.problems, "")
        for stream in range(STREAMS):  # one that stays, for each member
            self.create(stream, revision + 1, key=b"\x00", range_end=b"\x00", prev_kv=True)

    def close(self):
        for stream in [self._log, *self._streams[0], *self._streams[1]]:
            stream.close()

    def create(self, stream, next_revision, **fields):
        """`next_revision`: of the next change, for a watch that starts now."""
        request = watch_create(**fields)
        answers = self._exchange(stream, request, "created")
        self._compare_control(answers, request, bool(request.create_request.start_revision))
        if not answers[0].canceled:
            first = request.create_request.start_revision or next_revision
            self._open.append(Watch(stream, answers[0].watch_id, request.create_request, first))
            self.opened += 1

    def create_compacted(self, stream, key, revision):
        """Starts at a revision that has been compacted away: created, then canceled."""
        request = watch_create(key=key, start_revision=revision)
        counts = self._counts(stream, "canceled")
        self._compare_control(self._exchange(stream, request, "created"), request, may_lag=True)
        canceled = self._await(stream, request, "canceled", counts)
        self._compare_control(canceled, request, may_lag=True)

    def draw(self, script, known):
        """Opens or cancels a watch."""
        if len(self._open) >= MAX_WATCHES or len(self._open) > STREAMS and script.chance(0.4):
            return self._cancel(script.choose(self._open[STREAMS:]), known)
        stream = script.choose(range(STREAMS))
        if known.compacted > 1 and script.chance(0.1):
            return self.create_compacted(stream, script.key(), known.compacted - 1)
        key, end = script.key_or_range()
        filters = [each for each in (_Create.NOPUT, _Create.NODELETE) if script.chance(0.15)]
        return self.create(
            stream, known.revision + 1, key=key, range_end=end, filters=filters,
            prev_kv=script.chance(0.5), fragment=script.chance(0.2),
            start_revision=self._start(script, known),
            watch_id=script.choose(range(1, 40)) if script.chance(0.15) else 0)

    @staticmethod
    def _start(script, known):
        if script.chance(0.5):
            return 0
        if script.chance(0.1):
            return known.revision + script.choose(range(1, 6))
        # The revision that was compacted itself is there, but not what came before it (prev_kv).
        return script.choose(range(min(known.compacted + 1, known.revision), known.revision + 1))

    def _cancel(self, watch, known):
        self.settle(known)
        request = watch_cancel(watch.id)
        answers = self._exchange(watch.stream, request, "canceled")
        self._compare_control(answers, request, may_lag=True)
        self._open.remove(watch)
        for streams in self._streams:  # the id may be used again
            streams[watch.stream].events.pop(watch.id, None)

    def cancel_unknown(self, stream):
        """Nobody answers that."""
        counts = self._counts(stream, "canceled")
        for streams in self._streams:
            streams[stream].send(watch_cancel(4711))
        self._exchange(stream, watch_progress(), "progress")
        if self._counts(stream, "canceled") != counts:
            raise Different("the cancel of an unknown watch", "no answer", "an answer")

    def _counts(self, stream, kind):
        return [len(streams[stream].control[kind]) for streams in self._streams]

    def _exchange(self, stream, request, kind):
        """The next answer of this kind, of both."""
        counts = self._counts(stream, kind)
        for streams in self._streams:
            streams[stream].send(request)
        return self._await(stream, request, kind, counts)

    def _await(self, stream, request, kind, counts):
        answers = [streams[stream].wait_for_control(kind, count)
                   for streams, count in zip(self._streams, counts)]
        if not all(answers):
            raise Different(f"no answer '{kind}' in time to {request} on stream {stream}",
                            *([as_tree(each) for each in answer] or streams[stream].problems
                              for answer, streams in zip(answers, self._streams)))
        return [answer[0] for answer in answers]

    @staticmethod
    def _compare_control(answers, what, may_lag):
        trees = [as_tree(answer) for answer in answers]
        if may_lag:
            for tree in trees:
                tree["header"].pop("revision", None)
        found = first_difference(*trees)
        if found:
            raise Different(f"{what}: {found[0]}", *trees)

    def settle(self, known):
        """Waits until everything up to the present has been delivered, and compares it."""
        if not self._log.wait(lambda: self._is_logged(known.revision), SECONDS):
            raise Different(f"the reference's own log of revision {known.revision}",
                            self._log.problems, "")
        self._wait_until_caught_up(known)
        log = list(self._log.events[0])
        for watch in self._open:
            self._compare_events(watch, log)

    def _is_logged(self, revision):
        events = self._log.events[0]
        if revision == self._revision_before:
            return True
        return bool(events) and events[-1].kv.mod_revision >= revision

    def _wait_until_caught_up(self, known):
        for server, is_etcd in zip(self._servers, (True, self._other_is_etcd)):
            if is_etcd and wait_until(lambda: not unsynced_watchers(server.endpoints[0]), SECONDS) \
                    is None:
                raise Different("watchers of etcd that never catch up", server.name, "")
        if self._other_is_etcd:
            return
        for number, stream in enumerate(self._streams[1]):
            if not wait_until(lambda: self._progress(stream, known.revision), SECONDS):
                raise Different(f"no progress up to revision {known.revision} on stream {number}",
                                "", stream.problems)

    @staticmethod
    def _progress(stream, revision):
        count = len(stream.control["progress"])
        stream.send(watch_progress())
        return any(answer.header.revision >= revision and answer.watch_id == -1
                   for answer in stream.wait_for_control("progress", count, seconds=2))

    def _compare_events(self, watch, log):
        expected = watch.expected(log)
        total = watch.delivered + len(expected)
        request = " ".join(str(watch.request).split())
        what = f"watch {watch.id} on stream {watch.stream} {{{request}}}"
        for server, streams in zip(self._servers, self._streams):
            stream = streams[watch.stream]
            stream.wait(lambda: len(stream.events[watch.id]) >= total, SECONDS)
            got = [as_tree(event) for event in stream.events[watch.id][watch.delivered:]]
            found = first_difference(expected, got)
            if found or stream.problems:
                raise Different(f"{what} by {server.name}, event {found and found[0]}",
                                found and found[1], (found and found[2], stream.problems))
        self.delivered += len(expected)
        watch.logged, watch.delivered = len(log), total


def everything_below(prefix):
    return {"key": prefix, "range_end": prefix_end(prefix)}
