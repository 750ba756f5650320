#include "lib/kv/pending_write.h"

#include "lib/kv/record.h"

namespace raftkv::kv {

void PendingWrite::PutData(std::string_view key, std::uint64_t mod_revision,
                           std::string_view value) {
  const std::size_t key_bytes = key.size() + 1;
  const std::size_t record_bytes = kDataHeaderBytes + value.size();
  char* const to = arena_.Allocate(key_bytes + record_bytes);
  to[0] = kDataPrefix;
  if (!key.empty()) std::memcpy(to + 1, key.data(), key.size());
  EncodeDataHeader(mod_revision, to + key_bytes);
  if (!value.empty()) {
    std::memcpy(to + key_bytes + kDataHeaderBytes, value.data(), value.size());
  }
  mutations_.push_back({false, {to, key_bytes}, {to + key_bytes, record_bytes}});
}

void PendingWrite::DeleteData(std::string_view key) {
  char* const to = arena_.Allocate(key.size() + 1);
  to[0] = kDataPrefix;
  if (!key.empty()) std::memcpy(to + 1, key.data(), key.size());
  mutations_.push_back({true, {to, key.size() + 1}, {}});
}

void PendingWrite::PutRecord(std::string_view engine_key, std::string_view record) {
  mutations_.push_back({false, arena_.Copy(engine_key), arena_.Copy(record)});
}

void PendingWrite::DeleteRecord(std::string_view engine_key) {
  mutations_.push_back({true, arena_.Copy(engine_key), {}});
}

void PendingWrite::Sort() {
  for (; sorted_count_ < mutations_.size(); ++sorted_count_) {
    latest_[mutations_[sorted_count_].key] = sorted_count_;
  }
}

View& PendingWrite::view() {
  if (view_ == nullptr) view_ = engine_.NewView(ReadTier::kAll);
  return *view_;
}

Result<std::optional<std::string>> PendingWrite::GetData(std::string_view key) {
  Sort();
  const std::string engine_key = DataKey(key);
  std::string_view record;
  std::optional<std::string> stored;
  if (const auto found = latest_.find(engine_key); found != latest_.end()) {
    const Mutation& mutation = mutations_[found->second];
    if (mutation.is_delete) return std::optional<std::string>();
    record = mutation.value;
  } else {
    auto read = view().Get(engine_key);
    if (!read.ok()) return read.status();
    stored = *std::move(read);
    if (!stored.has_value()) return std::optional<std::string>();
    record = *stored;
  }
  const auto data = DecodeDataRecord(record);
  if (!data.ok()) return data.status();
  return std::optional<std::string>(data->value);
}

Result<std::vector<std::string_view>> PendingWrite::DataKeys(const RangeView& range) {
  Sort();
  const EngineRange bounds = DataRange(range);
  std::vector<std::string_view> keys;
  if (bounds.begin >= bounds.end) return keys;
  Status status = view().Scan(bounds.begin, bounds.end, [&](auto key, auto /*record*/) {
    if (latest_.find(key) == latest_.end()) keys.push_back(arena_.Copy(key).substr(1));
    return true;
  });
  if (!status.ok()) return status;
  const auto end = latest_.lower_bound(bounds.end);
  for (auto it = latest_.lower_bound(bounds.begin); it != end; ++it) {
    if (!mutations_[it->second].is_delete) keys.push_back(it->first.substr(1));
  }
  return keys;
}

Status PendingWrite::Write() {
  Status status = engine_.Write(mutations_);
  latest_.clear();
  sorted_count_ = 0;
  view_.reset();
  mutations_.clear();
  arena_.Reset();
  return status;
}

}  // namespace raftkv::kv
