// How does a cluster of embedded members behave when the power of some of their machines is cut?
//
// All members live in this process, each on a disk of its own that forgets what was not synced.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <raftkv/node.h>

#include "lib/base/random.h"
#include "lib/open/open_node.h"
#include "tests/support/faults/crash_fs.h"

namespace raftkv::test {

class EmbeddedCluster {
 public:
  /// `encrypted`: each disk with a key of its own.
  EmbeddedCluster(int members, std::uint64_t seed, bool sync, bool encrypted = false);
  ~EmbeddedCluster();

  [[nodiscard]] int size() const { return static_cast<int>(machines_.size()); }
  /// Ok, or why a member did not open or no leader was found.
  Status OpenAll();
  Status WaitForLeaders();
  CrashFs& disk(int member) { return *machines_[member].fs; }
  Node& node(int member) { return *machines_[member].node; }
  /// Ends the member as it is, restarts its machine with what its disk kept, and opens it again.
  void Drop(int member) { machines_[member].node.reset(); }
  Status Reboot(int member);
  /// The same, and the power goes again at the n-th operation of its disk: perhaps in the open.
  Status RebootUntil(int member, std::uint64_t operation);
  /// Synced log writes of a member since its open.
  std::uint64_t SyncCount(int member);

 private:
  struct Machine {
    std::shared_ptr<CrashFs> fs;
    std::unique_ptr<rocksdb::Env> env;
    std::string address;
    int boots = 0;
    std::unique_ptr<Node> node;
  };
  Status Open(int member);

  Random random_;
  const bool sync_;
  const bool encrypted_;
  std::vector<Machine> machines_;
};

/// Writers that remember what was acknowledged to them. Each has its own keys and its own counter.
class PromiseKeeper {
 public:
  PromiseKeeper(EmbeddedCluster& cluster, int writers);
  ~PromiseKeeper() { Stop(); }

  void Start();
  void Stop();
  [[nodiscard]] std::uint64_t acknowledged() const;
  /// Empty, or the first promise that does not hold as `member` sees it.
  std::string Check(int member);

 private:
  struct Writer {
    std::uint64_t next = 1;           ///< of its keys
    std::vector<std::uint64_t> kept;  ///< keys that were acknowledged
    std::int64_t counted = 0;         ///< increments that were acknowledged
    std::int64_t tried = 0;           ///< and all that were asked for
    std::atomic<std::uint64_t> acknowledged{0};
    std::thread thread;
  };
  void Run(int number, Writer& writer);

  EmbeddedCluster& cluster_;
  std::atomic<bool> stopping_{false};
  std::vector<std::unique_ptr<Writer>> writers_;
};

}  // namespace raftkv::test
