#include "lib/kv/pending_write.h"

#include <cstring>

#include "lib/base/check.h"
#include "lib/base/mutants.h"

namespace raftkv::kv {

Status PendingWrite::PutData(std::string_view key, std::uint64_t revision, std::string_view value,
                             std::uint64_t lease) {
  Counts* const known = counts_.Find(key);
  const Result<Counts> before = known != nullptr ? Result<Counts>(*known) : StoredCounts(key);
  if (!before.ok()) return before.status();
  const Counts counts = CountsAfterPut(*before, revision, lease);
  RAFTKV_CHECK(lease == 0 || leases_.Find(lease) != nullptr, lease);
  Attach(key, before->lease, lease);
  char header[kMaxDataHeaderBytes];
  const std::size_t header_bytes = EncodeDataHeader(counts, header);
  const std::size_t key_bytes = key.size() + 1;
  const std::size_t record_bytes = header_bytes + value.size();
  char* const to = arena_.Allocate(key_bytes + record_bytes);
  to[0] = kDataPrefix;
  if (!key.empty()) std::memcpy(to + 1, key.data(), key.size());
  std::memcpy(to + key_bytes, header, header_bytes);
  if (!value.empty()) {
    std::memcpy(to + key_bytes + header_bytes, value.data(), value.size());
  }
  mutations_.push_back(
      {.key = {to, key_bytes}, .value = {to + key_bytes, record_bytes}, .revision = revision});
  if (changes_ != nullptr) changes_->Put(revision, key, value, counts);
  if (known != nullptr) {
    *known = counts;
  } else {
    counts_.Put(key, counts);
  }
  return Status::Ok();
}

Result<bool> PendingWrite::DeleteData(std::string_view key, std::uint64_t revision) {
  Counts* const known = counts_.Find(key);
  const Result<Counts> before = known != nullptr ? Result<Counts>(*known) : StoredCounts(key);
  if (!before.ok()) return before.status();
  if (before->version == 0) return false;
  char* const to = arena_.Allocate(key.size() + 1);
  to[0] = kDataPrefix;
  if (!key.empty()) std::memcpy(to + 1, key.data(), key.size());
  mutations_.push_back(
      {.kind = Mutation::Kind::kDelete, .key = {to, key.size() + 1}, .revision = revision});
  Attach(key, before->lease, 0);
  if (changes_ != nullptr) changes_->Delete(revision, key);
  if (!RAFTKV_MUTANT(kCountsOfFormerLife)) counts_.Put(key, {});
  return true;
}

void PendingWrite::PutRecord(std::string_view engine_key, std::string_view record) {
  mutations_.push_back({.key = arena_.Copy(engine_key), .value = arena_.Copy(record)});
}

void PendingWrite::DeleteRecord(std::string_view engine_key) {
  mutations_.push_back({.kind = Mutation::Kind::kDelete, .key = arena_.Copy(engine_key)});
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

Result<std::optional<DataRecord>> PendingWrite::Find(std::string_view key) {
  Sort();
  const std::string engine_key = DataKey(key);
  std::optional<std::string_view> record;
  if (const auto found = latest_.find(engine_key); found != latest_.end()) {
    const Mutation& mutation = mutations_[found->second];
    if (mutation.kind == Mutation::Kind::kPut) record = mutation.value;
  } else {
    auto read = view().Get(engine_key);
    if (!read.ok()) return read.status();
    if (read->has_value()) {
      found_ = **std::move(read);
      record = found_;
    }
  }
  if (!record.has_value()) {
    counts_.Put(key, {});
    return std::optional<DataRecord>();
  }
  const auto data = DecodeDataRecord(*record);
  if (!data.ok()) return data.status();
  counts_.Put(key, data->counts);
  return std::optional<DataRecord>(*data);
}

Result<Counts> PendingWrite::StoredCounts(std::string_view key) {
  const auto data = Find(key);
  if (!data.ok()) return data.status();
  return data->has_value() ? (*data)->counts : Counts();
}

Result<std::optional<std::string>> PendingWrite::GetData(std::string_view key) {
  const auto data = Find(key);
  if (!data.ok()) return data.status();
  if (!data->has_value()) return std::optional<std::string>();
  return std::optional<std::string>((*data)->value);
}

bool PendingWrite::HasCountsInMemory(std::string_view key, std::unique_ptr<View>& memory) {
  RAFTKV_CHECK(mutations_.empty());
  if (counts_.Find(key) != nullptr) return true;
  if (memory == nullptr) memory = engine_.NewView(ReadTier::kMemory);
  const auto record = memory->Get(DataKey(key));
  if (!record.ok()) return false;
  if (!record->has_value()) {
    counts_.Put(key, {});
    return true;
  }
  // What is damaged is told by who applies.
  const auto data = DecodeDataRecord(**record);
  if (data.ok()) counts_.Put(key, data->counts);
  return data.ok();
}

void PendingWrite::Attach(std::string_view key, std::uint64_t before, std::uint64_t lease) {
  if (before == lease) return;
  if (before != 0 && !RAFTKV_MUTANT(kOverwriteStaysAttached)) {
    DeleteRecord(AttachedKey(before, key));
  }
  if (lease == 0) return;
  const char version = static_cast<char>(kRecordFormatVersion);
  PutRecord(AttachedKey(lease, key), std::string_view(&version, 1));
}

Result<std::vector<std::string>> PendingWrite::KeysAttachedTo(std::uint64_t lease) {
  std::vector<std::string> keys;
  Status status =
      VisitRows({AttachedPrefix(lease), EndOfAttached(lease)}, [&](std::string_view row, auto) {
        keys.emplace_back(row.substr(kAttachedPrefixBytes));
        return true;
      });
  if (!status.ok()) return status;
  return keys;
}

Result<std::uint64_t> PendingWrite::DeleteDataRange(const RangeView& range,
                                                    std::uint64_t revision) {
  const EngineRange bounds = DataRange(range);
  if (bounds.begin >= bounds.end) return std::uint64_t{0};
  struct Found {
    std::string_view key;  ///< in the arena
    std::uint64_t lease = 0;
  };
  std::vector<Found> found;
  Status damage;
  Status status = VisitRows(bounds, [&](std::string_view key, std::string_view record) {
    const auto data = DecodeDataRecord(record);
    damage = data.status();
    if (data.ok()) found.push_back({arena_.Copy(key), data->counts.lease});
    return data.ok();
  });
  if (status.ok()) status = std::move(damage);
  if (!status.ok()) return status;
  for (const Found& each : found) {
    const std::string_view key = each.key.substr(1);
    if (!RAFTKV_MUTANT(kRangeDeleteKeepsCounts)) counts_.Forget(key);
    mutations_.push_back({.kind = Mutation::Kind::kDelete, .key = each.key, .revision = revision});
    Attach(key, each.lease, 0);
    if (changes_ != nullptr) changes_->Delete(revision, key);
  }
  range_deleted_keys_ += found.size();
  return std::uint64_t{found.size()};
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
