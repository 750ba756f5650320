#include "lib/kv/request.h"

#include <algorithm>

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
                        },
                        [&](const CompactOp& op) { out.setCompact(op.revision); },
                        [&](const SettingOp& op) {
                          auto setting = out.initSetting();
                          setting.setName(ToText(op.name));
                          setting.setValue(ToText(op.value));
                        }},
             operation);
}

}  // namespace

bool IsAlone(const Operation& operation) {
  return std::holds_alternative<CompactOp>(operation) ||
         std::holds_alternative<SettingOp>(operation);
}

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
          [](const IncrementOp& op) { return DataWords(op.key.size()); },
          [](const CompactOp&) { return std::size_t{0}; },
          [](const SettingOp& op) {
            return capnp::sizeInWords<wire::Setting>() + TextWords(op.name.size()) +
                   TextWords(op.value.size());
          }},
      operation);
  return (words + capnp::sizeInWords<wire::Operation>()) * kWordBytes;
}

std::size_t EncodedSize(const ReadOp& read) {
  const std::size_t view_words = read.view.IsSet() ? capnp::sizeInWords<wire::ViewId>() : 0;
  return (capnp::sizeInWords<wire::Read>() + RangeWords(read.range) + view_words) * kWordBytes;
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

Bytes EncodeCompact(std::uint64_t revision) {
  const std::size_t words =
      EncodedHeaderSize() / kWordBytes + capnp::sizeInWords<wire::Operation>();
  return BuildMessage(words, [&](capnp::MessageBuilder& message) {
    auto request = message.initRoot<wire::Request>();
    request.setFormatVersion(kRequestFormatVersion);
    request.initOperations(1)[0].setCompact(revision);
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
    for (unsigned i = 0; i < list.size(); ++i) {
      FillRange(reads[i].range, list[i].initRange());
      list[i].setLimit(reads[i].limit);
      list[i].setKeysOnly(reads[i].keys_only);
      list[i].setCountOnly(reads[i].count_only);
      list[i].setHold(static_cast<wire::Hold>(reads[i].hold));
      if (reads[i].settings) {
        list[i].setSettings();
      } else {
        list[i].initKeys().setRevision(reads[i].revision);
      }
    }
    if (!view.IsSet()) return;
    auto id = request.initView();
    id.setTable(view.table);
    id.setNumber(view.number);
  });
}

}  // namespace kv
}  // namespace raftkv
