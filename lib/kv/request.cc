#include "lib/kv/request.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/kv/command.capnp.h"
#include "lib/kv/message_builder.h"

namespace raftkv {

KeyRange KeyRange::Prefix(std::string_view prefix) {
  // The first key after all that start with `prefix`: no bound where only 0xff would remain.
  std::string end(prefix);
  while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) ++end.back();
  return {std::string(prefix), std::move(end)};
}

KeyRange KeyRange::FromKey(std::string begin) { return {std::move(begin), {}}; }

KeyRange KeyRange::Single(std::string key) {
  std::string end = key + '\0';
  return {std::move(key), std::move(end)};
}

namespace kv {
namespace {

template <class... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <class... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

std::size_t RangeWords(const Range& range) {
  return capnp::sizeInWords<wire::KeyRange>() + DataWords(range.begin.size()) +
         DataWords(range.end.size());
}

std::size_t TxnWords(const TxnRequest& txn);

std::size_t OrderWords(const Order& order) {
  return order == Order() ? 0 : std::size_t{capnp::sizeInWords<wire::Order>()};
}

std::size_t OpWords(const Op& op) {
  const std::size_t words =
      capnp::sizeInWords<wire::TxnOperation>() + capnp::sizeInWords<wire::Operation>();
  const std::size_t key = DataWords(op.key.size());
  const std::size_t range = capnp::sizeInWords<wire::KeyRange>() + key;
  switch (op.kind) {
    case Op::Kind::kPut: return words + key + DataWords(op.value.size());
    case Op::Kind::kIncrement: return words + key;
    case Op::Kind::kDelete: return words + range;
    case Op::Kind::kDeleteRange: return words + range + DataWords(op.end.size());
    case Op::Kind::kTxn: return words + TxnWords(op.txn.front());
    case Op::Kind::kGet:
    case Op::Kind::kRange: break;
  }
  const std::size_t end = op.kind == Op::Kind::kRange ? DataWords(op.end.size()) : 0;
  return capnp::sizeInWords<wire::TxnOperation>() + capnp::sizeInWords<wire::Read>() +
         OrderWords(OrderOf(op.options)) + range + end;
}

std::size_t TxnWords(const TxnRequest& txn) {
  std::size_t words = capnp::sizeInWords<wire::Txn>() + ListWords(txn.compares.size()) +
                      ListWords(txn.success.size()) + ListWords(txn.failure.size());
  for (const Compare& compare : txn.compares) {
    words += capnp::sizeInWords<wire::Compare>() + capnp::sizeInWords<wire::KeyRange>() +
             DataWords(compare.key.size()) + DataWords(compare.value.size()) +
             (compare.end.has_value() ? DataWords(compare.end->size()) : 0);
  }
  for (const Op& op : txn.success) words += OpWords(op);
  for (const Op& op : txn.failure) words += OpWords(op);
  return words;
}

void FillKeys(Range::Kind kind, std::string_view begin, std::string_view end,
              wire::KeyRange::Builder out) {
  out.setBegin(ToData(begin));
  switch (kind) {
    case Range::Kind::kSingle: out.setSingle(); return;
    case Range::Kind::kBounded: out.setEnd(ToData(end)); return;
    case Range::Kind::kUnbounded: out.setUnbounded(); return;
  }
}

void FillRange(const Range& range, wire::KeyRange::Builder out) {
  FillKeys(range.kind, range.begin, range.end, out);
}

void FillCompare(const Compare& compare, wire::Compare::Builder out) {
  FillKeys(compare.end.has_value() ? Range::KindOf(*compare.end) : Range::Kind::kSingle,
           compare.key, compare.end.value_or(std::string()), out.initRange());
  switch (compare.op) {
    case Compare::kEqual: out.setOperator(wire::Compare::Operator::EQUAL); break;
    case Compare::kNotEqual: out.setOperator(wire::Compare::Operator::NOT_EQUAL); break;
    case Compare::kLess: out.setOperator(wire::Compare::Operator::LESS); break;
    case Compare::kGreater: out.setOperator(wire::Compare::Operator::GREATER); break;
  }
  switch (compare.target) {
    case Compare::Target::kValue: out.setValue(ToData(compare.value)); return;
    case Compare::Target::kModRevision: out.setModRevision(compare.number); return;
    case Compare::Target::kCreateRevision: out.setCreateRevision(compare.number); return;
    case Compare::Target::kVersion: out.setVersion(compare.number); return;
    case Compare::Target::kLease: out.setLease(compare.number); return;
  }
}

wire::Order::By ToWire(OrderBy by) {
  switch (by) {
    case OrderBy::kKey: return wire::Order::By::KEY;
    case OrderBy::kModRevision: return wire::Order::By::MOD_REVISION;
    case OrderBy::kCreateRevision: return wire::Order::By::CREATE_REVISION;
    case OrderBy::kVersion: return wire::Order::By::VERSION;
    case OrderBy::kValue: return wire::Order::By::VALUE;
  }
  RAFTKV_CHECK(false, static_cast<int>(by));
  return wire::Order::By::KEY;
}

void FillOrder(const Order& from, wire::Read::Keys::Builder out) {
  if (from == Order()) return;
  auto order = out.initOrder();
  order.setBy(ToWire(from.by));
  order.setDescending(from.descending);
  order.setMinModRevision(from.min_mod_revision);
  order.setMaxModRevision(from.max_mod_revision);
  order.setMinCreateRevision(from.min_create_revision);
  order.setMaxCreateRevision(from.max_create_revision);
}

void FillPut(std::string_view key, std::string_view value, std::uint64_t lease,
             wire::Operation::Builder out) {
  auto put = out.initPut();
  put.setPutKey(ToData(key));
  put.setPutValue(ToData(value));
  put.setPutLease(lease);
}

/// `put`: a PutOp, or an Op of a put.
template <class Put>
void FillPutOrUpdate(const Put& put, wire::Operation::Builder out) {
  if (!put.keep_value && !put.keep_lease) return FillPut(put.key, put.value, put.lease, out);
  auto update = out.initUpdate();
  update.setUpdateKey(ToData(put.key));
  update.setUpdateValue(ToData(put.value));
  update.setUpdateLease(put.lease);
  update.setKeepValue(put.keep_value);
  update.setKeepLease(put.keep_lease);
}

void FillTxn(const TxnRequest& txn, wire::Txn::Builder out);

void FillOp(const Op& op, wire::TxnOperation::Builder out) {
  const bool is_range = op.kind == Op::Kind::kRange || op.kind == Op::Kind::kDeleteRange;
  const auto kind = is_range ? Range::KindOf(op.end) : Range::Kind::kSingle;
  if (op.kind == Op::Kind::kGet || op.kind == Op::Kind::kRange) {
    auto read = out.initRead();
    FillKeys(kind, op.key, op.end, read.initRange());
    read.setLimit(op.options.limit);
    read.setKeysOnly(op.options.keys_only);
    read.setCountOnly(op.options.count_only);
    read.setUncounted(op.options.skip_count);
    auto keys = read.initKeys();
    keys.setRevision(op.options.revision);
    return FillOrder(OrderOf(op.options), keys);
  }
  auto write = out.initWrite();
  write.setReturnPrevious(op.return_previous);
  switch (op.kind) {
    case Op::Kind::kPut: return FillPutOrUpdate(op, write);
    case Op::Kind::kIncrement: {
      auto increment = write.initIncrement();
      increment.setIncrementKey(ToData(op.key));
      increment.setDelta(op.delta);
      return;
    }
    case Op::Kind::kTxn: return FillTxn(op.txn.front(), write.initTxn());
    default: return FillKeys(kind, op.key, op.end, write.initDeleteRange().initRange());
  }
}

void FillOps(const std::vector<Op>& from, capnp::List<wire::TxnOperation>::Builder to) {
  for (unsigned i = 0; i < to.size(); ++i) FillOp(from[i], to[i]);
}

void FillTxn(const TxnRequest& txn, wire::Txn::Builder out) {
  if (!txn.compares.empty()) {
    auto compares = out.initCompares(static_cast<unsigned>(txn.compares.size()));
    for (unsigned i = 0; i < compares.size(); ++i) FillCompare(txn.compares[i], compares[i]);
  }
  const auto size = [](const auto& list) { return static_cast<unsigned>(list.size()); };
  if (!txn.success.empty()) FillOps(txn.success, out.initSuccess(size(txn.success)));
  if (!txn.failure.empty()) FillOps(txn.failure, out.initFailure(size(txn.failure)));
}

void FillOperation(const Operation& operation, wire::Operation::Builder out) {
  std::visit(Overloaded{[&](const PutOp& op) {
                          FillPutOrUpdate(op, out);
                          out.setReturnPrevious(op.return_previous);
                        },
                        [&](const DeleteOp& op) {
                          out.setReturnPrevious(op.return_previous);
                          FillRange(op.range, out.initDeleteRange().initRange());
                        },
                        [&](const CompareAndSwapOp& op) {
                          auto cas = out.initCompareAndSwap();
                          cas.setCasKey(ToData(op.key));
                          if (op.expected.has_value()) cas.setExpected(ToData(*op.expected));
                          cas.setExpectAbsent(!op.expected.has_value());
                          cas.setDesired(ToData(op.desired));
                          cas.setCasLease(op.lease);
                          out.setReturnPrevious(op.return_previous);
                        },
                        [&](const IncrementOp& op) {
                          auto increment = out.initIncrement();
                          increment.setIncrementKey(ToData(op.key));
                          increment.setDelta(op.delta);
                          increment.setIncrementLease(op.lease);
                        },
                        [&](const TxnOp& op) { FillTxn(op.txn, out.initTxn()); },
                        [&](const GrantLeaseOp& op) {
                          auto grant = out.initLease().initGrant();
                          grant.setGrantId(op.id);
                          grant.setTtlMs(op.ttl_ms);
                        },
                        [&](const RenewLeasesOp& op) {
                          auto ids =
                              out.initLease().initRenew(static_cast<unsigned>(op.ids.size()));
                          for (unsigned i = 0; i < ids.size(); ++i) ids.set(i, op.ids[i]);
                        },
                        [&](const RevokeLeaseOp& op) { out.initLease().setRevoke(op.id); },
                        [&](const CompactOp& op) { out.setCompact(op.revision); },
                        [&](const SettingOp& op) {
                          auto setting = out.initSetting();
                          setting.setName(ToText(op.name));
                          setting.setValue(ToText(op.value));
                        }},
             operation);
}

void FillRead(const ReadOp& read, wire::Read::Builder out) {
  FillRange(read.range, out.initRange());
  out.setLimit(read.limit);
  out.setKeysOnly(read.keys_only);
  out.setCountOnly(read.count_only);
  out.setUncounted(read.uncounted);
  out.setMaxBytes(read.max_bytes);
  if (read.settings) return out.setSettings();
  if (read.lease) return out.setLease(*read.lease);
  if (read.leases_from) return out.setLeases(*read.leases_from);
  auto keys = out.initKeys();
  keys.setRevision(read.revision);
  FillOrder(read.order, keys);
}

}  // namespace

bool IsAlone(const Operation& operation) {
  return std::holds_alternative<CompactOp>(operation) ||
         std::holds_alternative<SettingOp>(operation);
}

Range Range::From(const KeyRange& range) { return {KindOf(range.end), range.begin, range.end}; }

Order OrderOf(const ScanOptions& options) {
  return {.by = options.order,
          .descending = options.reverse,
          .min_mod_revision = options.min_mod_revision,
          .max_mod_revision = options.max_mod_revision,
          .min_create_revision = options.min_create_revision,
          .max_create_revision = options.max_create_revision};
}

ReadOp ReadOp::From(const KeyRange& range, const ScanOptions& options) {
  return {.range = Range::From(range),
          .limit = options.limit,
          .keys_only = options.keys_only,
          .count_only = options.count_only,
          .revision = options.revision,
          .order = OrderOf(options),
          .uncounted = options.skip_count,
          .max_bytes = options.page_bytes};
}

std::size_t EncodedSize(const Operation& operation) {
  const std::size_t words = std::visit(
      Overloaded{
          [](const PutOp& op) { return DataWords(op.key.size()) + DataWords(op.value.size()); },
          [](const DeleteOp& op) { return RangeWords(op.range); },
          [](const CompareAndSwapOp& op) {
            return DataWords(op.key.size()) + DataWords(op.desired.size()) +
                   (op.expected.has_value() ? DataWords(op.expected->size()) : 0);
          },
          [](const IncrementOp& op) { return DataWords(op.key.size()); },
          [](const TxnOp& op) { return TxnWords(op.txn); },
          [](const GrantLeaseOp&) {
            return std::size_t{capnp::sizeInWords<wire::LeaseOperation>()};
          },
          [](const RenewLeasesOp& op) {
            return capnp::sizeInWords<wire::LeaseOperation>() + ListWords(op.ids.size()) +
                   op.ids.size();
          },
          [](const RevokeLeaseOp&) {
            return std::size_t{capnp::sizeInWords<wire::LeaseOperation>()};
          },
          [](const CompactOp&) { return std::size_t{0}; },
          [](const SettingOp& op) {
            return capnp::sizeInWords<wire::Setting>() + TextWords(op.name.size()) +
                   TextWords(op.value.size());
          }},
      operation);
  return (words + capnp::sizeInWords<wire::Operation>()) * kWordBytes;
}

std::size_t EncodedSize(const ReadOp& read) {
  return (capnp::sizeInWords<wire::Read>() + RangeWords(read.range) + OrderWords(read.order)) *
         kWordBytes;
}

std::size_t EncodedHeaderSize() {
  constexpr std::size_t kListTagWords = 1;
  return (kMessageOverheadWords + capnp::sizeInWords<wire::Request>() + kListTagWords) * kWordBytes;
}

Bytes EncodeRequest(const RequestHeader& header, const std::vector<Operation>& operations,
                    const std::vector<std::size_t>& call_sizes) {
  RAFTKV_CHECK(header.session != 0);
  RAFTKV_CHECK(header.sequence != 0);
  RAFTKV_CHECK(header.acknowledged_below <= header.sequence, header.acknowledged_below);
  std::size_t bytes = EncodedHeaderSize();
  for (const Operation& operation : operations) bytes += EncodedSize(operation);
  return BuildMessage(bytes / kWordBytes, [&](capnp::MessageBuilder& message) {
    auto request = message.initRoot<wire::Request>();
    request.setFormatVersion(kRequestFormatVersion);
    request.setSession(header.session);
    request.setOpenedAtMs(header.opened_at_ms);
    request.setSequence(header.sequence);
    request.setAcknowledgedBelow(header.acknowledged_below);
    auto list = request.initOperations(static_cast<unsigned>(operations.size()));
    for (unsigned i = 0; i < list.size(); ++i) {
      FillOperation(operations[i], list[i]);
      list[i].setSameCall(!call_sizes.empty());
    }
    unsigned first = 0;
    for (const std::size_t size : call_sizes) {
      RAFTKV_CHECK(size > 0);
      RAFTKV_CHECK(first + size <= operations.size(), size, first);
      list[first].setSameCall(false);
      first += static_cast<unsigned>(size);
    }
    RAFTKV_CHECK(call_sizes.empty() || first == operations.size(), first);
  });
}

namespace {

/// A request of no session, of one operation that `fill` writes.
template <class Fill>
Bytes EncodeOfLeader(const Fill& fill) {
  const std::size_t words = EncodedHeaderSize() / kWordBytes +
                            capnp::sizeInWords<wire::Operation>() +
                            capnp::sizeInWords<wire::LeaseOperation>();
  return BuildMessage(words, [&](capnp::MessageBuilder& message) {
    auto request = message.initRoot<wire::Request>();
    request.setFormatVersion(kRequestFormatVersion);
    fill(request.initOperations(1)[0]);
  });
}

}  // namespace

Bytes EncodeCompact(std::uint64_t revision) {
  return EncodeOfLeader([revision](auto operation) { operation.setCompact(revision); });
}

Bytes EncodeExpire() {
  return EncodeOfLeader([](auto operation) { operation.initLease().setExpire(); });
}

Bytes EncodeReadRequest(const std::vector<ReadOp>& reads) {
  std::size_t bytes = EncodedHeaderSize();
  for (const ReadOp& read : reads) bytes += EncodedSize(read);
  return BuildMessage(bytes / kWordBytes, [&](capnp::MessageBuilder& message) {
    auto request = message.initRoot<wire::ReadRequest>();
    request.setFormatVersion(kRequestFormatVersion);
    auto list = request.initReads(static_cast<unsigned>(reads.size()));
    for (unsigned i = 0; i < list.size(); ++i) FillRead(reads[i], list[i]);
  });
}

}  // namespace kv
}  // namespace raftkv
