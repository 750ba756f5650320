#!/usr/bin/env python3
"""Do the checks complain about what is wrong, and only about that?"""

import unittest

import check
import layering
import style
from source import Source

_HEADER = "// What is this?\n#pragma once\n"


def layering_of(path, line):
    return list(layering.check(Source(path, line + "\n")))


def style_of(path, text):
    return list(style.check(Source(path, text)))


class Documents(unittest.TestCase):
    def test_columns(self):
        long = "word " * 21
        self.assertEqual(len(list(check.check_columns("a.md", f"{long}\nshort\n- {long}\n"))), 2)
        for text in [f"| {long} |", f"# {long}", f"    {long}", f"```\n{long}\n```", "x" * 120]:
            self.assertEqual(list(check.check_columns("a.md", text)), [], text)


class Layering(unittest.TestCase):
    def test_allowed(self):
        for path, include in [
            ("lib/raft/a.cc", '"lib/base/ids.h"'),
            ("lib/raft/a.cc", '"lib/raft/raft.capnp.h"'),
            ("lib/raft/a.cc", "<capnp/message.h>"),
            ("lib/kv/a.cc", '"lib/raft/ready.h"'),
            ("lib/node/a.cc", "<raftkv/status.h>"),
            ("lib/base/a.cc", "<cstdio>"),
            ("lib/include/raftkv/kv.h", "<chrono>"),
            ("storage/log/a.cc", "<rocksdb/db.h>"),
            ("storage/disk/a.cc", "<unistd.h>"),
            ("rpc/http/a.cc", "<kj/compat/http.h>"),
            ("storage/log/a.cc", '"storage/disk/files.h"'),
            ("rpc/client/a.cc", '"lib/session/session_kv.h"'),
            ("lib/open/check_options.cc", '"storage/log/log_store.h"'),
            ("lib/open/open_node.cc", "<thread>"),
            ("lib/open/open_node.cc", '"lib/base/mutex.h"'),
            ("storage/disk/a.h", '"lib/base/mutex.h"'),
            ("cmd/main.cc", "<CLI/CLI.hpp>"),
            ("cmd/main.cc", '"lib/base/ids.h"'),
            ("cmd/maelstrom/a.cc", "<raftkv/transport.h>"),
            ("cmd/maelstrom/a.cc", '"cmd/base64.h"'),
            ("tests/storage/a.cc", "<rocksdb/db.h>"),
        ]:
            self.assertEqual(layering_of(path, "#include " + include), [], (path, include))

    def test_forbidden(self):
        for path, include in [
            ("lib/base/a.cc", '"lib/raft/raft.h"'),
            ("lib/raft/a.cc", '"lib/kv/command.h"'),
            ("lib/raft/a.cc", "<thread>"),
            ("lib/node/a.cc", '"lib/base/mutex.h"'),
            ("lib/raft/a.cc", "<random>"),
            ("lib/raft/a.cc", "<unistd.h>"),
            ("lib/raft/a.cc", "<sys/socket.h>"),
            ("lib/raft/a.cc", "<capnp/rpc-twoparty.h>"),
            ("lib/raft/a.cc", "<kj/async.h>"),
            ("lib/kv/a.cc", "<rocksdb/db.h>"),
            ("lib/node/a.cc", "<spdlog/spdlog.h>"),
            ("lib/node/a.cc", '"storage/log/log_store.h"'),
            ("storage/log/a.cc", '"rpc/peer.h"'),
            ("storage/log/a.cc", "<kj/async-io.h>"),
            ("rpc/loop/a.cc", '"storage/log/log_store.h"'),
            ("rpc/loop/a.cc", "<rocksdb/db.h>"),
            ("rpc/loop/a.cc", '"lib/open/check_options.h"'),
            ("cmd/a.cc", "<rocksdb/db.h>"),
            ("cmd/maelstrom/a.cc", '"lib/base/ids.h"'),
            ("cmd/maelstrom/a.cc", '"rpc/wire/frame.h"'),
            ("lib/include/raftkv/kv.h", '"lib/base/ids.h"'),
            ("lib/include/raftkv/kv.h", "<kj/common.h>"),
            ("storage/disk/a.cc", '"storage/log/log_db.h"'),
            ("storage/log/a.cc", '"storage/kv/kv_engine.h"'),
            ("rpc/server/a.cc", '"rpc/client/client.h"'),
            ("storage/log/a.cc", '"lib/session/session_kv.h"'),
            ("rpc/loop/a.cc", '"peer.h"'),
            ("rpc/loop/a.cc", "<rpc/peer.h>"),
            ("rpc/loop/a.cc", "<boost/asio.hpp>"),
            ("rpc/loop/a.cc", '"raftkv/kv.h"'),
        ]:
            self.assertEqual(len(layering_of(path, "#include " + include)), 1, (path, include))

    def test_a_file_outside_every_layer(self):
        self.assertEqual(len(layering_of("lib/stray.cc", "")), 1)
        self.assertEqual(len(layering_of("storage/stray.cc", "")), 1)
        self.assertEqual(len(layering_of("rpc/cellar/stray.cc", "")), 1)

    def test_excused(self):
        line = "#include <thread>  // check:allow include: only its id type"
        self.assertEqual(layering_of("lib/raft/a.cc", line), [])


class Style(unittest.TestCase):
    def test_banned(self):
        for path, line in [
            ("lib/raft/a.cc", "assert(x);"),
            ("storage/a.cc", "int x = rand();"),
            ("storage/a.cc", "auto t = time(nullptr);"),
            ("lib/raft/a.cc", "auto t = std::chrono::steady_clock::now();"),
            ("rpc/a.cc", "std::cout << 1;"),
            ("rpc/a.cc", 'printf("x");'),
            ("tests/unit/a.cc", "std::this_thread::sleep_for(1s);"),
            ("cmd/a.cc", "using namespace std;"),
            ("storage/a.cc", "throw 1;"),
            ("lib/open/check_options.cc", "signal(SIGPIPE, SIG_IGN);"),
            ("storage/a.cc", "std::abort();"),
            ("rpc/a.cc", "int n = atoi(text);"),
            ("storage/a.cc", "const std::lock_guard lock(mutex_);"),
            ("rpc/a.cc", "std::shared_lock reading(mutex_);"),
            ("lib/open/a.cc", "std::recursive_mutex mutex;"),
            ("cmd/a.cc", "std::condition_variable changed;"),
        ]:
            self.assertEqual(len(style_of(path, line + "\n")), 1, (path, line))

    def test_allowed(self):
        for path, line in [
            ("lib/raft/a.cc", "static_assert(sizeof(int) == 4);"),
            ("lib/raft/a.cc", "// never assert(x) here, never throw"),
            ("lib/raft/a.cc", 'Log("rand() is banned; throw");'),
            ("lib/raft/a.cc", "clock.time(); random.rand();"),
            ("lib/raft/a.cc", "int time(int x);"),
            ("rpc/a.cc", "throw std::runtime_error(text);"),
            ("cmd/a.cc", "std::cout << 1;"),
            ("tests/support/wait.cc", "std::this_thread::sleep_for(1ms);"),
            ("tests/unit/a.cc", "const std::lock_guard lock(mutex);"),
            ("storage/a.cc", "const MutexLock lock(mutex_); std::call_once(once, work);"),
            ("storage/a.cc", "long n = 1'000'000; throw_away(n);"),
            ("cmd/a.cc", "using namespace std::chrono_literals;"),
            ("storage/a.cc", "std::abort();  // check:allow exit: as RocksDB's callback asks"),
        ]:
            self.assertEqual(style_of(path, line + "\n"), [], (path, line))

    def test_initializers(self):
        def complaints(path, line):
            return len(list(style.check_initializers(Source(path, line + "\n"), {"Reply", "Entry"})))

        for line in ["Send(Reply{term, x});", "Reply r{term, x};", "raft::Reply{a,\n b};",
                     "f(true, false);", "g({}, 0);", "Other{x, {}, {}};"]:
            self.assertEqual(complaints("lib/raft/a.cc", line), 1, line)
        for line in ["Send(Reply{.term = term, .x = 0});", "Reply r{};", "Reply copy{other};",
                     "f(true, x, false);", "struct Reply {\n  int a, b;\n};", "Index(0);"]:
            self.assertEqual(complaints("lib/raft/a.cc", line), 0, line)
        self.assertEqual(complaints("tests/unit/a.cc", "Reply{a, b};"), 0)
        self.assertEqual(
            complaints("rpc/wire/a.cc", "f(0, 0);  // check:allow initializer: as KJ wants it"), 0)

    def test_assertions(self):
        def complaints(line):
            return len(list(style.check_assertions(Source("lib/raft/a.cc", line + "\n"))))

        for line in ["RAFTKV_CHECK(a && b);", "RAFTKV_CHECK(a &&\n  b, a);"]:
            self.assertEqual(complaints(line), 1, line)
        for line in ["RAFTKV_CHECK(a || b);", "RAFTKV_CHECK(x == (a && b));", "RAFTKV_CHECK(a, b && c);",
                     "if (a && b) RAFTKV_CHECK(c);"]:
            self.assertEqual(complaints(line), 0, line)

    def test_header(self):
        self.assertEqual(style_of("storage/a.h", _HEADER), [])
        self.assertEqual(len(style_of("storage/a.h", "#pragma once\n")), 1)
        self.assertEqual(len(style_of("storage/a.h", "// A class.\n#pragma once\n")), 1)
        self.assertEqual(len(style_of("storage/a.h", "// What?\nint x;\n")), 1)

    def test_length_of_a_file(self):
        self.assertEqual(style_of("storage/a.cc", "int x;\n" * 600), [])
        self.assertEqual(len(style_of("storage/a.cc", "int x;\n" * 601)), 1)

    def test_length_of_a_function(self):
        def body(lines):
            return "template <class T>\nvoid A::F(T x) const {\n" + "  x += 1;\n" * lines + "}\n"

        self.assertEqual(style_of("storage/a.cc", body(67)), [])
        self.assertEqual(len(style_of("storage/a.cc", body(68))), 1)
        self.assertEqual(style_of("tests/unit/a.cc", body(68)), [])
        wrapped = "namespace raftkv {\nclass B : public C<int(int)> {\n public:\n" + body(68) + "};\n}\n"
        self.assertEqual([c.split(":")[1] for c in style_of("storage/a.cc", wrapped)], ["4"])

    def test_functions_in_a_row(self):
        text = "A::A(int x) : x_(x), y_{x} {}\nint F() {\n  return G({1, 2});\n}\nint t[] = {F(), 2};\n"
        self.assertEqual(list(style.functions(Source("a.cc", text).code))[-1], (2, 4))


if __name__ == "__main__":
    unittest.main(verbosity=0)
