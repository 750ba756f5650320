// What does a watcher ask a member for, and what is it answered?
//
// A watcher is a position, which the client keeps: everything before it was delivered. So the next
// page is the same request at any member, after whatever has happened.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <raftkv/node.h>
#include <raftkv/status.h>
#include <raftkv/watch.h>

#include "lib/base/bytes.h"
#include "lib/kv/arena.h"
#include "lib/kv/change_set.h"
#include "lib/kv/engine.h"
#include "lib/kv/parse.h"
#include "lib/kv/record.h"
#include "lib/kv/request.h"

namespace raftkv::kv {

/// Of the events of a page, if the request does not say less.
inline constexpr std::uint32_t kWatchPageBytes = 1 << 20;

struct WatchOp {
  static WatchOp From(const KeyRange& keys, const WatchPageOptions& options);

  [[nodiscard]] bool Contains(std::string_view key) const {
    return RangeView{range.kind, range.begin, range.end}.Contains(key);
  }
  [[nodiscard]] bool Passes(ChangeKind kind, std::string_view key) const {
    return (kind == ChangeKind::kPut ? puts : deletes) && Contains(key);
  }

  Range range;
  WatchPosition position;
  bool resumes = false;
  bool puts = true;
  bool deletes = true;
  bool previous = false;
  std::uint32_t max_bytes = kWatchPageBytes;
};

/// InvalidArgument: a key that is too large, or nothing passes.
Status CheckWatch(const WatchOp& op, const Limits& limits);
Bytes EncodeWatchRequest(const WatchOp& op);
/// The server's check of bytes from outside. InvalidArgument, VersionMismatch.
Result<WatchOp> DecodeWatchRequest(std::string_view bytes, const Limits& limits);

/// Borrows its bytes.
struct WatchEventView {
  struct Previous {
    std::string_view value;
    Counts counts;
  };
  std::uint64_t revision = 0;
  ChangeKind kind = ChangeKind::kPut;
  std::string_view key = {};
  std::string_view value = {};
  Counts counts = {};
  std::optional<Previous> previous = std::nullopt;
};

Bytes EncodeWatchResponse(const std::vector<WatchEventView>& events, const WatchPosition& position,
                          std::uint64_t revision);
/// What `op` was answered. Corruption: malformed, or it is no answer to that.
Result<WatchPage> DecodeWatchResponse(std::string_view bytes, const WatchOp& op);

/// Gathers the events of one page: the changes of the store come in order, and the position moves
/// on with them.
class WatchPageBuilder {
 public:
  explicit WatchPageBuilder(const WatchOp& op);

  /// Of the next change, not below the position's revision: whether it is an event that has not
  /// been delivered yet. The caller then adds it.
  bool Wants(std::uint64_t revision, ChangeKind kind, std::string_view key);
  /// False: the page is full, and the event is the first one of the next page.
  bool Add(const WatchEventView& event);
  /// All changes up to `revision` were offered.
  void CompleteThrough(std::uint64_t revision);

  [[nodiscard]] bool empty() const { return events_.empty(); }
  [[nodiscard]] std::size_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] const WatchPosition& position() const { return position_; }
  /// `revision`: that the member has come to.
  [[nodiscard]] Bytes Encode(std::uint64_t revision) const {
    return EncodeWatchResponse(events_, position_, revision);
  }

 private:
  const WatchOp& op_;
  WatchPosition position_;
  std::uint64_t seen_ = 0;  ///< events of the position's revision, those delivered before included
  std::size_t size_bytes_ = 0;
  std::vector<WatchEventView> events_;
};

/// What was read of the log of events.
struct WatchLogPage {
  Bytes response;  ///< empty: no events up to `position`
  WatchPosition position;
};
/// Events from the change sets of `engine`, up to revision `last`, which it has come to. Reads
/// about `max_visited_bytes` of them, however few pass. Compacted: some at the position may be
/// gone.
Result<WatchLogPage> ReadWatchLog(Engine& engine, const WatchOp& op, std::uint64_t last,
                                  std::size_t max_visited_bytes = kChangeSetBytes);

}  // namespace raftkv::kv
