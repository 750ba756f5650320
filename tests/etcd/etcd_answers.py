"""How are two answers compared field by field, and which fields may differ?

Ids of cluster and member and terms only have to be there on both sides or on neither; the time that
a lease has left only has to be at most what was granted.
"""

# (full name of the message, field): only whether it is set counts.
_ONLY_WHETHER_SET = {
    ("etcdserverpb.ResponseHeader", "cluster_id"),
    ("etcdserverpb.ResponseHeader", "member_id"),
    ("etcdserverpb.ResponseHeader", "raft_term"),
}
# Lists whose order etcd leaves to chance.
_UNORDERED = {
    ("etcdserverpb.LeaseTimeToLiveResponse", "keys"),
    ("etcdserverpb.LeaseLeasesResponse", "leases"),
}


def as_tree(message):
    """The fields that are set, by name; of a field that the descriptors do not know, its bytes."""
    tree = {}
    name = message.DESCRIPTOR.full_name
    for field, value in message.ListFields():
        if field.label == field.LABEL_REPEATED:
            value = [as_tree(each) if field.message_type else each for each in value]
            if (name, field.name) in _UNORDERED:
                value.sort(key=repr)
        elif field.message_type:
            value = as_tree(value)
        elif (name, field.name) in _ONLY_WHETHER_SET:
            value = "set"
        tree[field.name] = value
    for unknown in message.UnknownFields():
        tree[f"field {unknown.field_number}"] = unknown.data
    if name == "etcdserverpb.WatchResponse" and tree.get("compact_revision"):
        # etcd says why since 3.5; raftkv answers as that.
        tree.pop("cancel_reason", None)
    if name == "etcdserverpb.LeaseTimeToLiveResponse":
        # Where the lease is alive, it has at most what was granted left.
        if 0 < tree.get("TTL", 0) <= tree.get("grantedTTL", 0):
            tree["TTL"] = "left"
    return tree


def first_difference(reference, other, path=""):
    """(path, reference's value, other's value) of the first difference; None: they are equal."""
    if isinstance(reference, dict) and isinstance(other, dict):
        for key in [*reference, *(key for key in other if key not in reference)]:
            found = first_difference(reference.get(key, "(not set)"), other.get(key, "(not set)"),
                                     f"{path}.{key}" if path else key)
            if found:
                return found
        return None
    if isinstance(reference, list) and isinstance(other, list):
        for index, pair in enumerate(zip(reference, other)):
            found = first_difference(*pair, f"{path}[{index}]")
            if found:
                return found
        if len(reference) != len(other):
            index = min(len(reference), len(other))
            values = [each[index] if index < len(each) else "(nothing)"
                      for each in (reference, other)]
            return f"{path}[{index}]", *values
        return None
    return None if reference == other else (path, reference, other)
