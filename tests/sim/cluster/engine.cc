#include "tests/sim/cluster/engine.h"

#include <xxhash.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/mutants.h"
#include "lib/kv/change_set.h"
#include "lib/kv/layout.h"
#include "lib/kv/revisions.h"

namespace raftkv::sim {

namespace {

std::uint64_t HashOf(std::string_view key, std::string_view value) {
  if (key.front() == kv::kChangeSetPrefix) return 0;
  return XXH3_64bits_withSeed(value.data(), value.size(), XXH3_64bits(key.data(), key.size()));
}

}  // namespace

class SimView final : public kv::View {
 public:
  explicit SimView(const SimEngine& engine) : records_(engine.records_), past_(engine.past_) {}

  Result<std::optional<std::string>> GetAt(std::string_view key, std::uint64_t revision) override {
    if (revision == kv::kLatestRevision) {
      const auto found = records_->find(key);
      if (found == records_->end()) return std::optional<std::string>();
      return std::optional<std::string>(found->second.value);
    }
    if (Status gone = CheckKept(revision); !gone.ok()) return gone;
    const std::optional<std::string>* const found = past_->Find(key, revision);
    if (found == nullptr) return std::optional<std::string>();
    return *found;
  }

  Status ScanAt(std::string_view begin, std::string_view end, std::uint64_t revision,
                const Visit& visit) override {
    if (revision == kv::kLatestRevision) {
      for (auto it = records_->lower_bound(begin); it != records_->end(); ++it) {
        if (!end.empty() && it->first >= end) break;
        if (!visit(it->first, it->second.value)) break;
      }
      return Status::Ok();
    }
    if (Status gone = CheckKept(revision); !gone.ok()) return gone;
    for (auto it = past_->versions.lower_bound(begin); it != past_->versions.end(); ++it) {
      if (!end.empty() && it->first >= end) break;
      const std::optional<std::string>* const found = past_->Find(it->first, revision);
      if (found == nullptr || !found->has_value()) continue;
      if (!visit(it->first, **found)) break;
    }
    return Status::Ok();
  }

  Status ScanReverseAt(std::string_view begin, std::string_view end, std::uint64_t revision,
                       const Visit& visit) override {
    std::vector<std::pair<std::string, std::string>> pairs;
    Status status = ScanAt(begin, end, revision, [&](std::string_view key, std::string_view value) {
      pairs.emplace_back(key, value);
      return true;
    });
    for (auto it = pairs.rbegin(); it != pairs.rend() && visit(it->first, it->second); ++it) {
    }
    return status;
  }

  [[nodiscard]] std::uint64_t LowestRevision() const override { return past_->lowest; }

 private:
  [[nodiscard]] Status CheckKept(std::uint64_t revision) const {
    if (revision >= past_->lowest) return Status::Ok();
    return kv::CompactedStatus(revision, past_->lowest);
  }

  const std::shared_ptr<const SimEngine::Records> records_;
  const std::shared_ptr<const SimEngine::Past> past_;
};

const std::optional<std::string>* SimEngine::Past::Find(std::string_view key,
                                                        std::uint64_t revision) const {
  const auto found = versions.find(key);
  if (found == versions.end()) return nullptr;
  auto after = found->second.upper_bound(revision);
  if (RAFTKV_MUTANT(kPastShowsDeleted)) {
    while (after != found->second.begin() && !std::prev(after)->second.has_value()) --after;
  }
  return after == found->second.begin() ? nullptr : &std::prev(after)->second;
}

std::unique_ptr<kv::View> SimEngine::NewView(kv::ReadTier /*tier*/) {
  return std::make_unique<SimView>(*this);
}

Status SimEngine::Write(const std::vector<kv::Mutation>& mutations) {
  for (const kv::Mutation& mutation : mutations) {
    if (mutation.key.front() == kv::kDataPrefix) data_changed_ = true;
    const bool is_put = mutation.kind == kv::Mutation::Kind::kPut;
    if (is_put) {
      Put(mutation.key, mutation.value);
    } else {
      Delete(mutation.key);
    }
    if (mutation.revision == 0) continue;
    new_versions_.emplace_back(mutation.key, mutation.revision);
    past_->versions[std::string(mutation.key)][mutation.revision] =
        is_put ? std::optional<std::string>(mutation.value) : std::nullopt;
  }
  if (std::exchange(flush_next_, false)) Flush();
  return Status::Ok();
}

void SimEngine::RaiseLowestRevision(std::uint64_t revision) {
  if (revision <= past_->lowest) return;
  past_->lowest = revision;
  for (auto at = past_->versions.begin(); at != past_->versions.end();) {
    Versions& versions = at->second;
    // The newest one that `revision` sees stays, unless it is a deletion.
    const auto after = versions.upper_bound(revision);
    if (after != versions.begin()) {
      const auto seen = std::prev(after);
      const bool stays = seen->second.has_value() && !RAFTKV_MUTANT(kPastAtBoundDropped);
      versions.erase(versions.begin(), stays ? seen : after);
    }
    at = versions.empty() ? past_->versions.erase(at) : std::next(at);
  }
  Records& records = Own();
  const bool too_much = RAFTKV_MUTANT(kEventsAtBoundDropped);
  const std::string bound = kv::ChangeSetsFrom(revision + (too_much ? 1 : 0));
  for (auto at = records.lower_bound(kv::ChangeSetsFrom(0));
       at != records.end() && at->first < bound;) {
    at = records.erase(at);
  }
}

SimEngine::Records& SimEngine::Own() {
  if (records_.use_count() > 1) records_ = std::make_shared<Records>(*records_);
  return *records_;
}

void SimEngine::Remember(std::string_view key, const Record* record) {
  const auto at = before_.lower_bound(key);
  if (at != before_.end() && at->first == key) return;
  before_.emplace_hint(at, key, record == nullptr ? std::nullopt : std::optional<Record>(*record));
}

void SimEngine::Put(std::string_view key, std::string_view value) {
  Records& records = Own();
  auto at = records.lower_bound(key);
  const bool there = at != records.end() && at->first == key;
  Remember(key, there ? &at->second : nullptr);
  if (!there) at = records.emplace_hint(at, key, Record());
  hash_ -= at->second.hash;
  at->second.value.assign(value);
  at->second.hash = HashOf(key, value);
  hash_ += at->second.hash;
}

void SimEngine::Delete(std::string_view key) {
  Records& records = Own();
  const auto at = records.find(key);
  if (at == records.end()) return;
  Remember(key, &at->second);
  hash_ -= at->second.hash;
  records.erase(at);
}

void SimEngine::LoseUnflushed() {
  Records& records = Own();
  for (auto& [key, record] : before_) {
    const auto at = records.find(key);
    if (at != records.end()) {
      hash_ -= at->second.hash;
      records.erase(at);
    }
    if (!record.has_value()) continue;
    hash_ += record->hash;
    records.emplace(key, std::move(*record));
  }
  before_.clear();
  for (const auto& [key, revision] : new_versions_) {
    const auto at = past_->versions.find(key);
    if (at == past_->versions.end()) continue;
    at->second.erase(revision);
    if (at->second.empty()) past_->versions.erase(at);
  }
  new_versions_.clear();
}

std::string SimEngine::Dump(bool backwards) const {
  std::string dump;
  AppendBigEndian64(dump, past_->lowest);
  const auto add = [&](std::string_view key, std::uint64_t revision,
                       const std::optional<std::string>& value) {
    AppendBigEndian64(dump, revision);
    AppendBigEndian32(dump, static_cast<std::uint32_t>(key.size()));
    AppendBigEndian32(dump, static_cast<std::uint32_t>(value.has_value() ? value->size() + 1 : 0));
    dump += key;
    dump += value.value_or("");
  };
  const auto add_record = [&](const auto& item) { add(item.first, 0, item.second.value); };
  if (backwards) {
    std::for_each(records_->rbegin(), records_->rend(), add_record);
  } else {
    std::for_each(records_->begin(), records_->end(), add_record);
  }
  for (const auto& [key, versions] : past_->versions) {
    for (const auto& [revision, value] : versions) add(key, revision, value);
  }
  return dump;
}

void SimEngine::Load(std::string_view dump) {
  if (!RAFTKV_MUTANT(kRestoreKeepsKeys)) *this = SimEngine();
  past_->lowest = TakeBigEndian64(dump).value_or(0);
  while (!dump.empty()) {
    const auto revision = TakeBigEndian64(dump);
    const auto key_bytes = TakeBigEndian32(dump);
    const auto value_bytes = TakeBigEndian32(dump);
    // Half a snapshot is no error here: that it is never loaded is what the checks must see.
    if (!revision || !key_bytes || !value_bytes) break;
    const std::uint32_t bytes = *value_bytes == 0 ? 0 : *value_bytes - 1;
    if (dump.size() < *key_bytes + bytes) break;
    const std::string_view key = dump.substr(0, *key_bytes);
    const std::string_view value = dump.substr(*key_bytes, bytes);
    if (*revision == 0) {
      Put(key, value);
    } else {
      past_->versions[std::string(key)][*revision] =
          *value_bytes > 0 ? std::optional<std::string>(value) : std::nullopt;
    }
    dump.remove_prefix(*key_bytes + bytes);
  }
  Flush();
  data_changed_ = false;
}

}  // namespace raftkv::sim
