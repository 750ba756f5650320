"""How is one call made on a server's JSON gateway, and what is its answer?

By plain HTTP/1.1, so that status, body and chunks are seen as they come.
"""

import base64
import dataclasses
import http.client
import json
import random
import socket

from google.protobuf import json_format

import etcd3.etcdrpc as rpc
from etcd_messages import RECIPES, recipe

SECONDS = 30
# Method -> (path below /v3, class of its response).
PATHS = {
    "Range": ("/kv/range", rpc.RangeResponse),
    "Put": ("/kv/put", rpc.PutResponse),
    "DeleteRange": ("/kv/deleterange", rpc.DeleteRangeResponse),
    "Txn": ("/kv/txn", rpc.TxnResponse),
    "Compact": ("/kv/compaction", rpc.CompactionResponse),
    "LeaseGrant": ("/lease/grant", rpc.LeaseGrantResponse),
    "LeaseRevoke": ("/lease/revoke", rpc.LeaseRevokeResponse),
    "LeaseKeepAlive": ("/lease/keepalive", rpc.LeaseKeepAliveResponse),
    "LeaseTimeToLive": ("/lease/timetolive", rpc.LeaseTimeToLiveResponse),
    "LeaseLeases": ("/lease/leases", rpc.LeaseLeasesResponse),
    "Authenticate": ("/auth/authenticate", rpc.AuthenticateResponse),
    "Lock": ("/lock/lock", recipe("v3lockpb.LockResponse")),
    "Unlock": ("/lock/unlock", recipe("v3lockpb.UnlockResponse")),
    "Campaign": ("/election/campaign", recipe("v3electionpb.CampaignResponse")),
    "Proclaim": ("/election/proclaim", recipe("v3electionpb.ProclaimResponse")),
    "Leader": ("/election/leader", recipe("v3electionpb.LeaderResponse")),
    "Resign": ("/election/resign", recipe("v3electionpb.ResignResponse")),
}
# What etcd serves under a second path as well.
_ALSO_BELOW_KV = ("LeaseRevoke", "LeaseTimeToLive", "LeaseLeases")
_PREFIXES = ("/v3", "/v3", "/v3beta")
assert set(RECIPES) < set(PATHS)


@dataclasses.dataclass
class HttpAnswer:
    status: int
    content_type: str
    body: object  # of JSON, what it says; otherwise the bytes
    message: object = None  # the body as a message, where all is well
    compares_text: bool = True
    compares_type: bool = True

    @property
    def code(self):
        return "OK" if self.status == 200 else f"HTTP {self.status}"

    @property
    def details(self):
        return self.body.get("message", "") if isinstance(self.body, dict) else ""

    def tree(self):
        body = self.body
        if not isinstance(body, (dict, list)):
            body = None  # plain text of the HTTP library
        elif not self.compares_text:
            body = {"code": body.get("code"), "members": sorted(body)}
        return {"status": self.status, "body": masked(body),
                "type": self.content_type if body is not None and self.compares_type else None}

    def __str__(self):
        return f"{self.status} {self.body}"


def masked(value):
    """Without what may differ: see etcd_answers."""
    if isinstance(value, list):
        return [masked(each) for each in value]
    if not isinstance(value, dict):
        return value
    tree = {}
    for name, each in value.items():
        if name in ("cluster_id", "member_id", "raft_term"):
            tree[name] = isinstance(each, str) and each.isdigit() and "set"
        elif name in ("leases", "keys"):
            tree[name] = sorted((masked(one) for one in each), key=repr)
        else:
            tree[name] = masked(each)
    if "compact_revision" in tree:
        tree.pop("cancel_reason", None)
    if "grantedTTL" in tree and 0 < int(tree.get("TTL", 0)) <= int(tree["grantedTTL"]):
        tree["TTL"] = "left"
    return tree


class Gateway:
    """The gateways of a single etcd, or of the members of a cluster."""

    def __init__(self, name, endpoints, seed):
        self.name = name
        self.endpoints = endpoints
        self._connections = [None] * len(endpoints)
        self._seed = seed

    def call(self, call):
        """How the request is written depends on the call and on the seed, not on the server."""
        spelling = random.Random(f"{self._seed} {call.method} {call.request}")
        path, response = PATHS[call.method]
        if call.method in _ALSO_BELOW_KV and spelling.random() < 0.5:
            path = "/kv" + path
        path = spelling.choice(_PREFIXES) + path
        text = json.dumps(_as_json(call.request, spelling))
        answer = self.request("POST", path, text, call.member)
        body = answer.body
        if answer.status == 200 and isinstance(body, dict):
            if call.method == "LeaseKeepAlive":
                body = body.get("result", {})
            try:
                answer.message = json_format.ParseDict(body, response())
            except json_format.ParseError as error:
                raise ValueError(f"{self.name} answers {path} with {body}: {error}") from error
        return answer

    def request(self, method, path, body=None, member=0, compares_text=True):
        """One answer; the connection stays for the next."""
        member %= len(self.endpoints)
        for attempt in (1, 2):
            if self._connections[member] is None:
                self._connections[member] = http.client.HTTPConnection(self.endpoints[member],
                                                                       timeout=SECONDS)
            connection = self._connections[member]
            try:
                connection.request(method, path, body)
                response = connection.getresponse()
                text = response.read()
                break
            except (http.client.HTTPException, OSError):
                # The server may close an idle connection, but not a new one.
                self._connections[member].close()
                self._connections[member] = None
                if attempt == 2:
                    raise
        content_type = (response.getheader("Content-Type") or "").partition(";")[0]
        return HttpAnswer(response.status, content_type, _decoded(text, content_type), None,
                          compares_text)

    def open_stream(self, path, body, member=0):
        return Chunks(self.endpoints[member % len(self.endpoints)], path, body)


def _decoded(text, content_type):
    if content_type == "application/json" or text.startswith(b"{"):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


_NUMBERS = {"limit", "revision", "lease", "ID", "TTL", "version", "create_revision", "mod_revision",
            "min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"}
_NUMBERS |= {name.split("_")[0] + "".join(part.title() for part in name.split("_")[1:])
             for name in _NUMBERS}


def _as_json(request, spelling):
    """Numbers as numbers or texts, names in both styles, enums by name or number."""
    tree = json_format.MessageToDict(
        request, preserving_proto_field_name=spelling.random() < 0.5,
        use_integers_for_enums=spelling.random() < 0.3)
    if spelling.random() < 0.5:
        tree = _with_numbers(tree)
    if spelling.random() < 0.1:
        tree["no_such_field"] = {"is": ["ignored"]}
    return tree


def _with_numbers(tree):
    if isinstance(tree, list):
        return [_with_numbers(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    return {name: int(each) if name in _NUMBERS and isinstance(each, str) else _with_numbers(each)
            for name, each in tree.items()}


class Chunks:
    """A POST whose answer comes in chunks, which are seen one by one."""

    def __init__(self, endpoint, path, body):
        host, port = endpoint.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=SECONDS)
        self._socket.sendall(f"POST {path} HTTP/1.1\r\nHost: {endpoint}\r\n"
                             f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        self._file = self._socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()

    def next(self):
        """The JSON object of the next chunk, which holds one, and nothing else; None at the end."""
        length = int(self._file.readline(), 16)
        chunk = self._file.read(length)
        self._file.readline()
        return json.loads(chunk) if length else None

    def close(self):
        self._file.close()
        self._socket.close()


def encode(data):
    return base64.b64encode(data).decode()
