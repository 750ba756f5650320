// Requests of reads: what is accepted encodes again to the same request, keeps to the limits, and
// has an answer that can be read; what is refused is explained.
#include <algorithm>
#include <vector>

#include "lib/kv/parse.h"
#include "lib/kv/request.h"
#include "lib/kv/store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/parsed_request.h"
#include "tests/fuzz/stored_keys.h"

namespace raftkv::fuzz {
namespace {

constexpr Limits kLimits{.max_key_bytes = 64,
                         .max_value_bytes = 256,
                         .max_request_bytes = 8 << 10,
                         .max_operations = 64};

void CheckEncoding(const std::vector<kv::ParsedRead>& reads) {
  const std::vector<kv::ReadOp> rebuilt = Rebuild(reads);
  std::size_t most_bytes = kv::EncodedHeaderSize();
  for (const kv::ReadOp& read : rebuilt) {
    most_bytes += kv::EncodedSize(read);
    const Status checked = kv::CheckRead(read, kLimits);
    RAFTKV_CHECK(checked.ok(), checked.ToString());
  }
  const Bytes encoded = kv::EncodeReadRequest(rebuilt);
  RAFTKV_CHECK(encoded.size() <= most_bytes, encoded.size(), most_bytes);
  kv::MessageBytes storage;
  std::vector<kv::ParsedRead> again;
  const Status status =
      kv::ParseReadRequest(encoded.view(), kLimits.max_operations, storage, again);
  RAFTKV_CHECK(status.ok(), status.ToString());
  RAFTKV_CHECK(Describe(again) == Describe(reads));
  const kv::NamedRevisions named = kv::RevisionsOfRequest(encoded.view());
  bool by_all = true;
  std::uint64_t highest = 0;
  for (const kv::ParsedRead& read : reads) {
    by_all = by_all && read.revision != 0;
    highest = std::max(highest, read.revision);
  }
  RAFTKV_CHECK(named.highest == highest, named.highest, highest);
  RAFTKV_CHECK(named.by_all == by_all);
}

void CheckPairs(const kv::ParsedRead& read, const ScanResult& result) {
  if (!read.IsOfKeys()) return;
  RAFTKV_CHECK(read.limit == 0 || result.kvs.size() <= read.limit, result.kvs.size());
  RAFTKV_CHECK(!read.count_only || result.kvs.empty(), result.kvs.size());
  for (const KeyValue& kv : result.kvs) {
    RAFTKV_CHECK(read.range.Contains(kv.key));
    RAFTKV_CHECK(!read.keys_only || kv.value.empty());
    RAFTKV_CHECK(kv.mod_revision >= read.order.min_mod_revision, kv.mod_revision);
    RAFTKV_CHECK(kv.create_revision >= read.order.min_create_revision, kv.create_revision);
  }
  if (!read.order.IsByKey()) return;
  RAFTKV_CHECK(std::is_sorted(result.kvs.begin(), result.kvs.end(),
                              [](const auto& a, const auto& b) { return a.key < b.key; }));
}

void CheckAnswer(std::string_view request, const std::vector<kv::ParsedRead>& reads,
                 std::size_t max_bytes) {
  test::FakeEngine engine(StoredKeys());
  const Result<Bytes> answer = kv::Read(engine, kv::ReadTier::kAll, request, max_bytes);
  if (!answer.ok()) {
    return CheckRefusal(answer.status(), {Code::kInvalidArgument, Code::kCompacted});
  }
  const Result<std::vector<kv::ReadAnswer>> results = kv::DecodeReadResponse(answer->view());
  RAFTKV_CHECK(results.ok(), results.status().ToString());
  RAFTKV_CHECK(results->size() == reads.size(), results->size(), reads.size());
  for (std::size_t i = 0; i < reads.size(); ++i) CheckPairs(reads[i], (*results)[i]);
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(read_request) {
  static constexpr auto kRefusals = {Code::kInvalidArgument, Code::kVersionMismatch};
  kv::MessageBytes storage;
  std::vector<kv::ParsedRead> reads;
  const Status parsed = kv::ParseReadRequest(input, kLimits.max_operations, storage, reads);
  const Status valid = kv::ValidateReadRequest(input, kLimits);
  if (!valid.ok()) CheckRefusal(valid, kRefusals);
  if (!parsed.ok()) {
    CheckRefusal(parsed, kRefusals);
    RAFTKV_CHECK(!valid.ok());
    return;
  }
  if (!valid.ok()) return;
  RAFTKV_CHECK(!reads.empty());
  CheckEncoding(reads);
  CheckAnswer(input, reads, 1 << 20);
  CheckAnswer(input, reads, 256);
}
