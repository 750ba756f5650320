#include "lib/kv/pending_write.h"

#include <algorithm>
#include <iterator>

#include "lib/base/check.h"
#include "lib/base/mutants.h"

namespace raftkv::kv {
namespace {

/// The keys of a range that are deleted one by one are no longer than this together.
constexpr std::size_t kMaxPointDeleteBytes = 256 << 10;

}  // namespace

Status PendingWrite::PutData(std::string_view key, std::uint64_t revision, std::string_view value) {
  Counts* const known = counts_.Find(key);
  const Result<Counts> before = known != nullptr ? Result<Counts>(*known) : StoredCounts(key);
  if (!before.ok()) return before.status();
  const Counts counts = CountsAfterPut(*before, revision);
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
  mutations_.push_back({.key = {to, key_bytes}, .value = {to + key_bytes, record_bytes}});
  if (known != nullptr) {
    *known = counts;
  } else {
    counts_.Put(key, counts);
  }
  return Status::Ok();
}

Result<bool> PendingWrite::DeleteData(std::string_view key) {
  Counts* const known = counts_.Find(key);
  const Result<Counts> before = known != nullptr ? Result<Counts>(*known) : StoredCounts(key);
  if (!before.ok()) return before.status();
  if (before->version == 0) return false;
  char* const to = arena_.Allocate(key.size() + 1);
  to[0] = kDataPrefix;
  if (!key.empty()) std::memcpy(to + 1, key.data(), key.size());
  mutations_.push_back({.kind = Mutation::Kind::kDelete, .key = {to, key.size() + 1}});
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
    const Mutation& mutation = mutations_[sorted_count_];
    if (mutation.kind == Mutation::Kind::kDeleteRange) {
      Cover(mutation.key, mutation.end);
    } else {
      latest_[mutation.key] = sorted_count_;
    }
  }
}

void PendingWrite::Cover(std::string_view begin, std::string_view end) {
  latest_.erase(latest_.lower_bound(begin), latest_.lower_bound(end));
  auto at = covered_.upper_bound(begin);
  if (at != covered_.begin() && std::prev(at)->second >= begin) --at;
  while (at != covered_.end() && at->first <= end) {
    begin = std::min(begin, at->first);
    end = std::max(end, at->second);
    at = covered_.erase(at);
  }
  covered_.emplace_hint(at, begin, end);
}

bool PendingWrite::IsCovered(std::string_view engine_key) const {
  const auto after = covered_.upper_bound(engine_key);
  return after != covered_.begin() && engine_key < std::prev(after)->second;
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
  } else if (!IsCovered(engine_key)) {
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

Status PendingWrite::VisitStoredKeys(std::string_view begin, std::string_view end,
                                     const Visit& visit) {
  auto pending = latest_.lower_bound(begin);
  return view().Scan(begin, end, [&](std::string_view key, std::string_view /*record*/) {
    while (pending != latest_.end() && pending->first < key) ++pending;
    if (pending == latest_.end() || pending->first != key) visit(key);
    return true;
  });
}

Status PendingWrite::VisitKeys(const EngineRange& bounds, const Visit& visit) {
  // What the engine holds between the deleted ranges, ...
  std::string_view at = bounds.begin;
  auto covered = covered_.upper_bound(at);
  if (covered != covered_.begin()) at = std::max(at, std::prev(covered)->second);
  for (; covered != covered_.end() && covered->first < bounds.end; ++covered) {
    if (Status status = VisitStoredKeys(at, covered->first, visit); !status.ok()) return status;
    at = covered->second;
  }
  if (at < bounds.end) {
    if (Status status = VisitStoredKeys(at, bounds.end, visit); !status.ok()) return status;
  }
  // ... and what is pending.
  const auto end = latest_.lower_bound(bounds.end);
  for (auto it = latest_.lower_bound(bounds.begin); it != end; ++it) {
    if (mutations_[it->second].kind == Mutation::Kind::kPut) visit(it->first);
  }
  return Status::Ok();
}

Result<std::uint64_t> PendingWrite::DeleteDataRange(const RangeView& range) {
  Sort();
  const EngineRange bounds = DataRange(range);
  std::uint64_t count = 0;
  if (bounds.begin >= bounds.end) return count;
  std::vector<std::string_view> keys;
  std::size_t key_bytes = 0;
  Status status = VisitKeys(bounds, [&](std::string_view key) {
    ++count;
    key_bytes += key.size();
    if (!RAFTKV_MUTANT(kRangeDeleteKeepsCounts)) counts_.Forget(key.substr(1));
    if (count <= max_point_deletes_ && key_bytes <= kMaxPointDeleteBytes) {
      keys.push_back(arena_.Copy(key));
    }
  });
  if (!status.ok()) return status;
  if (keys.size() == count) {
    for (const std::string_view key : keys) {
      mutations_.push_back({.kind = Mutation::Kind::kDelete, .key = key});
    }
    return count;
  }
  range_deleted_keys_ += count;
  mutations_.push_back({.kind = Mutation::Kind::kDeleteRange,
                        .key = arena_.Copy(bounds.begin),
                        .end = arena_.Copy(bounds.end)});
  return count;
}

Status PendingWrite::Write() {
  Status status = engine_.Write(mutations_);
  latest_.clear();
  covered_.clear();
  sorted_count_ = 0;
  view_.reset();
  mutations_.clear();
  arena_.Reset();
  return status;
}

}  // namespace raftkv::kv
