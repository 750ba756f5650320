#include "tests/sim/cluster/engine.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/base/mutants.h"
#include "lib/kv/layout.h"

namespace raftkv::sim {

namespace {

std::uint64_t HashOf(std::string_view key, std::string_view value) {
  return XXH3_64bits_withSeed(value.data(), value.size(), XXH3_64bits(key.data(), key.size()));
}

}  // namespace

class SimView final : public kv::View {
 public:
  explicit SimView(const SimEngine& engine) : records_(engine.records_) {}

  Result<std::optional<std::string>> Get(std::string_view key) override {
    const auto found = records_->find(key);
    if (found == records_->end()) return std::optional<std::string>();
    return std::optional<std::string>(found->second.value);
  }

  Status Scan(std::string_view begin, std::string_view end,
              const std::function<bool(std::string_view, std::string_view)>& visit) override {
    for (auto it = records_->lower_bound(begin); it != records_->end(); ++it) {
      if (!end.empty() && it->first >= end) break;
      if (!visit(it->first, it->second.value)) break;
    }
    return Status::Ok();
  }

  Status ScanReverse(
      std::string_view begin, std::string_view end,
      const std::function<bool(std::string_view, std::string_view)>& visit) override {
    auto it = end.empty() ? records_->end() : records_->lower_bound(end);
    while (it != records_->begin() && (--it)->first >= begin) {
      if (!visit(it->first, it->second.value)) break;
    }
    return Status::Ok();
  }

 private:
  const std::shared_ptr<const SimEngine::Records> records_;
};

std::unique_ptr<kv::View> SimEngine::NewView(kv::ReadTier /*tier*/) {
  return std::make_unique<SimView>(*this);
}

Status SimEngine::Write(const std::vector<kv::Mutation>& mutations) {
  for (const kv::Mutation& mutation : mutations) {
    if (mutation.key.front() == kv::kDataPrefix) data_changed_ = true;
    switch (mutation.kind) {
      case kv::Mutation::Kind::kPut: Put(mutation.key, mutation.value); break;
      case kv::Mutation::Kind::kDelete: Delete(mutation.key); break;
      case kv::Mutation::Kind::kDeleteRange: DeleteRange(mutation.key, mutation.end); break;
    }
  }
  if (std::exchange(flush_next_, false)) Flush();
  return Status::Ok();
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

void SimEngine::DeleteRange(std::string_view begin, std::string_view end) {
  std::vector<std::string> keys;
  for (auto at = records_->lower_bound(begin); at != records_->end() && at->first < end; ++at) {
    keys.push_back(at->first);
  }
  for (const std::string& key : keys) Delete(key);
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
}

std::string SimEngine::Dump(bool backwards) const {
  std::string dump;
  const auto add = [&](const auto& item) {
    AppendBigEndian32(dump, static_cast<std::uint32_t>(item.first.size()));
    AppendBigEndian32(dump, static_cast<std::uint32_t>(item.second.value.size()));
    dump += item.first;
    dump += item.second.value;
  };
  if (backwards) {
    std::for_each(records_->rbegin(), records_->rend(), add);
  } else {
    std::for_each(records_->begin(), records_->end(), add);
  }
  return dump;
}

void SimEngine::Load(std::string_view dump) {
  if (!RAFTKV_MUTANT(kRestoreKeepsKeys)) *this = SimEngine();
  while (!dump.empty()) {
    const auto key_bytes = TakeBigEndian32(dump);
    const auto value_bytes = TakeBigEndian32(dump);
    // Half a snapshot is no error here: that it is never loaded is what the checks must see.
    if (!key_bytes || !value_bytes || dump.size() < *key_bytes + *value_bytes) break;
    Put(dump.substr(0, *key_bytes), dump.substr(*key_bytes, *value_bytes));
    dump.remove_prefix(*key_bytes + *value_bytes);
  }
  before_.clear();
  data_changed_ = false;
}

}  // namespace raftkv::sim
