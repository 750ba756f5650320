"""Who may include whom? docs/architecture.md draws the table that this file enforces:

    base -> raft -> kv -> node -> { session | storage } -> rpc (of the two: session only) -> open -> cmd

and inside storage and rpc, which rooms may include which: a room includes only rooms that stand above it
in `_ROOMS`, so no circle can form.

cmd/maelstrom proves that a host can bring its own transport: of the library it sees public headers, and
lib/base/mutex.h by an exception that each include states.
"""

import re

_CORE = ("base", "raft", "kv", "node")
_PURE = _CORE + ("session",)

# Layer -> the layers whose headers it may include, besides its own and the public ones.
_MAY_INCLUDE = {
    "public": (),
    "base": (),
    "raft": ("base",),
    "kv": ("base", "raft"),
    "node": ("base", "raft", "kv"),
    "session": ("base", "kv", "node"),
    "storage": _CORE,
    "rpc": _PURE,
    "blocking": ("base",),  # waits on another thread; knows the public KV only
    "open": _PURE + ("storage", "rpc"),
    "cmd": _PURE + ("storage", "rpc", "open"),
    "tests": _PURE + ("blocking", "storage", "rpc", "open", "cmd"),
}

# Room -> the rooms of its layer whose headers it may include, besides its own. Each names only rooms above it.
_ROOMS = {
    "storage/disk": (),
    "storage/cipher": ("disk",),
    "storage/folder": ("disk", "cipher"),
    "storage/log": ("disk", "folder"),
    "storage/kv": ("disk",),
    "storage/snapshot": ("disk", "folder", "log", "kv"),
    "storage/backup": ("disk", "cipher", "folder", "log", "kv", "snapshot"),
    "storage/local_log": ("disk", "folder", "log"),
    "storage/member": ("disk", "cipher", "folder", "log", "kv", "snapshot"),
    "rpc/wire": (),
    "rpc/tls": (),
    "rpc/loop": ("wire", "tls"),
    "rpc/client": ("wire", "tls", "loop"),
    "rpc/http": ("tls", "loop"),
    "rpc/server": ("wire", "tls", "loop"),
    "rpc/peers": ("wire", "tls", "loop", "server"),
    "rpc/etcd": ("wire", "tls", "loop", "client", "server"),
}

_SERIALIZATION = ("raft", "kv", "node", "session", "storage", "rpc", "open")
_EDGES = ("storage", "rpc", "open")

# (headers, library, layers that may include it); the first match counts. Tests may include all.
_LIBRARIES = [
    (r"capnp/(rpc|ez-rpc|capability|membrane|persistent|compat/)", "Cap'n Proto RPC",
     ("rpc", "open")),
    (r"capnp/", "Cap'n Proto serialization", _SERIALIZATION),
    (r"kj/(common|array|string|exception|memory|io|debug)\.h", "KJ's value types", _SERIALIZATION),
    (r"kj/", "KJ's event loop", ("rpc", "open")),
    (r"rocksdb/", "RocksDB", ("storage", "open")),
    (r"spdlog/", "spdlog", _EDGES + ("cmd",)),
    (r"fmt/", "fmt", _PURE + _EDGES + ("cmd",)),
    (r"nlohmann/", "nlohmann-json", ("storage", "rpc", "cmd")),
    (r"prometheus/", "prometheus-cpp", ("rpc", "open")),
    (r"CLI/", "CLI11", ("cmd",)),
    (r"toml\+\+/", "toml++", ("cmd",)),
    (r"(xxhash|xxh_x86dispatch)\.h", "xxHash", ("base", "kv", "storage", "rpc")),
    (r"openssl/", "OpenSSL", _EDGES),
    (r"(nghttp2|protozero)/", "nghttp2 and protozero", ("rpc",)),
    (r"(archive(_entry)?|zstd)\.h", "libarchive and zstd", ("storage",)),
    (r"(gtest|gmock|rapidcheck|benchmark)[/.]", "a test library", ()),
]

# Headers of C++ that give a pure layer a thread, a clock, a file or chance of its own.
_IMPURE = {
    "thread": "be pumped by the caller; threads live in lib/open",
    "mutex": "be used from one thread; locks live in storage/ and rpc/",
    "shared_mutex": "be used from one thread; locks live in storage/ and rpc/",
    "condition_variable": "be pumped by the caller",
    "future": "take a callback",
    "random": "draw from lib/base/random.h with an injected seed",
    "fstream": "go through a port; files live in storage/",
    "filesystem": "go through a port; files live in storage/",
    "iostream": "hand what is to be logged to the caller",
    "ctime": "take the time as an argument or through the Clock port",
}
# The same for our own: header -> what to do instead.
_IMPURE_OURS = {
    "lib/base/mutex.h": _IMPURE["mutex"],
}
_C_LIBRARY = ("assert", "ctype", "errno", "float", "inttypes", "limits", "math", "signal", "stdarg",
              "stddef", "stdint", "stdio", "stdlib", "string", "time")


def layer_of(path):
    """The layer that a file belongs to, or None for one that has no place in the table."""
    if path.startswith("lib/include/raftkv/"):
        return "public"
    match = re.match(r"lib/(base|raft|kv|node|session|blocking|open)/", path) or re.match(r"(storage|rpc|cmd|tests)/", path)
    return match.group(1) if match else None


def room_of(path):
    """The room of a file in a layer that has rooms, or None."""
    match = re.match(r"((?:storage|rpc)/\w+)/", path)
    return match.group(1) if match else None


def check(source):
    layer = layer_of(source.path)
    if layer is None:
        yield source.complaint(1, "belongs to no layer; move it to a folder of .ci/check/layering.py")
        return
    if layer in ("storage", "rpc") and room_of(source.path) not in _ROOMS:
        rooms = ", ".join(room for room in _ROOMS if room.startswith(layer))
        yield source.complaint(1, f"belongs to no room; move it to one of {rooms} (.ci/check/layering.py)")
        return
    for line, kind, name in source.includes:
        problem = _project(source.path, layer, name) if kind == '"' else _system(layer, name)
        if kind == '"' and source.path.startswith("cmd/maelstrom/") and layer_of(name) != "cmd":
            problem = f'"{name}": cmd/maelstrom uses what a stranger could: public headers and cmd/'
        if problem and not source.allowed(line, "include"):
            yield source.complaint(line, problem)


def _project(path, layer, name):
    if name.startswith(("raftkv/", "lib/include/")):
        return f'"{name}": public headers are included as <raftkv/...>'
    target = layer_of(name)
    if target is None:
        return f'"{name}": name it from the repository\'s root (or, if it is not ours, with <>)'
    if layer == "public":
        return f'"{name}": a public header includes <raftkv/...> and standard headers only'
    if target != layer and target not in _MAY_INCLUDE[layer]:
        allowed = ", ".join(_MAY_INCLUDE[layer]) or "nothing"
        return f'"{name}": {layer} may include {allowed}, not {target}; use a port, or move the code down'
    if layer in _PURE and name in _IMPURE_OURS:
        return f'"{name}": {layer} has to {_IMPURE_OURS[name]}'
    room, target_room = room_of(path), room_of(name)
    if room and target == layer and target_room != room:
        allowed_rooms = _ROOMS[room]
        if target_room is None or target_room.split("/")[1] not in allowed_rooms:
            allowed = ", ".join(allowed_rooms) or "none"
            return f'"{name}": room {room} may include rooms {allowed}; move what both need to a room above'
    return None


def _system(layer, name):
    if name.startswith("raftkv/"):
        return None
    if layer_of(name):
        return f'<{name}>: our own headers are included with ""'
    for pattern, library, layers in _LIBRARIES:
        if re.match(pattern, name):
            if layer == "tests" or layer in layers:
                return None
            where = ", ".join(layers + ("tests",))
            return f"<{name}>: {library} may be used in {where}, not in {layer}; go through a port"
    if "/" not in name and "." not in name:
        if layer in _PURE and name in _IMPURE:
            return f"<{name}>: {layer} has to {_IMPURE[name]}"
        return None
    if layer == "public":
        return f"<{name}>: a public header includes <raftkv/...> and C++ standard headers only"
    if layer in _PURE:
        stem = name.removesuffix(".h")
        if stem in _C_LIBRARY:
            return f"<{name}>: write <c{stem}>"
        return f"<{name}>: {layer} knows no operating system; go through a port"
    if "/" in name and not re.match(r"(sys|netinet|arpa|net|linux)/", name):
        return f"<{name}>: no known dependency; add it to third_party/README.md and .ci/check/layering.py"
    return None
