// What does the key-value state machine need of its storage? (a port; storage/ implements it)
//
// One ordered space of keys. lib/kv decides what the keys are (lib/kv/layout.h).
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

/// The store at one point in time. Its reads may run on several threads at once.
class View {
 public:
  virtual ~View() = default;
  /// nullopt: no such key. Errors: IOError, Corruption; Unavailable only with kMemory.
  virtual Result<std::optional<std::string>> Get(std::string_view key) = 0;
  /// Calls `visit` for each pair with begin <= key < end in order, until it returns false; an empty
  /// `end` has no bound. Key and value are only valid during the call.
  virtual Status Scan(
      std::string_view begin, std::string_view end,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) = 0;
  /// The same pairs in descending order of their keys.
  virtual Status ScanReverse(
      std::string_view begin, std::string_view end,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) = 0;
};

/// Borrows its bytes for the duration of Engine::Write.
struct Mutation {
  enum class Kind : std::uint8_t { kPut, kDelete, kDeleteRange };
  Kind kind = Kind::kPut;
  std::string_view key = {};    ///< kDeleteRange: where the range begins
  std::string_view value = {};  ///< kPut
  std::string_view end = {};    ///< kDeleteRange: the keys k with key <= k < end go
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
