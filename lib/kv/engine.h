// What does the key-value state machine need of its storage? (a port; storage/ implements it)
//
// One ordered space of keys, some of which keep what they were at earlier revisions. lib/kv decides
// what the keys are (lib/kv/layout.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/status.h>

namespace raftkv::kv {

/// kMemory never blocks on the disk: what is not in memory is answered Unavailable.
enum class ReadTier : std::uint8_t { kMemory, kAll };

/// What was written last, at whatever revision.
inline constexpr std::uint64_t kLatestRevision = UINT64_MAX;

/// The store at one point in time. Its reads may run on several threads at once.
class View {
 public:
  using Visit = std::function<bool(std::string_view key, std::string_view value)>;

  virtual ~View() = default;
  /// What `key` was right after `revision`. nullopt: no such key. Errors: IOError, Corruption;
  /// Unavailable only with kMemory; Compacted: `revision` is below LowestRevision().
  virtual Result<std::optional<std::string>> GetAt(std::string_view key,
                                                   std::uint64_t revision) = 0;
  /// Calls `visit` for each pair with begin <= key < end in order, as they were right after
  /// `revision`, until it returns false; an empty `end` has no bound. Key and value are only valid
  /// during the call.
  virtual Status ScanAt(std::string_view begin, std::string_view end, std::uint64_t revision,
                        const Visit& visit) = 0;
  /// The same pairs in descending order of their keys.
  virtual Status ScanReverseAt(std::string_view begin, std::string_view end, std::uint64_t revision,
                               const Visit& visit) = 0;
  /// Below it what was overwritten, and change sets, may be gone: as it is now, which may be later
  /// than what is viewed. Whoever reads change sets asks afterwards.
  [[nodiscard]] virtual std::uint64_t LowestRevision() const = 0;

  Result<std::optional<std::string>> Get(std::string_view key) {
    return GetAt(key, kLatestRevision);
  }
  Status Scan(std::string_view begin, std::string_view end, const Visit& visit) {
    return ScanAt(begin, end, kLatestRevision, visit);
  }
  Status ScanReverse(std::string_view begin, std::string_view end, const Visit& visit) {
    return ScanReverseAt(begin, end, kLatestRevision, visit);
  }
};

/// Borrows its bytes for the duration of Engine::Write.
struct Mutation {
  enum class Kind : std::uint8_t { kPut, kDelete };
  Kind kind = Kind::kPut;
  std::string_view key = {};
  std::string_view value = {};  ///< kPut
  /// What the key was before it can still be read; 0: of this key only the latest is kept.
  std::uint64_t revision = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  /// Safe from any thread.
  virtual std::unique_ptr<View> NewView(ReadTier tier) = 0;
  /// All or nothing, in order; not durable by itself: after a crash a prefix of the writes is
  /// there.
  virtual Status Write(const std::vector<Mutation>& mutations) = 0;
};

}  // namespace raftkv::kv
