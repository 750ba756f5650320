#include "lib/kv/response.h"

#include "lib/kv/command.capnp.h"
#include "lib/kv/continuation.h"
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

std::string FromText(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

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
  out.results.reserve(operations);
  for (const auto result : list) {
    const std::uint16_t code = result.getCode();
    if (Status status = CheckAnswer(kRequestFormatVersion, code); !status.ok()) return status;
    out.results.push_back({static_cast<Code>(code), FromText(result.getMessage()),
                           result.getNumber(), result.getChanged()});
  }
  return Status::Ok();
}

void DecodeScan(wire::ReadResult::Reader result, std::uint64_t revision, ViewId view,
                ScanResult& out) {
  const auto kvs = result.getKvs();
  out.kvs.reserve(kvs.size());
  for (const auto kv : kvs) {
    out.kvs.push_back({std::string(FromData(kv.getKey())), std::string(FromData(kv.getValue())),
                       kv.getModRevision(), kv.getCreateRevision(), kv.getVersion(),
                       kv.getLease()});
  }
  for (const auto setting : result.getSettings()) {
    KeyValue& pair = out.kvs.emplace_back();
    pair.key = FromText(setting.getName());
    pair.value = FromText(setting.getValue());
  }
  out.count = result.getCount();
  out.more = result.getMore();
  out.revision = revision;
  if (out.more && view.IsSet() && !out.kvs.empty()) {
    out.continuation = EncodeContinuation(view, revision, out.kvs.back().key);
  }
}

}  // namespace

Bytes EncodeResponse(const Response& response) {
  std::size_t words = capnp::sizeInWords<wire::Response>() + TextWords(response.message.size()) + 1;
  for (const OperationResult& result : response.results) {
    words += capnp::sizeInWords<wire::OperationResult>() + TextWords(result.message.size());
  }
  return BuildMessage(words, [&](capnp::MessageBuilder& message) {
    auto out = message.initRoot<wire::Response>();
    out.setFormatVersion(kRequestFormatVersion);
    out.setCode(static_cast<std::uint16_t>(response.code));
    if (!response.message.empty()) out.setMessage(ToText(response.message));
    out.setRevision(response.revision);
    if (response.results.empty()) return;
    auto results = out.initResults(static_cast<unsigned>(response.results.size()));
    for (unsigned i = 0; i < results.size(); ++i) {
      const OperationResult& result = response.results[i];
      results[i].setCode(static_cast<std::uint16_t>(result.code));
      if (!result.message.empty()) results[i].setMessage(ToText(result.message));
      results[i].setNumber(result.number);
      results[i].setChanged(result.changed);
    }
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

ViewId ViewOfReadResponse(std::string_view bytes) {
  MessageBytes storage;
  ViewId view;
  const auto visit = [&](wire::ReadResponse::Reader in) {
    const auto kept = in.getView();
    view = {kept.getTable(), kept.getNumber()};
    return Status::Ok();
  };
  const Status read = ReadMessage<wire::ReadResponse>(bytes, storage, "read response", visit);
  return read.ok() ? view : ViewId();
}

Result<std::vector<ScanResult>> DecodeReadResponse(std::string_view bytes) {
  std::vector<ScanResult> results;
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
    const ViewId view{in.getView().getTable(), in.getView().getNumber()};
    for (unsigned i = 0; i < list.size(); ++i) DecodeScan(list[i], revision, view, results[i]);
    return Status::Ok();
  };
  Status status = ReadMessage<wire::ReadResponse>(bytes, storage, "read response", visit);
  if (!status.ok()) return AsCorruption(std::move(status));
  if (!answer.ok()) return answer;
  return results;
}

}  // namespace raftkv::kv
