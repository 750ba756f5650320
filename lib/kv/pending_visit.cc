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
  Sort();
  Status damage;
  bool more = true;
  const auto show = [&](std::string_view key, std::string_view record) {
    const auto data = DecodeDataRecord(record);
    damage = data.status();
    more = data.ok() && visit(key.substr(1), *data);
  };
  auto pending = latest_.lower_bound(bounds.begin);
  const auto end = latest_.lower_bound(bounds.end);
  const auto show_pending = [&] {
    const Mutation& mutation = mutations_[pending->second];
    ++pending;
    if (mutation.kind == Mutation::Kind::kPut) show(mutation.key, mutation.value);
  };
  Status status = view().Scan(bounds.begin, bounds.end, [&](auto key, auto record) {
    while (more && pending != end && pending->first < key) show_pending();
    if (!more) return false;
    if (pending != end && pending->first == key) {
      show_pending();
    } else {
      show(key, record);
    }
    return more;
  });
  if (!status.ok()) return status;
  while (more && pending != end) show_pending();
  return damage;
}

}  // namespace raftkv::kv
