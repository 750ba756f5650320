#include "lib/kv/parse.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "lib/kv/command.capnp.h"

namespace raftkv::kv {
namespace {

Status UnknownKind(const char* what) {
  return {Code::kVersionMismatch,
          std::string("the request has ") + what + " that this version does not know: upgrade it"};
}

Status CheckVersion(std::uint16_t version) {
  if (version > kRequestFormatVersion) {
    return {Code::kVersionMismatch, "the request has format version " + std::to_string(version) +
                                        ", this version knows up to " +
                                        std::to_string(kRequestFormatVersion) + ": upgrade it"};
  }
  if (version == 0) return {Code::kInvalidArgument, "the request has no format version"};
  if (version < kRequestFormatVersion) {
    return {Code::kVersionMismatch,
            "the request has format version " + std::to_string(version) + ", this version speaks " +
                std::to_string(kRequestFormatVersion) + ": upgrade the client"};
  }
  return Status::Ok();
}

Status CheckCount(std::size_t count, std::size_t max, const char* what) {
  if (count <= max) return Status::Ok();
  return {Code::kInvalidArgument, "the request has " + std::to_string(count) + " " + what +
                                      ", the limit is " + std::to_string(max)};
}

Status ParseRange(wire::KeyRange::Reader range, RangeView& out) {
  out.begin = FromData(range.getBegin());
  switch (range.which()) {
    case wire::KeyRange::SINGLE: out.kind = Range::Kind::kSingle; return Status::Ok();
    case wire::KeyRange::END:
      out.kind = Range::Kind::kBounded;
      out.end = FromData(range.getEnd());
      return Status::Ok();
    case wire::KeyRange::UNBOUNDED: out.kind = Range::Kind::kUnbounded; return Status::Ok();
  }
  return UnknownKind("a kind of range");
}

Status ParseOperation(wire::Operation::Reader operation, ParsedOperation& out) {
  out.same_call = operation.getSameCall();
  switch (operation.which()) {
    case wire::Operation::PUT: {
      const auto put = operation.getPut();
      out.kind = ParsedOperation::Kind::kPut;
      out.range.begin = FromData(put.getPutKey());
      out.value = FromData(put.getPutValue());
      return Status::Ok();
    }
    case wire::Operation::DELETE_RANGE:
      out.kind = ParsedOperation::Kind::kDelete;
      return ParseRange(operation.getDeleteRange().getRange(), out.range);
    case wire::Operation::COMPARE_AND_SWAP: {
      const auto cas = operation.getCompareAndSwap();
      out.kind = ParsedOperation::Kind::kCompareAndSwap;
      out.range.begin = FromData(cas.getCasKey());
      out.expected = FromData(cas.getExpected());
      out.expect_absent = cas.getExpectAbsent();
      out.value = FromData(cas.getDesired());
      return Status::Ok();
    }
    case wire::Operation::INCREMENT: {
      const auto increment = operation.getIncrement();
      out.kind = ParsedOperation::Kind::kIncrement;
      out.range.begin = FromData(increment.getIncrementKey());
      out.delta = increment.getDelta();
      return Status::Ok();
    }
    case wire::Operation::COMPACT:
      out.kind = ParsedOperation::Kind::kCompact;
      out.revision = operation.getCompact();
      return Status::Ok();
    case wire::Operation::SETTING: {
      const auto setting = operation.getSetting();
      out.kind = ParsedOperation::Kind::kSetting;
      out.range.begin = {setting.getName().begin(), setting.getName().size()};
      out.value = {setting.getValue().begin(), setting.getValue().size()};
      return Status::Ok();
    }
    default: break;
  }
  return UnknownKind("an operation");
}

}  // namespace

Status ParseRequest(std::string_view bytes, std::size_t max_operations, MessageBytes& storage,
                    ParsedRequest& out) {
  out.operations.clear();
  const auto visit = [&](wire::Request::Reader request) {
    if (Status status = CheckVersion(request.getFormatVersion()); !status.ok()) return status;
    out.header = {request.getSession(), request.getOpenedAtMs(), request.getSequence(),
                  request.getAcknowledgedBelow()};
    const auto operations = request.getOperations();
    if (Status status = CheckCount(operations.size(), max_operations, "operations"); !status.ok()) {
      return status;
    }
    out.operations.resize(operations.size());
    std::size_t i = 0;
    if (operations.size() > 0 && operations[0].getSameCall()) {
      return Status(Code::kInvalidArgument,
                    "the first operation says that it is of the same call as the one before it");
    }
    for (const auto operation : operations) {
      if (Status status = ParseOperation(operation, out.operations[i++]); !status.ok()) {
        return status;
      }
      if (out.operations[i - 1].IsUpkeep() && operations.size() > 1) {
        return Status(Code::kInvalidArgument,
                      "a compact or a setting is not alone in its request: send it by itself");
      }
    }
    return Status::Ok();
  };
  return ReadMessage<wire::Request>(bytes, storage, "request", visit);
}

Status ParseReadRequest(std::string_view bytes, std::size_t max_reads, MessageBytes& storage,
                        std::vector<ParsedRead>& out) {
  out.clear();
  const auto visit = [&](wire::ReadRequest::Reader request) {
    if (Status status = CheckVersion(request.getFormatVersion()); !status.ok()) return status;
    const auto reads = request.getReads();
    if (Status status = CheckCount(reads.size(), max_reads, "reads"); !status.ok()) return status;
    out.resize(reads.size());
    const ViewId view{request.getView().getTable(), request.getView().getNumber()};
    std::size_t i = 0;
    for (const auto read : reads) {
      ParsedRead& parsed = out[i++];
      if (Status status = ParseRange(read.getRange(), parsed.range); !status.ok()) return status;
      if (!read.isKeys() && !read.isSettings()) return UnknownKind("a kind of read");
      parsed.settings = read.isSettings();
      if (read.isKeys()) parsed.revision = read.getKeys().getRevision();
      parsed.limit = read.getLimit();
      parsed.keys_only = read.getKeysOnly();
      parsed.count_only = read.getCountOnly();
      parsed.view = view;
      switch (read.getHold()) {
        case wire::Hold::NEVER: parsed.hold = Hold::kNever; continue;
        case wire::Hold::WHERE_FULL: parsed.hold = Hold::kWhereFull; continue;
        case wire::Hold::ALWAYS: parsed.hold = Hold::kAlways; continue;
      }
      return UnknownKind("a way to hold a state");
    }
    return Status::Ok();
  };
  return ReadMessage<wire::ReadRequest>(bytes, storage, "read request", visit);
}

ViewId ViewOfRequest(std::string_view request) {
  MessageBytes storage;
  ViewId view;
  const auto visit = [&](wire::ReadRequest::Reader read) {
    const auto named = read.getView();
    view = {named.getTable(), named.getNumber()};
    return Status::Ok();
  };
  const Status read = ReadMessage<wire::ReadRequest>(request, storage, "read request", visit);
  return read.ok() ? view : ViewId();
}

bool OnlyDeletes(std::string_view request) {
  MessageBytes storage;
  ParsedRequest parsed;
  if (!ParseRequest(request, SIZE_MAX, storage, parsed).ok()) return false;
  const auto& operations = parsed.operations;
  return !operations.empty() &&
         std::all_of(operations.begin(), operations.end(), [](const auto& o) {
           return o.kind == ParsedOperation::Kind::kDelete ||
                  o.kind == ParsedOperation::Kind::kCompact;
         });
}

}  // namespace raftkv::kv
