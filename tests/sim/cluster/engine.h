// What does the state machine's storage look like to the simulator? An ordered map that knows what
// a crash would take back, and a hash of its content that costs nothing to ask for. Views show it
// as it was when they were made: who writes while one is held writes into a copy.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/kv/engine.h"

namespace raftkv::sim {

class SimEngine final : public kv::Engine {
 public:
  std::unique_ptr<kv::View> NewView(kv::ReadTier tier) override;
  Status Write(const std::vector<kv::Mutation>& mutations) override;

  /// All that was written so far survives a crash.
  void Flush() { before_.clear(); }
  void FlushAfterNextWrite() { flush_next_ = true; }
  /// Back to the last Flush.
  void LoseUnflushed();
  /// All records as bytes, and back; what was there before goes, and nothing of it comes back.
  [[nodiscard]] std::string Dump(bool backwards) const;
  void Load(std::string_view dump);

  /// Of all records, whatever the order in which they came: equal content, equal hash.
  [[nodiscard]] std::uint64_t hash() const { return hash_; }
  /// Whether a data record was written since this was last asked.
  bool TakeDataChanged() { return std::exchange(data_changed_, false); }

 private:
  friend class SimView;
  struct Record {
    std::string value;
    std::uint64_t hash = 0;
  };
  using Records = std::map<std::string, Record, std::less<>>;

  /// To be changed.
  Records& Own();
  void Put(std::string_view key, std::string_view value);
  void Delete(std::string_view key);
  void DeleteRange(std::string_view begin, std::string_view end);
  void Remember(std::string_view key, const Record* record);

  std::shared_ptr<Records> records_ = std::make_shared<Records>();
  /// What each key that changed since the last flush was before; nullopt: not there.
  std::map<std::string, std::optional<Record>, std::less<>> before_;
  std::uint64_t hash_ = 0;
  bool data_changed_ = false;
  bool flush_next_ = false;
};

}  // namespace raftkv::sim
