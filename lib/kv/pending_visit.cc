// What does a range hold, given what is pending?
#include <optional>
#include <utility>

#include "lib/kv/pending_write.h"

namespace raftkv::kv {

Result<Counts> PendingWrite::CountsOf(std::string_view key) {
  if (const Counts* const known = counts_.Find(key); known != nullptr) return *known;
  return StoredCounts(key);
}

Status PendingWrite::VisitData(const RangeView& range, const DataVisit& visit) {
  if (range.kind == Range::Kind::kSingle) {
    const auto found = Find(range.begin);
    if (found.ok() && found->has_value()) visit(range.begin, **found);
    return found.status();
  }
  const EngineRange bounds = DataRange(range);
  if (bounds.begin >= bounds.end) return Status::Ok();
  Status damage;
  Status status = VisitRows(bounds, [&](std::string_view key, std::string_view record) {
    const auto data = DecodeDataRecord(record);
    damage = data.status();
    return data.ok() && visit(key.substr(1), *data);
  });
  return status.ok() ? damage : status;
}

Status PendingWrite::VisitRows(const EngineRange& bounds, const View::Visit& visit) {
  Sort();
  bool more = true;
  auto pending = latest_.lower_bound(bounds.begin);
  const auto end = latest_.lower_bound(bounds.end);
  const auto show_pending = [&] {
    const Mutation& mutation = mutations_[pending->second];
    ++pending;
    if (mutation.kind == Mutation::Kind::kPut) more = visit(mutation.key, mutation.value);
  };
  Status status = view().Scan(bounds.begin, bounds.end, [&](auto key, auto record) {
    while (more && pending != end && pending->first < key) show_pending();
    if (!more) return false;
    if (pending != end && pending->first == key) {
      show_pending();
    } else {
      more = visit(key, record);
    }
    return more;
  });
  while (status.ok() && more && pending != end) show_pending();
  return status;
}

}  // namespace raftkv::kv
