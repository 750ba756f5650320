#include "lib/kv/parse.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "lib/kv/command.capnp.h"
#include "lib/kv/lease_table.h"

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

Status ParseOrder(wire::Order::Reader order, Order& out) {
  out.descending = order.getDescending();
  out.min_mod_revision = order.getMinModRevision();
  out.max_mod_revision = order.getMaxModRevision();
  out.min_create_revision = order.getMinCreateRevision();
  out.max_create_revision = order.getMaxCreateRevision();
  switch (order.getBy()) {
    case wire::Order::By::KEY: out.by = OrderBy::kKey; return Status::Ok();
    case wire::Order::By::MOD_REVISION: out.by = OrderBy::kModRevision; return Status::Ok();
    case wire::Order::By::CREATE_REVISION: out.by = OrderBy::kCreateRevision; return Status::Ok();
    case wire::Order::By::VERSION: out.by = OrderBy::kVersion; return Status::Ok();
    case wire::Order::By::VALUE: out.by = OrderBy::kValue; return Status::Ok();
  }
  return UnknownKind("an order");
}

Status ParseRead(wire::Read::Reader read, ParsedRead& out) {
  if (Status status = ParseRange(read.getRange(), out.range); !status.ok()) return status;
  switch (read.which()) {
    case wire::Read::KEYS:
    case wire::Read::SETTINGS: break;
    case wire::Read::LEASE: out.lease = read.getLease(); break;
    case wire::Read::LEASES: out.leases_from = read.getLeases(); break;
    default: return UnknownKind("a kind of read");
  }
  out.limit = read.getLimit();
  out.keys_only = read.getKeysOnly();
  out.count_only = read.getCountOnly();
  out.uncounted = read.getUncounted();
  out.max_bytes = read.getMaxBytes();
  out.settings = read.isSettings();
  if (read.isKeys()) {
    out.revision = read.getKeys().getRevision();
    if (read.getKeys().hasOrder()) {
      Status status = ParseOrder(read.getKeys().getOrder(), out.order);
      if (!status.ok()) return status;
    }
  }
  return Status::Ok();
}

Status ParseCompare(wire::Compare::Reader compare, ParsedCompare& out) {
  if (Status status = ParseRange(compare.getRange(), out.range); !status.ok()) return status;
  switch (compare.getOperator()) {
    case wire::Compare::Operator::EQUAL: out.op = Compare::kEqual; break;
    case wire::Compare::Operator::NOT_EQUAL: out.op = Compare::kNotEqual; break;
    case wire::Compare::Operator::LESS: out.op = Compare::kLess; break;
    case wire::Compare::Operator::GREATER: out.op = Compare::kGreater; break;
    default: return UnknownKind("an operator of a compare");
  }
  const auto number = [&out](Compare::Target target, std::uint64_t value) {
    out.target = target;
    out.number = value;
    return Status::Ok();
  };
  switch (compare.which()) {
    case wire::Compare::VALUE:
      out.target = Compare::Target::kValue;
      out.value = FromData(compare.getValue());
      return Status::Ok();
    case wire::Compare::MOD_REVISION:
      return number(Compare::Target::kModRevision, compare.getModRevision());
    case wire::Compare::CREATE_REVISION:
      return number(Compare::Target::kCreateRevision, compare.getCreateRevision());
    case wire::Compare::VERSION: return number(Compare::Target::kVersion, compare.getVersion());
    case wire::Compare::LEASE: return number(Compare::Target::kLease, compare.getLease());
  }
  return UnknownKind("a target of a compare");
}

/// Operations are counted before they take memory.
class OperationCount {
 public:
  explicit OperationCount(std::size_t max) : max_(max) {}
  Status Add(std::size_t operations) {
    sum_ += operations;
    return CheckCount(sum_, max_, "operations");
  }

 private:
  const std::size_t max_;
  std::size_t sum_ = 0;
};

Status ParseTxn(wire::Txn::Reader txn, std::size_t depth, OperationCount& count, ParsedTxn& out);

Status ParseLease(wire::LeaseOperation::Reader operation, OperationCount& count,
                  ParsedOperation& out) {
  switch (operation.which()) {
    case wire::LeaseOperation::GRANT: {
      const auto grant = operation.getGrant();
      out.kind = ParsedOperation::Kind::kGrantLease;
      out.lease = grant.getGrantId();
      out.ttl_ms = grant.getTtlMs();
      if (Status status = CheckLeaseId(out.lease); !status.ok()) return status;
      return CheckLeaseTtl(out.ttl_ms);
    }
    case wire::LeaseOperation::RENEW: {
      out.kind = ParsedOperation::Kind::kRenewLeases;
      const auto leases = operation.getRenew();
      // It counts for one operation as it is.
      if (leases.size() == 0) return {Code::kInvalidArgument, "a keep-alive names no lease"};
      if (Status status = count.Add(leases.size() - 1); !status.ok()) return status;
      out.leases.reserve(leases.size());
      for (const std::uint64_t id : leases) out.leases.push_back(id);
      return Status::Ok();
    }
    case wire::LeaseOperation::REVOKE:
      out.kind = ParsedOperation::Kind::kRevokeLease;
      out.lease = operation.getRevoke();
      return Status::Ok();
    case wire::LeaseOperation::EXPIRE:
      out.kind = ParsedOperation::Kind::kExpire;
      return Status::Ok();
  }
  return UnknownKind("an operation on leases");
}

Status ParseUpdate(wire::Operation::Update::Reader update, ParsedOperation& out) {
  out.kind = ParsedOperation::Kind::kPut;
  out.range.begin = FromData(update.getUpdateKey());
  out.value = FromData(update.getUpdateValue());
  out.lease = update.getUpdateLease();
  out.keep_value = update.getKeepValue();
  out.keep_lease = update.getKeepLease();
  if (!out.Keeps()) {
    return {Code::kInvalidArgument, "an update keeps neither value nor lease: send a put"};
  }
  return CheckKept(out);
}

Status ParseOperation(wire::Operation::Reader operation, std::size_t depth, OperationCount& count,
                      ParsedOperation& out) {
  out.same_call = operation.getSameCall();
  out.return_previous = operation.getReturnPrevious();
  switch (operation.which()) {
    case wire::Operation::PUT: {
      const auto put = operation.getPut();
      out.kind = ParsedOperation::Kind::kPut;
      out.range.begin = FromData(put.getPutKey());
      out.value = FromData(put.getPutValue());
      out.lease = put.getPutLease();
      return Status::Ok();
    }
    case wire::Operation::UPDATE: return ParseUpdate(operation.getUpdate(), out);
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
      out.lease = cas.getCasLease();
      return Status::Ok();
    }
    case wire::Operation::INCREMENT: {
      const auto increment = operation.getIncrement();
      out.kind = ParsedOperation::Kind::kIncrement;
      out.range.begin = FromData(increment.getIncrementKey());
      out.delta = increment.getDelta();
      out.lease = increment.getIncrementLease();
      return Status::Ok();
    }
    case wire::Operation::TXN: {
      out.kind = ParsedOperation::Kind::kTxn;
      const auto txn = std::make_shared<ParsedTxn>();
      out.txn = txn;
      return ParseTxn(operation.getTxn(), depth + 1, count, *txn);
    }
    case wire::Operation::LEASE: return ParseLease(operation.getLease(), count, out);
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

bool MayStandInTxn(const ParsedOperation& operation) {
  return !operation.IsUpkeep() && !operation.IsOfLease() &&
         operation.kind != ParsedOperation::Kind::kExpire;
}

Status ParseTxnOperation(wire::TxnOperation::Reader operation, std::size_t depth,
                         OperationCount& count, ParsedTxnOperation& out) {
  switch (operation.which()) {
    case wire::TxnOperation::READ: {
      out.is_read = true;
      const auto read = operation.getRead();
      if (!read.isKeys()) return UnknownKind("a read of a transaction");
      return ParseRead(read, out.read);
    }
    case wire::TxnOperation::WRITE: break;
    default: return UnknownKind("an operation of a transaction");
  }
  Status status = ParseOperation(operation.getWrite(), depth, count, out.write);
  if (status.ok() && !MayStandInTxn(out.write)) {
    return {Code::kInvalidArgument,
            "a transaction has an operation on leases, a compact or a setting in it: send it by "
            "itself"};
  }
  if (!status.ok() || out.write.kind != ParsedOperation::Kind::kCompareAndSwap) return status;
  return {Code::kInvalidArgument,
          "a transaction has a compare and swap in it: use a transaction with a compare instead"};
}

Status ParseTxn(wire::Txn::Reader txn, std::size_t depth, OperationCount& count, ParsedTxn& out) {
  if (depth > kMaxTxnDepth) {
    return {Code::kInvalidArgument,
            "the transactions are nested too deep, the limit is " + std::to_string(kMaxTxnDepth)};
  }
  const auto compares = txn.getCompares();
  if (Status status = count.Add(compares.size()); !status.ok()) return status;
  out.compares.resize(compares.size());
  for (unsigned i = 0; i < compares.size(); ++i) {
    if (Status status = ParseCompare(compares[i], out.compares[i]); !status.ok()) return status;
  }
  const auto parse = [&](capnp::List<wire::TxnOperation>::Reader from,
                         std::vector<ParsedTxnOperation>& to) {
    if (Status status = count.Add(from.size()); !status.ok()) return status;
    to.resize(from.size());
    for (unsigned i = 0; i < from.size(); ++i) {
      Status status = ParseTxnOperation(from[i], depth, count, to[i]);
      if (!status.ok()) return status;
    }
    return Status::Ok();
  };
  if (Status status = parse(txn.getSuccess(), out.success); !status.ok()) return status;
  return parse(txn.getFailure(), out.failure);
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
    // A transaction counts for what it has in it, as it is read.
    std::size_t plain = 0;
    for (const auto operation : operations) plain += operation.isTxn() ? 0 : 1;
    OperationCount count(max_operations);
    if (Status status = count.Add(plain); !status.ok()) return status;
    out.operations.resize(operations.size());
    std::size_t i = 0;
    if (operations.size() > 0 && operations[0].getSameCall()) {
      return Status(Code::kInvalidArgument,
                    "the first operation says that it is of the same call as the one before it");
    }
    for (const auto operation : operations) {
      Status status = ParseOperation(operation, 0, count, out.operations[i++]);
      if (!status.ok()) return status;
      if (out.operations[i - 1].IsUpkeep() && operations.size() > 1) {
        return Status(Code::kInvalidArgument,
                      "a compact or a setting is not alone in its request: send it by itself");
      }
      if (out.operations[i - 1].kind == ParsedOperation::Kind::kExpire &&
          (operations.size() > 1 || out.header.session != 0)) {
        return Status(Code::kInvalidArgument, "only the leader by itself ends leases");
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
    std::size_t i = 0;
    for (const auto read : reads) {
      if (Status status = ParseRead(read, out[i++]); !status.ok()) return status;
    }
    return Status::Ok();
  };
  return ReadMessage<wire::ReadRequest>(bytes, storage, "read request", visit);
}

NamedRevisions RevisionsOfRequest(std::string_view request) {
  MessageBytes storage;
  NamedRevisions named{.highest = 0, .by_all = true};
  const auto visit = [&](wire::ReadRequest::Reader reads) {
    for (const auto read : reads.getReads()) {
      const std::uint64_t revision = read.isKeys() ? read.getKeys().getRevision() : 0;
      named.highest = std::max(named.highest, revision);
      named.by_all = named.by_all && revision != 0;
    }
    return Status::Ok();
  };
  const Status read = ReadMessage<wire::ReadRequest>(request, storage, "read request", visit);
  return read.ok() ? named : NamedRevisions();
}

bool OnlyDeletes(std::string_view request) {
  MessageBytes storage;
  ParsedRequest parsed;
  if (!ParseRequest(request, SIZE_MAX, storage, parsed).ok()) return false;
  const auto& operations = parsed.operations;
  return !operations.empty() &&
         std::all_of(operations.begin(), operations.end(), [](const auto& o) {
           return o.kind == ParsedOperation::Kind::kDelete ||
                  o.kind == ParsedOperation::Kind::kRenewLeases ||
                  o.kind == ParsedOperation::Kind::kRevokeLease ||
                  o.kind == ParsedOperation::Kind::kExpire ||
                  o.kind == ParsedOperation::Kind::kCompact;
         });
}

}  // namespace raftkv::kv
