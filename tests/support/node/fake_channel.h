// What does a cluster look like to a client in tests? A channel that keeps every attempt until the
// test answers it, and a real store to carry requests out.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/parse.h"
#include "lib/session/session_kv.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::test {

class FakeChannel : public node::Channel {
 public:
  explicit FakeChannel(node::Loop& loop) : loop_(loop) {}

  struct SubmitAttempt {
    Bytes request;
    MonoTime deadline;
    node::SubmitDone done;
  };
  struct ReadAttempt {
    Bytes request;
    node::ReadPolicy policy;
    MonoTime deadline;
    node::Done<Bytes> done;
  };

  void OpenSession(MonoTime /*deadline*/, node::Done<std::uint64_t> done) override {
    ++sessions_opened;
    loop_.Post(
        [done = std::move(done), failure = session_failure, now_ms = log.now_ms()]() mutable {
          if (failure.ok()) return done(now_ms);
          done(failure);
        });
  }
  void Submit(Bytes request, MonoTime deadline, node::SubmitDone done) override {
    submits.push_back({std::move(request), deadline, std::move(done)});
  }
  void Read(Bytes request, node::ReadPolicy policy, MonoTime deadline,
            node::Done<Bytes> done) override {
    reads.push_back({std::move(request), policy, deadline, std::move(done)});
  }

  struct WatchAttempt {
    Bytes request;
    MonoTime deadline;
    node::Done<Bytes> done;
  };
  void Watch(Bytes request, MonoTime deadline, node::Done<Bytes> done) override {
    watches.push_back({std::move(request), deadline, std::move(done)});
  }

  /// Carries out attempt `i`; the answer is what the log says, if it arrives.
  Bytes Apply(std::size_t i) {
    log.Apply(submits.at(i).request, Operations(submits.at(i).request));
    return log.last_answer();
  }
  void ApplyAndAnswer(std::size_t i) { submits.at(i).done({Status::Ok(), Apply(i)}); }
  void Answer(std::size_t i, Code code) { submits.at(i).done({{code, "scripted"}, {}}); }
  void AnswerRead(std::size_t i, std::size_t max_bytes = 1 << 20,
                  std::size_t max_visited_bytes = kv::kMaxVisitedBytes) {
    auto& read = reads.at(i);
    read.done(kv::Read(log.engine(), kv::ReadTier::kAll, read.request.view(), max_bytes,
                       max_visited_bytes));
  }

  static std::size_t Operations(const Bytes& request) { return Parsed(request).operations.size(); }
  static kv::RequestHeader Header(const Bytes& request) { return Parsed(request).header; }

  AppliedLog log{kv::StoreOptions{.session_life_ms = 60'000}};
  std::vector<SubmitAttempt> submits;
  std::vector<ReadAttempt> reads;
  std::vector<WatchAttempt> watches;
  int sessions_opened = 0;
  Status session_failure;

 private:
  static kv::ParsedRequest Parsed(const Bytes& request) {
    kv::MessageBytes storage;
    kv::ParsedRequest parsed;
    const Status status = kv::ParseRequest(request.view(), 1 << 20, storage, parsed);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return parsed;
  }

  node::Loop& loop_;
};

}  // namespace raftkv::test
