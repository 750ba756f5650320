#include "lib/kv/request.h"

#include <algorithm>
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

void FillRange(const Range& range, wire::KeyRange::Builder out) {
  out.setBegin(ToData(range.begin));
  switch (range.kind) {
    case Range::Kind::kSingle: out.setSingle(); return;
    case Range::Kind::kBounded: out.setEnd(ToData(range.end)); return;
    case Range::Kind::kUnbounded: out.setUnbounded(); return;
  }
}

void FillOperation(const Operation& operation, wire::Operation::Builder out) {
  std::visit(Overloaded{[&](const PutOp& op) {
                          auto put = out.initPut();
                          put.setPutKey(ToData(op.key));
                          put.setPutValue(ToData(op.value));
                        },
                        [&](const DeleteOp& op) {
                          FillRange(op.range, out.initDeleteRange().initRange());
                        },
                        [&](const CompareAndSwapOp& op) {
                          auto cas = out.initCompareAndSwap();
                          cas.setCasKey(ToData(op.key));
                          if (op.expected.has_value()) cas.setExpected(ToData(*op.expected));
                          cas.setExpectAbsent(!op.expected.has_value());
                          cas.setDesired(ToData(op.desired));
                        },
                        [&](const IncrementOp& op) {
                          auto increment = out.initIncrement();
                          increment.setIncrementKey(ToData(op.key));
                          increment.setDelta(op.delta);
                        }},
             operation);
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

void FillRead(const ReadOp& read, wire::Read::Builder out) {
  FillRange(read.range, out.initRange());
  out.setLimit(read.limit);
  out.setKeysOnly(read.keys_only);
  out.setCountOnly(read.count_only);
  out.setHold(static_cast<wire::Hold>(read.hold));
  out.setUncounted(read.uncounted);
  out.setMaxBytes(read.max_bytes);
  auto keys = out.initKeys();
  keys.setRevision(read.revision);
  if (read.order == Order()) return;
  auto order = keys.initOrder();
  order.setBy(ToWire(read.order.by));
  order.setDescending(read.order.descending);
  order.setMinModRevision(read.order.min_mod_revision);
  order.setMaxModRevision(read.order.max_mod_revision);
  order.setMinCreateRevision(read.order.min_create_revision);
  order.setMaxCreateRevision(read.order.max_create_revision);
}

}  // namespace

Range Range::From(const KeyRange& range) {
  return {range.end.empty() ? Kind::kUnbounded : Kind::kBounded, range.begin, range.end};
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
          [](const IncrementOp& op) { return DataWords(op.key.size()); }},
      operation);
  return (words + capnp::sizeInWords<wire::Operation>()) * kWordBytes;
}

std::size_t EncodedSize(const ReadOp& read) {
  const std::size_t view_words = read.view.IsSet() ? capnp::sizeInWords<wire::ViewId>() : 0;
  const std::size_t order_words =
      read.order == Order() ? 0 : std::size_t{capnp::sizeInWords<wire::Order>()};
  return (capnp::sizeInWords<wire::Read>() + RangeWords(read.range) + view_words + order_words) *
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

Bytes EncodeReadRequest(const std::vector<ReadOp>& reads) {
  const ViewId view = reads.empty() ? ViewId() : reads.front().view;
  RAFTKV_CHECK(reads.size() <= 1 || std::none_of(reads.begin(), reads.end(), [](const auto& read) {
                 return read.view.IsSet();
               }));
  std::size_t bytes = EncodedHeaderSize();
  for (const ReadOp& read : reads) bytes += EncodedSize(read);
  return BuildMessage(bytes / kWordBytes, [&](capnp::MessageBuilder& message) {
    auto request = message.initRoot<wire::ReadRequest>();
    request.setFormatVersion(kRequestFormatVersion);
    auto list = request.initReads(static_cast<unsigned>(reads.size()));
    for (unsigned i = 0; i < list.size(); ++i) FillRead(reads[i], list[i]);
    if (!view.IsSet()) return;
    auto id = request.initView();
    id.setTable(view.table);
    id.setNumber(view.number);
  });
}

}  // namespace kv
}  // namespace raftkv
