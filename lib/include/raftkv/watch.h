// How does a program follow the changes of keys?
//
//   Watcher watcher = kv.Watch(KeyRange::Prefix("a"), {});
//   while (true) {
//     Result<WatchResponse> response = watcher.Next(std::chrono::seconds(1));
//     if (response.ok()) Use(*response);
//     else if (response.code() != Code::kDeadlineExceeded) break;
//   }
//
// Every change is delivered once, in the order of revisions, and all events of a revision together.
// A watch survives whatever happens to the cluster: leader changes, lost connections, restarts and
// snapshots. It then continues at the first revision that was not delivered whole, at whichever
// member answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/status.h>

namespace raftkv {

struct WatchOptions {
  /// The first revision whose events are delivered; it may be one that is still to come. 0: from
  /// now on. Then the first response is a progress notice, and confirms the watch: the events of
  /// every write that is called after it will follow.
  std::uint64_t revision = 0;
  bool puts = true;
  bool deletes = true;
  /// With what each key was before; costs the member a read for each event.
  bool previous = false;
  /// While there are no events, deliver a progress notice about this often; 0: none. At least 10
  /// ms.
  std::chrono::milliseconds progress{0};
};

struct WatchEvent {
  enum class Kind : unsigned char { kPut, kDelete };
  Kind kind = Kind::kPut;
  /// `mod_revision` is the revision of the event. Of a delete there is nothing else but the key.
  KeyValue kv;
  /// If it was asked for: what the key was before; nullopt: it did not exist, or that is compacted.
  std::optional<KeyValue> previous = std::nullopt;
};

struct WatchResponse {
  /// That all events are of.
  std::uint64_t revision = 0;
  /// In the order of the operations. Empty: a progress notice, everything up to `revision` has been
  /// delivered.
  std::vector<WatchEvent> events;
  /// Further events of this revision follow in the next response: only where they take more than
  /// kMaxWatchResponseBytes together.
  bool more = false;

  [[nodiscard]] bool is_progress() const { return events.empty(); }
};

/// Keys and values of a response, before it is split (by more than that at most one event).
inline constexpr std::size_t kMaxWatchResponseBytes = 16 << 20;

/// Called for one response after the other. A status that is not ok is the last call: see
/// Watcher::Next().
using WatchCallback = std::function<void(Result<WatchResponse>)>;

/// A watch; it ends when this object is destroyed. Holds about 1 MiB of events at a time, or one
/// revision; a slow caller slows nobody.
class Watcher {
 public:
  Watcher(Watcher&& other) noexcept;
  Watcher& operator=(Watcher&& other) noexcept;
  /// No callback begins any more. One that is running is waited for, except inside a callback.
  ~Watcher();

  /// Waits for the next response. DeadlineExceeded: there was none within `timeout`, and the watch
  /// continues; the message says whether a member could be reached. Anything else is the end of the
  /// watch: Compacted (events may be gone; the message names the lowest revision that can be read),
  /// InvalidArgument, Cancelled (the KV was closed), VersionMismatch. Used by one thread at a time,
  /// and not if there is a callback. The KV outlives its calls.
  Result<WatchResponse> Next(std::chrono::milliseconds timeout);
  /// A member has answered at least once.
  [[nodiscard]] bool begun() const;

 private:
  friend class KV;
  struct State;
  explicit Watcher(std::shared_ptr<State> state);
  void Cancel();
  std::shared_ptr<State> state_;
};

/// Where a watch is: everything before it was delivered.
struct WatchPosition {
  std::uint64_t next = 0;       ///< a revision; 0: not known yet
  std::uint64_t delivered = 0;  ///< of its events, this many
  friend bool operator==(const WatchPosition&, const WatchPosition&) = default;
};

/// For KV::WatchPageAsync.
struct WatchPageOptions {
  WatchPosition position;
  bool resumes = false;  ///< the position is that of an earlier page
  bool puts = true;
  bool deletes = true;
  bool previous = false;
  std::uint32_t page_bytes = 0;  ///< 0: 1 MiB
  /// How long to wait for an event.
  std::chrono::milliseconds timeout{5000};
};

struct WatchPage {
  std::vector<WatchEvent> events;
  WatchPosition position;      ///< of the next page
  std::uint64_t revision = 0;  ///< that the member has come to
};

}  // namespace raftkv
