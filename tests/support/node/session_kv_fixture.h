// How is a KV tested? Over a scripted channel, on virtual time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/node/fake_channel.h"
#include "tests/support/node/fake_loop.h"

namespace raftkv::test {

/// Each call's outcome, once it is there; a second one is a failure.
template <class T>
struct Outcomes {
  Callback<T> Next() {
    const std::size_t i = all.size();
    all.emplace_back();
    return [this, i](Result<T> result) {
      EXPECT_FALSE(all[i].has_value()) << "call " << i << " ended twice";
      all[i] = std::move(result);
    };
  }
  [[nodiscard]] std::size_t ended() const {
    std::size_t count = 0;
    for (const auto& outcome : all) count += outcome.has_value() ? 1 : 0;
    return count;
  }
  [[nodiscard]] Code code(std::size_t i) const {
    EXPECT_TRUE(all.at(i).has_value()) << "call " << i << " is still open";
    return all.at(i).has_value() ? all.at(i)->code() : Code::kOk;
  }
  std::vector<std::optional<Result<T>>> all;
};

class SessionKvTest : public testing::Test {
 protected:
  void Open(node::SessionKvOptions options = {}) {
    kv_ = node::NewSessionKv(loop_, channel_, std::move(options));
  }

  void Put(const std::string& key, std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
    kv_->PutAsync(key, "value of " + key, WriteOptions{timeout}, puts_.Next());
  }
  void Increment(std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
    kv_->IncrementAsync("n", 1, WriteOptions{timeout}, increments_.Next());
  }
  void Get(const std::string& key, Consistency consistency = Consistency::kLinearizable,
           std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
    kv_->GetAsync(key, {timeout, consistency}, gets_.Next());
  }
  void Run() { loop_.RunPosted(); }
  void AdvanceMs(int ms) { loop_.Advance(std::chrono::milliseconds(ms)); }
  std::string Stored(const std::string& key) { return channel_.log.Get(key); }

  // First: calls that are open to the end still tell their outcome when the rest goes.
  Outcomes<WriteResult> puts_;
  Outcomes<IncrementResult> increments_;
  Outcomes<KeyValue> gets_;
  FakeLoop loop_;
  FakeChannel channel_{loop_};
  std::unique_ptr<KV> kv_;
};

}  // namespace raftkv::test
