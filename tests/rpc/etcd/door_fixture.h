// What do the tests of the door share? A door on a loop, with one unary method and one that streams
// both ways, which do what their requests say.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "rpc/etcd/door.h"
#include "rpc/etcd/method.h"
#include "tests/rpc/server/rpc_fixture.h"
#include "tests/support/etcd/h2_client.h"

namespace raftkv::etcd {

inline constexpr char kUnary[] = "/etcdserverpb.KV/Range";
inline constexpr char kStream[] = "/etcdserverpb.Watch/Watch";

/// A request of the unary method: `limit` is the code to fail with, with `range_end` as the text;
/// otherwise the answer has `key`, and a value of `revision` bytes. "hold": not answered by itself.
std::string UnaryRequest(const std::string& key, std::int64_t value_bytes = 0);
std::string FailingRequest(GrpcCode code, const std::string& text);
/// One message of the stream: `watch_id` answers of `start_revision` bytes each. "finish" and
/// "fail" end it. Opened with `hasleader`, it fails at once.
std::string StreamRequest(const std::string& key, std::int64_t answers = 1,
                          std::int64_t answer_bytes = 0);

/// Of an answer of the unary method; empty: it is none.
std::string KeyOf(const std::string& answer);

/// Seen by the methods; on the loop.
struct Seen {
  int opened = 0;
  int closed = 0;
  int half_closed = 0;
  std::vector<std::string> keys;
  std::vector<CallContext> contexts;
  std::vector<Replier<RangeResponse>> held;
  /// Answers that streams have sent.
  std::int64_t sent = 0;
};

/// A table with both.
std::unique_ptr<Methods> MakeTestMethods(Seen& seen);

class DoorTest : public testing::Test {
 protected:
  void Start(DoorOptions options = {}, bool serves = true);
  void TearDown() override;

  /// Reads on the loop.
  template <class T>
  T Get(const std::function<T()>& read) {
    T result{};
    loop->Call([&] { result = read(); });
    return result;
  }
  int opened() {
    return Get<int>([this] { return seen.opened; });
  }
  int closed() {
    return Get<int>([this] { return seen.closed; });
  }
  std::size_t connections() {
    return Get<std::size_t>([this] { return door->connections(); });
  }
  std::size_t queued_bytes() {
    return Get<std::size_t>([this] { return door->queued_bytes(); });
  }
  std::size_t unfinished_bytes() {
    return Get<std::size_t>([this] { return door->unfinished_bytes(); });
  }
  /// Answers the calls that are held.
  void AnswerHeld();

  rpc::LogLines log;
  std::unique_ptr<rpc::EventLoop> loop = rpc::StartLoop();
  Seen seen;
  std::unique_ptr<Methods> methods = MakeTestMethods(seen);
  std::unique_ptr<Door> door;
  std::string address;
};

/// Looks every 20 ms.
DoorOptions ImpatientDoor();

}  // namespace raftkv::etcd
