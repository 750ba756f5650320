// Do clients ever see that something acknowledged is lost, or that time goes backwards?
//
// Writers put increasing numbers to their own keys; readers check every value that they see against
// what had been acknowledged, or seen by anybody, before their read began. What goes wrong is kept
// as text, for the test to look at in the end.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <raftkv/client.h>

#include "tests/support/process/process_cluster.h"

namespace raftkv::test {

/// One key of one writer: what is known of its value. Safe from any thread.
struct CountedKey {
  std::string key;
  std::atomic<std::uint64_t> begun{0};  ///< the highest number that a put was begun with
  std::atomic<std::uint64_t> acknowledged{0};
  std::atomic<std::uint64_t> seen{0};  ///< the highest number that any read has returned

  /// No read that begins now may return less.
  [[nodiscard]] std::uint64_t Floor() const;
  /// Empty, or what is wrong with an answer to a linearizable read that began when Floor() was
  /// `floor`.
  std::string Check(const Result<KeyValue>& answer, std::uint64_t floor);
};

class Workload {
 public:
  struct Options {
    std::size_t writers = 4;
    std::size_t readers = 2;
    /// Of each call: longer than any fault lasts, so that no call may fail.
    std::chrono::milliseconds timeout{30'000};
  };
  /// Starts the threads. `cluster` outlives the workload and has a leader.
  Workload(ProcessCluster& cluster, Options options);
  explicit Workload(ProcessCluster& cluster) : Workload(cluster, Options()) {}
  ~Workload() { Stop(); }

  /// Lets every thread finish its call.
  void Stop();
  /// Waits until each writer has had `count` more acknowledgements; whether they came in time.
  [[nodiscard]] bool WaitForProgress(std::uint64_t count, std::chrono::milliseconds timeout);

  [[nodiscard]] std::vector<std::unique_ptr<CountedKey>>& keys() { return keys_; }
  /// Acknowledged increments by 1 of the key "counter".
  [[nodiscard]] std::uint64_t increments() const { return increments_; }
  [[nodiscard]] std::uint64_t reads() const { return reads_; }
  /// The first few; empty if all is well.
  [[nodiscard]] std::vector<std::string> Problems();
  void Report(const std::string& problem);

 private:
  void Write(CountedKey& key, Client& client);
  void Increment(Client& client);
  void Read(Client& client);

  const Options options_;
  std::vector<std::unique_ptr<CountedKey>> keys_;
  std::atomic<std::uint64_t> increments_{0};
  std::atomic<std::uint64_t> reads_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::string> problems_;  // guarded by mutex_
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::thread> threads_;
};

}  // namespace raftkv::test
