"""Which messages of etcd's v3 API does python3-etcd3 lack, and how are they made?

Its stubs are of etcd 3.3. The fields that 3.4 added to requests are appended as unknown fields; the
services for locks and elections are described here.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import etcd3.etcdrpc as rpc


def varint(number):
    encoded = bytearray()
    number &= (1 << 64) - 1
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def add_number(message, field, number):
    """Sets a field of type int64 or bool that the message's class does not know."""
    message.MergeFromString(varint(field << 3) + varint(int(number)))


def watch_create(watch_id=0, fragment=False, **fields):
    request = rpc.WatchCreateRequest(**fields)
    if watch_id:
        add_number(request, 7, watch_id)
    if fragment:
        add_number(request, 8, True)
    return rpc.WatchRequest(create_request=request)


def watch_cancel(watch_id):
    return rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=watch_id))


def watch_progress():
    request = rpc.WatchRequest()
    request.MergeFromString(b"\x1a\x00")
    return request


_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_INT64 = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
_LEADER, _KV = ".v3electionpb.LeaderKey", ".mvccpb.KeyValue"
_HEADER = ".etcdserverpb.ResponseHeader"
# Package -> message -> its fields, from number 1 on: name, type.
_DESCRIPTIONS = {
    "v3lockpb": {
        "LockRequest": [("name", _BYTES), ("lease", _INT64)],
        "LockResponse": [("header", _HEADER), ("key", _BYTES)],
        "UnlockRequest": [("key", _BYTES)],
        "UnlockResponse": [("header", _HEADER)],
    },
    "v3electionpb": {
        "LeaderKey": [("name", _BYTES), ("key", _BYTES), ("rev", _INT64), ("lease", _INT64)],
        "CampaignRequest": [("name", _BYTES), ("lease", _INT64), ("value", _BYTES)],
        "CampaignResponse": [("header", _HEADER), ("leader", _LEADER)],
        "ProclaimRequest": [("leader", _LEADER), ("value", _BYTES)],
        "ProclaimResponse": [("header", _HEADER)],
        "LeaderRequest": [("name", _BYTES)],
        "LeaderResponse": [("header", _HEADER), ("kv", _KV)],
        "ResignRequest": [("leader", _LEADER)],
        "ResignResponse": [("header", _HEADER)],
    },
}


def _describe(package, messages):
    key_value = rpc.PutResponse.DESCRIPTOR.fields_by_name["prev_kv"].message_type
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3",
        dependency=[rpc.ResponseHeader.DESCRIPTOR.file.name, key_value.file.name])
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            added = message.field.add(name=field, number=number, label=1)
            if isinstance(kind, str):
                added.type, added.type_name = added.TYPE_MESSAGE, kind
            else:
                added.type = kind
    return file


_pool = descriptor_pool.Default()
for _package, _messages in _DESCRIPTIONS.items():
    _pool.Add(_describe(_package, _messages))


def recipe(name):
    """The class of a message of `v3lockpb` or `v3electionpb`, by its full name."""
    return message_factory.MessageFactory(_pool).GetPrototype(_pool.FindMessageTypeByName(name))


# Method -> (path, its request and response).
RECIPES = {
    "Lock": ("/v3lockpb.Lock/Lock", "v3lockpb.Lock"),
    "Unlock": ("/v3lockpb.Lock/Unlock", "v3lockpb.Unlock"),
    "Campaign": ("/v3electionpb.Election/Campaign", "v3electionpb.Campaign"),
    "Proclaim": ("/v3electionpb.Election/Proclaim", "v3electionpb.Proclaim"),
    "Leader": ("/v3electionpb.Election/Leader", "v3electionpb.Leader"),
    "Resign": ("/v3electionpb.Election/Resign", "v3electionpb.Resign"),
}


def recipe_request(method, **fields):
    return recipe(RECIPES[method][1] + "Request")(**fields)


def recipe_call(channel, method):
    """A callable as a stub's method."""
    path, messages = RECIPES[method]
    return channel.unary_unary(path, request_serializer=lambda request: request.SerializeToString(),
                               response_deserializer=recipe(messages + "Response").FromString)
