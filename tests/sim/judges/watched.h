// Was each watcher told every change once, in order, and each revision as a whole?
//
// What a watcher is told is looked at as it comes: it must go forward, and must not tell what no
// member has come to. At the end it is compared with the events of the model (judges/model.h): all
// of the watched range, from the revision at which the watch began.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/watch.h>

#include "lib/base/bytes.h"
#include "tests/sim/cluster/host.h"

namespace raftkv::sim {

class Model;

/// One watch, from its beginning to its end, and what it was told.
struct WatchTold {
  std::string name;
  KeyRange range;
  bool puts = true;
  bool deletes = true;
  bool previous = false;
  /// Of a response, before its revision is told in parts.
  std::size_t max_response_bytes = kMaxWatchResponseBytes;
  /// The first revision that it wants; 0: from now on, and no member has answered yet.
  std::uint64_t start = 0;
  /// Where it is.
  WatchPosition position;
  struct Response {
    WatchResponse response;
    /// The highest revision that some member had compacted to when it came.
    std::uint64_t compacted = 0;
  };
  std::vector<Response> responses;
};

struct WatchFault {
  const char* checker = nullptr;
  std::string what;
};
/// What is wrong with `told`; `model` has carried out the whole log.
std::optional<WatchFault> CompareWatch(const Model& model, const WatchTold& told);

class Watched {
 public:
  explicit Watched(World& world) : world_(world) {}

  /// A watch begins; returns its number.
  std::size_t Begin(WatchTold watch);
  /// Its next page is asked for.
  void OnAsked(std::size_t number);
  /// A member answers `request`, whoever still waits.
  void OnAnswer(const Host& host, const Bytes& request, const Result<Bytes>& answer);
  /// Its client has got the page that was asked for at `asked`.
  void OnPage(std::size_t number, const WatchPosition& asked, const WatchPage& page);
  /// And this is what the client was told of it.
  void OnResponse(std::size_t number, WatchResponse response);
  /// It is refused, and ends.
  void OnCompacted(std::size_t number, const WatchPosition& asked);
  /// A compact up to `revision` was acknowledged.
  void OnCompacted(std::uint64_t revision);

  /// At the end of the run.
  void CompareWithModel(const Model& model);

 private:
  struct Watch {
    WatchTold told;
    bool begun = false;
    // Until it has begun: what was acknowledged when it was asked for.
    std::uint64_t written = 0;
    std::uint64_t compacted = 0;
  };
  void CheckBegin(const Watch& watch, const WatchPage& page);
  void Fail(const char* checker, const Watch& watch, const std::string& what);

  World& world_;
  std::vector<Watch> watches_;
  std::uint64_t compacted_ = 0;  ///< by an acknowledged compact
};

}  // namespace raftkv::sim
