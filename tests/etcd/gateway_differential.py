#!/usr/bin/env python3
"""Does raftkv's JSON gateway answer as etcd's does, and can python3-etcd3gw use it?

usage: gateway_differential.py (--endpoints HOST:PORT,... | --self-test) [--calls N] [--seed S]

As differential.py, but over HTTP: status and decoded body are compared, of errors too. Where a body
cannot be read the text of the error is not, since it is that of a JSON library.
"""

import sys
import time

import etcd3.etcdrpc as rpc
from etcd3gw import Etcd3Client

from differential import parse_arguments
from etcd_answers import first_difference
from etcd_comparison import Comparison, Different
from etcd_endpoint import Call
from etcd_http import Gateway, encode, masked
from etcd_messages import recipe_request
from etcd_script import Script
from etcd_servers import EtcdCluster
from etcd_shapes import Shapes

WAIT_SECONDS = 30
KEY, VALUE = encode(b"g/k"), encode(b"v")
# What cannot be read, and what is only unusual.
BODIES = [
    ("/kv/put", f'{{"key":"{KEY}","value":"{VALUE}","prev_kv":"true"}}', False),
    ("/kv/put", f'{{"key":"{KEY}","lease":"x"}}', False),
    ("/kv/put", '{"key":"a"}', False),
    ("/kv/put", '{"key":"!!!!"}', False),
    ("/kv/put", '{"key":5}', False),
    ("/kv/put", "{", False),
    ("/kv/put", "[]", False),
    ("/kv/put", f'{{"key":"{KEY}"', False),
    ("/kv/range", f'{{"key":"{KEY}","limit":1.5}}', False),
    ("/kv/range", f'{{"key":"{KEY}","limit":"9223372036854775808"}}', False),
    ("/kv/range", f'{{"key":"{KEY}","sort_order":"SIDEWAYS"}}', False),
    ("/kv/txn", '{"success":{}}', False),
    ("/kv/put", "", True),
    ("/kv/put", "{}", True),
    ("/kv/range", '{"key":null}', True),
    ("/kv/range", f' {{ "key" : "{KEY}" , "limit" : null , "sort_order" : 1 }} ', True),
    ("/kv/range", f'{{"key":"{KEY}","sort_order":"DESCEND","sortTarget":"VERSION"}}', True),
    ("/kv/range", f'{{"key":"{KEY}","unknown":[1,{{"a":null}}]}}', True),
    ("/kv/txn", '{"success":[{}]}', True),
    ("/kv/txn", f'{{"success":[{{"requestPut":{{"key":"{KEY}"}}}}]}}', True),
    ("/kv/txn", f'{{"compare":[{{"key":"{KEY}","target":"VALUE"}}],"failure":[{{"request_range":'
                f'{{"key":"{KEY}"}}}}]}}', True),
    ("/kv/txn", f'{{"compare":[{{"key":"{KEY}","target":"VERSION","result":"GREATER",'
                f'"version":"0"}}],"success":[{{"request_delete_range":{{"key":"{KEY}",'
                f'"prev_kv":true}}}}]}}', True),
    ("/auth/authenticate", '{"name":"user","password":"password"}', True),
    ("/kv/compaction", '{"revision":"100000000"}', True),
    ("/lease/keepalive", '{"ID":"4711"}', True),
    ("/lease/revoke", '{"ID":4711}', True),
    ("/kv/lease/timetolive", '{"ID":4711}', True),
]
OTHER_REQUESTS = [
    ("GET", "/v3/kv/range"), ("PUT", "/v3/kv/put"), ("GET", "/no/such/path"), ("GET", "/health"),
    ("POST", "/health"), ("POST", "/v3/kv/nothing"), ("POST", "/v4/kv/range"),
]


class GatewayShapes:
    def __init__(self, comparison):
        self._comparison = comparison

    def bodies(self):
        for number, (path, body, compares_text) in enumerate(BODIES):
            self._same("POST", "/v3" + path, body, number, compares_text)
            self._same("POST", "/v3beta" + path, body, number, compares_text)
        for method, path in OTHER_REQUESTS:
            # etcd calls the JSON of /health plain text.
            self._same(method, path, None, 0, compares_text=True, compares_type=False)
        for method, path, body in (("GET", "/version", None),
                                   ("POST", "/v3/maintenance/status", "{}"),
                                   ("POST", "/v3/cluster/member/list", "{}")):
            answers = [server.request(method, path, body) for server in self._comparison.servers]
            names = [sorted(answer.body) if answer.status == 200 else str(answer)
                     for answer in answers]
            self._require(names[0], names[1], f"{method} {path}")
        now = self._comparison.servers[0].request("POST", "/v3/kv/range", f'{{"key":"{KEY}"}}')
        self._comparison.known.revision = int(now.body["header"]["revision"])

    def _same(self, method, path, body, member, compares_text, compares_type=True):
        answers = [server.request(method, path, body, member, compares_text)
                   for server in self._comparison.servers]
        for answer in answers:
            answer.compares_type = compares_type
        found = first_difference(*(answer.tree() for answer in answers))
        if found:
            raise Different(f"{method} {path} {body}: {found[0]}", *answers)

    @staticmethod
    def _require(reference, other, what):
        found = first_difference(reference, other)
        if found:
            raise Different(f"{what}: {found[0]}", reference, other)

    def streams(self):
        """Watches: created, an event a chunk, a compacted start."""
        start = self._comparison.known.revision + 1
        body = (f'{{"create_request":{{"key":"{encode(b"g/w")}","range_end":"{encode(b"g/x")}",'
                f'"prev_kv":true,"start_revision":"{start}"}}}}')
        streams = [server.open_stream("/v3/watch", body, 1) for server in self._comparison.servers]
        self._require(*(stream.status for stream in streams), "status of a watch")
        self._require(*(stream.headers.get("content-type") for stream in streams), "a watch's type")
        self._same_chunk(streams, "created", may_lag=True)
        for request in (f'{{"key":"{encode(b"g/w1")}","value":"{VALUE}"}}',
                        f'{{"key":"{encode(b"g/w2")}"}}'):
            self._same("POST", "/v3/kv/put", request, 0, True)
            self._same_chunk(streams, request)
        self._same("POST", "/v3/kv/txn",
                   f'{{"success":[{{"request_put":{{"key":"{encode(b"g/w1")}"}}}},'
                   f'{{"request_delete_range":{{"key":"{encode(b"g/w2")}"}}}}]}}', 2, True)
        self._same_chunk(streams, "two events of one revision")
        for stream in streams:
            stream.close()
        self._same("POST", "/v3/kv/compaction", f'{{"revision":"{start + 1}"}}', 0, True)
        body = f'{{"create_request":{{"key":"{KEY}","start_revision":"1"}}}}'
        streams = [server.open_stream("/v3/watch", body) for server in self._comparison.servers]
        for what in ("created at a compacted revision", "canceled"):
            self._same_chunk(streams, what, may_lag=True)
        for stream in streams:
            stream.close()
        self._comparison.known.revision = start + 2
        self._comparison.known.compacted = start + 1

    def recipes(self):
        """The services for locks and elections, and a stream of who leads."""
        make = self._make
        make("LeaseGrant", rpc.LeaseGrantRequest(ID=121, TTL=600))
        key = make("Lock", recipe_request("Lock", name=b"g/l", lease=121)).message.key
        make("Unlock", recipe_request("Unlock", key=key))
        make("Lock", recipe_request("Lock", name=b"g/l", lease=4711))
        make("Leader", recipe_request("Leader", name=b"g/e"))
        campaign = recipe_request("Campaign", name=b"g/e", lease=121, value=b"1")
        leader = make("Campaign", campaign).message.leader
        make("Leader", recipe_request("Leader", name=b"g/e"))
        streams = [server.open_stream("/v3/election/observe", f'{{"name":"{encode(b"g/e")}"}}', 2)
                   for server in self._comparison.servers]
        self._same_chunk(streams, "who leads", may_lag=True)
        make("Proclaim", recipe_request("Proclaim", leader=leader, value=b"2"))
        self._same_chunk(streams, "what it proclaims", may_lag=True)
        for stream in streams:
            stream.close()
        make("Resign", recipe_request("Resign", leader=leader))
        make("Resign", recipe_request("Resign"))
        make("LeaseRevoke", rpc.LeaseRevokeRequest(ID=121))

    def _make(self, method, request):
        return self._comparison.make(Call(method, request, self._comparison.made))

    def _same_chunk(self, streams, what, may_lag=False):
        chunks = [masked(stream.next()) for stream in streams]
        if may_lag:
            for chunk in chunks:
                chunk["result"]["header"].pop("revision", None)
        self._require(*chunks, f"a chunk: {what}")


def use_client(endpoint, api_path):
    """python3-etcd3gw as its users do; its default path is /v3alpha/."""
    host, port = endpoint.rsplit(":", 1)
    given = {"api_path": api_path} if api_path else {}
    client = Etcd3Client(host=host, port=int(port), timeout=WAIT_SECONDS, **given)
    what = f"etcd3gw with {given or 'its own path'}"

    def require(expected, got, step):
        if expected != got:
            raise Different(f"{what}: {step}", expected, got)

    require("3", client.status()["version"].split(".")[0], "status")
    require(True, bool(client.members()), "members")
    require(True, client.put("gw/1", "one"), "put")
    require([b"one"], client.get("gw/1"), "get")
    require(True, client.create("gw/2", "two"), "create")
    require(False, client.create("gw/2", "again"), "create again")
    require(True, client.replace("gw/2", "two", "zwei"), "replace")
    require([b"one", b"zwei"], [value for value, _ in client.get_prefix("gw/")], "get_prefix")
    newest = client.get_prefix("gw/", sort_order="descend", sort_target="mod")[0]
    require(b"zwei", newest[0], "get_prefix, sorted")
    lease = client.lease(ttl=100)
    require(True, client.put("gw/leased", "x", lease=lease), "put with a lease")
    require([b"gw/leased"], lease.keys(), "keys of the lease")
    require(100, lease.refresh(), "refresh")
    require(True, 90 <= lease.ttl() <= 100, "ttl")
    require(True, lease.revoke(), "revoke")
    require([], client.get("gw/leased"), "get after revoke")
    require(-1, lease.refresh(), "refresh of what is gone")
    first, second = client.lock("gw", ttl=60), client.lock("gw", ttl=60)
    require([True, False], [first.acquire(), second.acquire()], "a lock for two")
    require([True, False], [first.is_acquired(), second.is_acquired()], "who has it")
    require(True, first.release(), "release")
    require(True, second.acquire(), "acquire after release")
    require(True, second.release(), "release")
    events, cancel = client.watch_prefix("gw/watched")
    time.sleep(0.5)  # it does not say when it watches
    for value in ("1", "2"):
        client.put("gw/watched", value)
    require([b"1", b"2"], [next(events)["kv"]["value"] for _ in range(2)], "watch")
    client.delete("gw/watched")
    require("DELETE", next(events)["type"], "watch of a delete")
    cancel()
    require(True, client.delete_prefix("gw/"), "delete_prefix")
    require([], client.get_prefix("gw/"), "get_prefix of nothing")


def run(reference, other, options):
    comparison = Comparison(reference, other, options.self_test)
    script = Script(options.seed, comparison.known, len(other.endpoints))
    try:
        gateway = GatewayShapes(comparison)
        gateway.bodies()
        gateway.streams()
        gateway.recipes()
        shapes = Shapes(comparison, script)
        for shape in (shapes.locks, shapes.kubernetes, shapes.order_in_txn, shapes.duplicates,
                      shapes.put_errors, shapes.lease_errors, shapes.history):
            shape()
        for _ in range(options.calls):
            comparison.make(script.next())
        for endpoint in other.endpoints:
            for api_path in ("/v3/", "/v3beta/") if options.self_test else (None, "/v3/"):
                use_client(endpoint, api_path)
    except Different as different:
        comparison.report(different,
                          f"gateway_differential.py --seed {options.seed} --calls {options.calls}")
        return 1
    comparison.print_outcomes()
    print(f"equal: {comparison.made} calls of seed {options.seed} over HTTP, "
          f"revision {comparison.known.revision}")
    return 0


def main():
    options = parse_arguments(__doc__, calls=600)
    with EtcdCluster() as etcd:
        reference = Gateway("etcd", etcd.endpoints, options.seed)
        if not options.self_test:
            endpoints = options.endpoints.split(",")
            return run(reference, Gateway("raftkv", endpoints, options.seed), options)
        with EtcdCluster() as second:
            other = Gateway("the second etcd", second.endpoints, options.seed)
            return run(reference, other, options)


if __name__ == "__main__":
    sys.exit(main())
