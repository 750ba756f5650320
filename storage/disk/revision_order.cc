#include "storage/disk/revision_order.h"

#include "lib/base/check.h"

namespace raftkv::storage {

namespace {

class Order final : public rocksdb::Comparator {
 public:
  Order() : Comparator(kTimestampBytes) {}

  const char* Name() const override { return "leveldb.BytewiseComparator.u64ts"; }
  // A shorter key would have no timestamp.
  void FindShortestSeparator(std::string* /*start*/,
                             const rocksdb::Slice& /*limit*/) const override {}
  void FindShortSuccessor(std::string* /*key*/) const override {}

  int Compare(const rocksdb::Slice& a, const rocksdb::Slice& b) const override {
    const int by_key = CompareWithoutTimestamp(a, /*a_has_ts=*/true, b, /*b_has_ts=*/true);
    return by_key != 0 ? by_key : CompareTimestamp(Tail(b), Tail(a));
  }
  using Comparator::CompareWithoutTimestamp;
  int CompareWithoutTimestamp(const rocksdb::Slice& a, bool a_has_ts, const rocksdb::Slice& b,
                              bool b_has_ts) const override {
    return Key(a, a_has_ts).compare(Key(b, b_has_ts));
  }
  int CompareTimestamp(const rocksdb::Slice& a, const rocksdb::Slice& b) const override {
    const std::uint64_t x = RevisionOf(a);
    const std::uint64_t y = RevisionOf(b);
    if (x == y) return 0;
    return x < y ? -1 : 1;
  }

 private:
  static rocksdb::Slice Key(const rocksdb::Slice& key, bool has_timestamp) {
    return {key.data(), key.size() - (has_timestamp ? kTimestampBytes : 0)};
  }
  static rocksdb::Slice Tail(const rocksdb::Slice& key) {
    return {key.data() + key.size() - kTimestampBytes, kTimestampBytes};
  }
};

}  // namespace

const rocksdb::Comparator* RevisionOrder() {
  // Databases may outlive every object with static storage duration.
  static const auto* const order = new Order;
  return order;
}

std::uint64_t RevisionOf(const rocksdb::Slice& timestamp) {
  RAFTKV_CHECK(timestamp.size() == kTimestampBytes, timestamp.size());
  std::uint64_t revision = 0;
  for (std::size_t i = kTimestampBytes; i-- > 0;) {
    revision = revision << 8 | static_cast<unsigned char>(timestamp[i]);
  }
  return revision;
}

}  // namespace raftkv::storage
