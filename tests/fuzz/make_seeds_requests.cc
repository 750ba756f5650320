// The seeds of requests: of writes and of reads.
#include <optional>
#include <string>
#include <vector>

#include <raftkv/kv.h>

#include "lib/kv/request.h"
#include "lib/kv/watch.h"
#include "tests/fuzz/make_seeds.h"

namespace raftkv::fuzz {
namespace {

TxnRequest PlainTxn() {
  TxnRequest txn;
  txn.compares = {Compare::Value("a", Compare::kEqual, "value of a"),
                  Compare::Exists("b"),
                  Compare::ModRevision("k", Compare::kLess, 9).WithPrefix(),
                  Compare::CreateRevision("z", Compare::kNotEqual, 7),
                  Compare::Lease("n", Compare::kEqual, 0),
                  Compare::Missing("q")};
  ScanOptions options;
  options.limit = 2;
  options.order = OrderBy::kValue;
  options.reverse = true;
  options.min_mod_revision = 1;
  txn.success = {Op::Put("p", "1").WithPrevious(), Op::Get("a"),
                 Op::Range(KeyRange::Prefix("k"), options), Op::Increment("n", -3)};
  txn.failure = {Op::Delete("a").WithPrevious(), Op::DeleteRange({"k", "l"})};
  return txn;
}

TxnRequest NestedTxn(std::size_t depth) {
  TxnRequest txn;
  txn.compares = {Compare::Exists("a")};
  txn.success = {Op::Put("depth" + std::to_string(depth), "v")};
  if (depth > 1) txn.success.push_back(Op::Txn(NestedTxn(depth - 1)));
  txn.failure = {Op::Get("a")};
  return txn;
}

void SeedRequest(const std::string& name, const std::vector<kv::Operation>& operations,
                 const std::vector<std::size_t>& calls = {}) {
  const kv::RequestHeader header{.session = 0x1122334455667788,
                                 .opened_at_ms = 1'000'000,
                                 .sequence = 3,
                                 .acknowledged_below = 2};
  const Bytes bytes = kv::EncodeRequest(header, operations, calls);
  Seed("request", name, bytes.view());
  Seed("command", name, bytes.view());
}

void SeedUpdates() {
  const kv::PutOp keeps_value{.key = "a", .value = "", .keep_value = true};
  const kv::PutOp keeps_lease{.key = "a", .value = "w", .keep_lease = true};
  SeedRequest("update", {keeps_value, keeps_lease});
  SeedRequest("update-previous", {kv::PutOp{.key = "a",
                                            .value = "",
                                            .return_previous = true,
                                            .keep_value = true,
                                            .keep_lease = true}});
  SeedRequest("update-missing", {kv::PutOp{.key = "new", .value = "", .keep_value = true}});
  SeedRequest("update-value-twice", {kv::PutOp{.key = "a", .value = "w", .keep_value = true}});
  const std::vector<Op> updates = {Op::Put("a", "").WithKeptValue().WithKeptLease(), Op::Get("a"),
                                   Op::Put("n", "7").WithKeptLease().WithPrevious()};
  SeedRequest("txn-update", {kv::TxnOp{{{}, updates, {}}}});
  SeedRequest("txn-update-missing", {kv::TxnOp{{{}, {Op::Put("new", "").WithKeptValue()}, {}}}});
}

void SeedLeases() {
  using kv::Range;
  const kv::Operation grant = kv::GrantLeaseOp{7, 1'000};
  SeedRequest("grant", {grant});
  SeedRequest("grant-chosen", {kv::GrantLeaseOp{0, 60'000}});
  SeedRequest("grant-too-short", {kv::GrantLeaseOp{7, 99}});
  SeedRequest("grant-too-large-number", {kv::GrantLeaseOp{kMaxLeaseId + 1, 1'000}});
  SeedRequest("grant-twice", {grant, grant});
  SeedRequest("renew", {grant, kv::RenewLeasesOp{{7, 8, 7}}});
  SeedRequest("renew-nothing", {kv::RenewLeasesOp{}});
  SeedRequest("revoke-missing", {kv::RevokeLeaseOp{7}});
  SeedRequest("put-lease-missing", {kv::PutOp{"a", "v", true, 9}});
  SeedRequest("attach-and-revoke",
              {grant, kv::PutOp{"x", "1", false, 7}, kv::IncrementOp{"n", 1, 7},
               kv::CompareAndSwapOp{"new", std::nullopt, "w", false, 7}, kv::PutOp{"x", "2"},
               kv::DeleteOp{Range::Single("n")}, kv::RevokeLeaseOp{7}});
  SeedRequest("txn-lease", {grant, kv::TxnOp{{{Compare::Lease("a", Compare::kEqual, 0)},
                                              {Op::Put("a", "1", 7), Op::Get("a")},
                                              {}}}});
  SeedRequest("txn-lease-missing", {kv::TxnOp{{{}, {Op::Put("a", "1", 9)}, {}}}});
}

}  // namespace

void SeedRequests() {
  using kv::Range;
  const Range bounded = Range::From({"k1", "k3"});
  const Range unbounded = Range::From(KeyRange::FromKey("k"));
  const Range nothing{Range::Kind::kBounded, "b", ""};
  SeedRequest("put", {kv::PutOp{"key", "value"}});
  SeedRequest("put-previous", {kv::PutOp{"a", "2", true}});
  SeedRequest("put-empty-value", {kv::PutOp{"key", ""}});
  SeedRequest("delete", {kv::DeleteOp{Range::Single("a")}});
  SeedRequest("delete-range", {kv::DeleteOp{bounded, true}});
  SeedRequest("delete-unbounded", {kv::DeleteOp{unbounded}});
  SeedRequest("delete-nothing", {kv::DeleteOp{nothing}});
  SeedRequest("swap", {kv::CompareAndSwapOp{"a", "value of a", "w"}});
  SeedRequest("swap-create", {kv::CompareAndSwapOp{"new", std::nullopt, "w"}});
  SeedRequest("swap-fails", {kv::CompareAndSwapOp{"a", "x", "w", true}});
  SeedRequest("increment", {kv::IncrementOp{"n", 1}});
  SeedRequest("increment-overflow", {kv::IncrementOp{"n", INT64_MAX}});
  SeedRequest("increment-of-text", {kv::IncrementOp{"a", 1}});
  SeedRequest("empty-key", {kv::PutOp{"", "value"}});
  SeedRequest("compact", {kv::CompactOp{5}});
  SeedRequest("compact-future", {kv::CompactOp{1'000'000}});
  SeedRequest("compact-not-alone", {kv::CompactOp{5}, kv::PutOp{"x", "1"}});
  SeedRequest("setting", {kv::SettingOp{"history", "5m"}});
  SeedRequest("setting-unknown", {kv::SettingOp{"no-such-setting", "5m"}});
  Seed("command", "compact-of-leader", kv::EncodeCompact(5).view());
  Seed("command", "expire-of-leader", kv::EncodeExpire().view());
  Seed("request", "expire-of-client", kv::EncodeExpire().view());
  SeedLeases();
  SeedUpdates();
  SeedRequest("several", {kv::PutOp{"x", "1"}, kv::DeleteOp{Range::Single("x")},
                          kv::IncrementOp{"n", 2}, kv::PutOp{"x", "2"}});
  SeedRequest("calls", {kv::PutOp{"x", "1"}, kv::PutOp{"y", "1"}, kv::IncrementOp{"n", 2}}, {2, 1});
  SeedRequest("txn", {kv::TxnOp{PlainTxn()}});
  SeedRequest("txn-empty", {kv::TxnOp{}});
  SeedRequest("txn-nested", {kv::TxnOp{NestedTxn(kv::kMaxTxnDepth)}});
  SeedRequest("txn-too-deep", {kv::TxnOp{NestedTxn(kv::kMaxTxnDepth + 1)}});
  SeedRequest("txn-same-key", {kv::TxnOp{{{}, {Op::Put("a", "1"), Op::Put("a", "2")}, {}}}});
  SeedRequest("txn-put-in-range",
              {kv::TxnOp{{{}, {Op::Put("k1", "1"), Op::DeleteRange({"k", "l"})}, {}}}});
  std::vector<kv::Operation> ranges(kv::kMaxWholeRanges + 1, kv::DeleteOp{bounded});
  SeedRequest("ranges-too-many", ranges);
  ranges.pop_back();
  SeedRequest("ranges-as-many", ranges);
}

void SeedReads() {
  const auto seed = [](const std::string& name, const std::vector<kv::ReadOp>& reads) {
    Seed("read_request", name, kv::EncodeReadRequest(reads).view());
  };
  ScanOptions sorted;
  sorted.order = OrderBy::kModRevision;
  sorted.reverse = true;
  sorted.limit = 3;
  ScanOptions backwards;
  backwards.reverse = true;
  ScanOptions filtered;
  filtered.min_mod_revision = 2;
  filtered.max_mod_revision = 5;
  filtered.min_create_revision = 1;
  filtered.max_create_revision = 9;
  filtered.keys_only = true;
  filtered.page_bytes = 100;
  ScanOptions counted;
  counted.count_only = true;
  counted.revision = 10;
  kv::ReadOp get{.range = kv::Range::Single("a")};
  kv::ReadOp page = kv::ReadOp::From({"k1", "k9"}, {});
  page.revision = 9;
  page.max_bytes = 100;
  kv::ReadOp settings;
  settings.range = kv::Range::From({});
  settings.settings = true;
  kv::ReadOp uncounted = kv::ReadOp::From(KeyRange::Prefix("k"), {});
  uncounted.uncounted = true;
  uncounted.limit = 1;
  kv::ReadOp lease;
  lease.lease = 7;
  kv::ReadOp leases;
  leases.leases_from = 1;
  seed("lease-keys", {lease});
  lease.range = kv::Range::From({"k1", "k9"});
  seed("lease-keys-page", {lease});
  lease.count_only = true;
  seed("lease", {lease, get});
  seed("leases", {leases});
  seed("get", {get});
  seed("get-many", {get, {.range = kv::Range::Single("nothing")}, get});
  seed("all", {kv::ReadOp::From({}, {})});
  seed("prefix", {kv::ReadOp::From(KeyRange::Prefix("k"), {})});
  seed("sorted", {kv::ReadOp::From({}, sorted)});
  seed("backwards", {kv::ReadOp::From({"a", "z"}, backwards)});
  seed("filtered", {kv::ReadOp::From({}, filtered)});
  seed("counted", {kv::ReadOp::From({}, counted)});
  seed("uncounted", {uncounted});
  seed("page", {page});
  seed("settings", {settings});
  seed("mixed", {get, uncounted, kv::ReadOp::From({}, sorted)});
  seed("empty-key", {{.range = kv::Range::Single("")}});
  seed("none", {});
}

void SeedWatches() {
  const auto request = [](const std::string& name, const kv::WatchOp& op) {
    Seed("watch", 0, name, kv::EncodeWatchRequest(op).view());
  };
  kv::WatchOp op;
  op.range = kv::Range::Single("key");
  request("from-now-on", op);
  op.range = {kv::Range::Kind::kBounded, "a", "b"};
  op.position = {.next = 7, .delivered = 2};
  op.resumes = true;
  op.previous = true;
  request("resumed", op);
  op.range = {kv::Range::Kind::kUnbounded, "", ""};
  op.deletes = false;
  op.max_bytes = 100;
  request("all-puts", op);
  op.puts = false;
  request("nothing", op);

  const auto response = [](const std::string& name, const std::vector<kv::WatchEventView>& events,
                           const WatchPosition& position) {
    const Bytes bytes = kv::EncodeWatchResponse(events, position, 12);
    Seed("watch", 1, name, bytes.view());
    Seed("watch", 2, name + "-from-5", bytes.view());
    Seed("watch", 3, name + "-from-1000", bytes.view());
  };
  response("progress", {}, {.next = 13, .delivered = 0});
  kv::WatchEventView put;
  put.revision = 5;
  put.key = "key";
  put.value = "value";
  put.counts = {.mod_revision = 5, .create_revision = 3, .version = 2, .lease = 7};
  put.previous = {.value = "before",
                  .counts = {.mod_revision = 4, .create_revision = 3, .version = 1}};
  kv::WatchEventView deleted;
  deleted.revision = 6;
  deleted.kind = kv::ChangeKind::kDelete;
  deleted.key = "other";
  response("events", {put, deleted}, {.next = 7, .delivered = 0});
  response("within-a-revision", {put, deleted}, {.next = 6, .delivered = 1});
  response("out-of-order", {deleted, put}, {.next = 7, .delivered = 0});
  response("beyond-the-position", {put, deleted}, {.next = 6, .delivered = 0});
}

}  // namespace raftkv::fuzz
