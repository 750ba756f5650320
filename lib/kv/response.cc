#include "lib/kv/response.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "lib/kv/command.capnp.h"
#include "lib/kv/message_reader.h"

namespace raftkv::kv {
namespace {

constexpr auto kLastCode = static_cast<std::uint16_t>(Code::kCancelled);

Status CheckAnswer(std::uint16_t version, std::uint16_t code) {
  if (version == kRequestFormatVersion && code <= kLastCode) return Status::Ok();
  return {Code::kCorruption, "the response has format version " + std::to_string(version) +
                                 " and code " + std::to_string(code) +
                                 ", which this version does not know"};
}

/// What a reader of a response calls malformed is damage, not a wrong argument.
Status AsCorruption(Status status) {
  if (status.code() != Code::kInvalidArgument) return status;
  return {Code::kCorruption, status.message()};
}

/// Whatever a broken peer says, it can be counted on with.
std::chrono::milliseconds MsFrom(std::uint64_t ms) {
  const auto most = static_cast<std::uint64_t>(kMaxLeaseTtl.count());
  return std::chrono::milliseconds(std::min(ms, most));
}

std::string FromText(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

KeyValue FromKeyValue(wire::KeyValue::Reader kv) {
  return {std::string(FromData(kv.getKey())),
          std::string(FromData(kv.getValue())),
          kv.getModRevision(),
          kv.getCreateRevision(),
          kv.getVersion(),
          kv.getLease()};
}

LeaseInfo FromLease(wire::LeaseInfo::Reader lease) {
  LeaseInfo info;
  info.id = lease.getId();
  info.ttl = MsFrom(lease.getTtlMs());
  info.remaining = MsFrom(lease.getRemainingMs());
  for (const auto key : lease.getKeys()) info.keys.emplace_back(FromData(key));
  return info;
}

void DecodeScan(wire::ReadResult::Reader result, std::uint64_t revision, ScanResult& out) {
  const auto kvs = result.getKvs();
  out.kvs.reserve(kvs.size());
  for (const auto kv : kvs) out.kvs.push_back(FromKeyValue(kv));
  for (const auto setting : result.getSettings()) {
    KeyValue& pair = out.kvs.emplace_back();
    pair.key = FromText(setting.getName());
    pair.value = FromText(setting.getValue());
  }
  out.count = result.getCount();
  out.more = result.getMore();
  out.revision = revision;
}

/// A transaction's reads belong to the revision of its call, which the response does not repeat.
constexpr std::uint64_t kRevisionOfCall = 0;

Status DecodeTxn(wire::TxnResult::Reader from, TxnOutcome& out);

Status DecodeResult(wire::OperationResult::Reader from, OperationResult& out) {
  const std::uint16_t code = from.getCode();
  if (Status status = CheckAnswer(kRequestFormatVersion, code); !status.ok()) return status;
  out.code = static_cast<Code>(code);
  out.message = FromText(from.getMessage());
  out.number = from.getNumber();
  out.changed = from.getChanged();
  for (const auto kv : from.getPrevious()) out.previous.push_back(FromKeyValue(kv));
  for (const auto lease : from.getLeases()) out.leases.push_back(FromLease(lease));
  if (!from.hasTxn()) return Status::Ok();
  out.txn = std::make_shared<TxnOutcome>();
  return DecodeTxn(from.getTxn(), *out.txn);
}

Status DecodeTxn(wire::TxnResult::Reader from, TxnOutcome& out) {
  out.succeeded = from.getSucceeded();
  const auto results = from.getResults();
  out.results.resize(results.size());
  for (unsigned i = 0; i < results.size(); ++i) {
    if (results[i].isRead()) {
      DecodeScan(results[i].getRead(), kRevisionOfCall, out.results[i].read.emplace());
      continue;
    }
    if (!results[i].isWrite()) return {Code::kCorruption, "an unknown kind of result"};
    Status status = DecodeResult(results[i].getWrite(), out.results[i].write);
    if (!status.ok()) return status;
  }
  return Status::Ok();
}

Status DecodeResults(capnp::List<wire::OperationResult>::Reader list, std::size_t operations,
                     Response& out) {
  if (list.size() == 0) {
    if (out.code == Code::kOk) {
      out.results.assign(operations,
                         {.code = Code::kOk, .message = {}, .number = 0, .changed = true});
    }
    return Status::Ok();
  }
  if (list.size() != operations) {
    return {Code::kCorruption, "the response has " + std::to_string(list.size()) + " results for " +
                                   std::to_string(operations) + " operations"};
  }
  out.results.resize(operations);
  for (unsigned i = 0; i < list.size(); ++i) {
    if (Status status = DecodeResult(list[i], out.results[i]); !status.ok()) return status;
  }
  return Status::Ok();
}

std::size_t WordsOf(const std::vector<KeyValue>& kvs) {
  std::size_t words = ListWords(kvs.size());
  for (const KeyValue& kv : kvs) {
    words += capnp::sizeInWords<wire::KeyValue>() + DataWords(kv.key.size()) +
             DataWords(kv.value.size());
  }
  return words;
}

std::size_t WordsOf(const OperationResult& result) {
  std::size_t words = capnp::sizeInWords<wire::OperationResult>() +
                      TextWords(result.message.size()) + WordsOf(result.previous) +
                      ListWords(result.leases.size()) +
                      result.leases.size() * capnp::sizeInWords<wire::LeaseInfo>();
  if (result.txn == nullptr) return words;
  words += capnp::sizeInWords<wire::TxnResult>() + ListWords(result.txn->results.size());
  for (const TxnOperationResult& each : result.txn->results) {
    words += capnp::sizeInWords<wire::TxnOperationResult>();
    words += each.read.has_value()
                 ? capnp::sizeInWords<wire::ReadResult>() + WordsOf(each.read->kvs)
                 : WordsOf(each.write);
  }
  return words;
}

void Fill(const std::vector<KeyValue>& kvs, capnp::List<wire::KeyValue>::Builder out) {
  for (unsigned i = 0; i < out.size(); ++i) {
    out[i].setKey(ToData(kvs[i].key));
    out[i].setValue(ToData(kvs[i].value));
    out[i].setModRevision(kvs[i].mod_revision);
    out[i].setCreateRevision(kvs[i].create_revision);
    out[i].setVersion(kvs[i].version);
    out[i].setLease(kvs[i].lease);
  }
}

void Fill(const OperationResult& result, wire::OperationResult::Builder out) {
  out.setCode(static_cast<std::uint16_t>(result.code));
  if (!result.message.empty()) out.setMessage(ToText(result.message));
  out.setNumber(result.number);
  out.setChanged(result.changed);
  const auto size = [](const auto& list) { return static_cast<unsigned>(list.size()); };
  if (!result.previous.empty()) Fill(result.previous, out.initPrevious(size(result.previous)));
  if (!result.leases.empty()) {
    auto leases = out.initLeases(size(result.leases));
    for (unsigned i = 0; i < leases.size(); ++i) {
      leases[i].setId(result.leases[i].id);
      leases[i].setTtlMs(static_cast<std::uint64_t>(result.leases[i].ttl.count()));
      leases[i].setRemainingMs(static_cast<std::uint64_t>(result.leases[i].remaining.count()));
    }
  }
  if (result.txn == nullptr) return;
  auto txn = out.initTxn();
  txn.setSucceeded(result.txn->succeeded);
  if (result.txn->results.empty()) return;
  auto results = txn.initResults(size(result.txn->results));
  for (unsigned i = 0; i < results.size(); ++i) {
    const TxnOperationResult& each = result.txn->results[i];
    if (!each.read.has_value()) {
      Fill(each.write, results[i].initWrite());
      continue;
    }
    auto read = results[i].initRead();
    read.setCount(each.read->count);
    read.setMore(each.read->more);
    if (!each.read->kvs.empty()) Fill(each.read->kvs, read.initKvs(size(each.read->kvs)));
  }
}

}  // namespace

Bytes EncodeResponse(const Response& response) {
  std::size_t words = capnp::sizeInWords<wire::Response>() + TextWords(response.message.size()) + 1;
  for (const OperationResult& result : response.results) words += WordsOf(result);
  return BuildMessage(words, [&](capnp::MessageBuilder& message) {
    auto out = message.initRoot<wire::Response>();
    out.setFormatVersion(kRequestFormatVersion);
    out.setCode(static_cast<std::uint16_t>(response.code));
    if (!response.message.empty()) out.setMessage(ToText(response.message));
    out.setRevision(response.revision);
    if (response.results.empty()) return;
    auto results = out.initResults(static_cast<unsigned>(response.results.size()));
    for (unsigned i = 0; i < results.size(); ++i) Fill(response.results[i], results[i]);
  });
}

Result<Response> DecodeResponse(std::string_view bytes, std::size_t operations) {
  Response response;
  MessageBytes storage;
  const auto visit = [&](wire::Response::Reader in) {
    const std::uint16_t code = in.getCode();
    if (Status status = CheckAnswer(in.getFormatVersion(), code); !status.ok()) return status;
    response.code = static_cast<Code>(code);
    response.message = FromText(in.getMessage());
    response.revision = in.getRevision();
    return DecodeResults(in.getResults(), operations, response);
  };
  Status status = ReadMessage<wire::Response>(bytes, storage, "response", visit);
  if (!status.ok()) return AsCorruption(std::move(status));
  return response;
}

Index IndexOfReadResponse(std::string_view bytes) {
  MessageBytes storage;
  Index index;
  const auto visit = [&](wire::ReadResponse::Reader in) {
    index = Index(in.getIndex());
    return Status::Ok();
  };
  const Status read = ReadMessage<wire::ReadResponse>(bytes, storage, "read response", visit);
  return read.ok() ? index : Index();
}

Result<std::vector<ReadAnswer>> DecodeReadResponse(std::string_view bytes) {
  std::vector<ReadAnswer> results;
  MessageBytes storage;
  Status answer;
  const auto visit = [&](wire::ReadResponse::Reader in) {
    const std::uint16_t code = in.getCode();
    if (Status status = CheckAnswer(in.getFormatVersion(), code); !status.ok()) return status;
    if (code != 0) {
      answer = {static_cast<Code>(code), FromText(in.getMessage())};
      return Status::Ok();
    }
    const std::uint64_t revision = in.getRevision();
    const auto list = in.getResults();
    results.resize(list.size());
    for (unsigned i = 0; i < list.size(); ++i) {
      DecodeScan(list[i], revision, results[i]);
      for (const auto lease : list[i].getLeases()) results[i].leases.push_back(FromLease(lease));
    }
    return Status::Ok();
  };
  Status status = ReadMessage<wire::ReadResponse>(bytes, storage, "read response", visit);
  if (!status.ok()) return AsCorruption(std::move(status));
  if (!answer.ok()) return answer;
  return results;
}

}  // namespace raftkv::kv
