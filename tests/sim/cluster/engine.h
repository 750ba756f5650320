// What does the state machine's storage look like to the simulator? An ordered map that knows what
// a crash would take back, and a hash of its content that costs nothing to ask for. Views show it
// as it was when they were made: who writes while one is held writes into a copy. Beside it stands
// what each key was at earlier revisions.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/kv/engine.h"

namespace raftkv::sim {

class SimEngine final : public kv::Engine {
 public:
  std::unique_ptr<kv::View> NewView(kv::ReadTier tier) override;
  Status Write(const std::vector<kv::Mutation>& mutations) override;

  /// All that was written so far survives a crash.
  void Flush() {
    before_.clear();
    new_versions_.clear();
  }
  void FlushAfterNextWrite() { flush_next_ = true; }
  /// Back to the last Flush.
  void LoseUnflushed();
  /// What only reads below `revision` could see goes, at once.
  void RaiseLowestRevision(std::uint64_t revision);
  [[nodiscard]] std::uint64_t lowest_revision() const { return past_->lowest; }
  /// All records as bytes, and back; what was there before goes, and nothing of it comes back.
  [[nodiscard]] std::string Dump(bool backwards) const;
  void Load(std::string_view dump);

  /// Of all latest records, whatever the order in which they came, but for change sets, of which
  /// members keep more or less: equal content, equal hash.
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
  /// By revision; nullopt: deleted by it. Views share it: a version never changes.
  using Versions = std::map<std::uint64_t, std::optional<std::string>>;
  struct Past {
    std::map<std::string, Versions, std::less<>> versions;
    std::uint64_t lowest = 0;
    [[nodiscard]] const std::optional<std::string>* Find(std::string_view key,
                                                         std::uint64_t revision) const;
  };

  /// To be changed.
  Records& Own();
  void Put(std::string_view key, std::string_view value);
  void Delete(std::string_view key);
  void Remember(std::string_view key, const Record* record);

  std::shared_ptr<Records> records_ = std::make_shared<Records>();
  /// What each key that changed since the last flush was before; nullopt: not there.
  std::map<std::string, std::optional<Record>, std::less<>> before_;
  std::shared_ptr<Past> past_ = std::make_shared<Past>();
  /// Since the last flush.
  std::vector<std::pair<std::string, std::uint64_t>> new_versions_;
  std::uint64_t hash_ = 0;
  bool data_changed_ = false;
  bool flush_next_ = false;
};

}  // namespace raftkv::sim
