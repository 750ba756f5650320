// How is a transaction put together, and a swap made of one? (the public types of both)
#include <iterator>
#include <utility>

#include <raftkv/kv.h>

namespace raftkv {
namespace {

Compare OfNumber(Compare::Target target, std::string key, Compare::Operator op,
                 std::uint64_t number) {
  Compare compare;
  compare.target = target;
  compare.op = op;
  compare.key = std::move(key);
  compare.number = number;
  return compare;
}

Op OfKey(Op::Kind kind, std::string key) {
  Op op;
  op.kind = kind;
  op.key = std::move(key);
  return op;
}

Op OfRange(Op::Kind kind, KeyRange range) {
  Op op = OfKey(kind, std::move(range.begin));
  op.end = std::move(range.end);
  return op;
}

template <class T>
void Append(std::vector<T> from, std::vector<T>& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

Compare Compare::Value(std::string key, Operator op, std::string value) {
  Compare compare = OfNumber(Target::kValue, std::move(key), op, 0);
  compare.value = std::move(value);
  return compare;
}
Compare Compare::ModRevision(std::string key, Operator op, std::uint64_t revision) {
  return OfNumber(Target::kModRevision, std::move(key), op, revision);
}
Compare Compare::CreateRevision(std::string key, Operator op, std::uint64_t revision) {
  return OfNumber(Target::kCreateRevision, std::move(key), op, revision);
}
Compare Compare::Version(std::string key, Operator op, std::uint64_t version) {
  return OfNumber(Target::kVersion, std::move(key), op, version);
}
Compare Compare::Lease(std::string key, Operator op, std::uint64_t lease) {
  return OfNumber(Target::kLease, std::move(key), op, lease);
}
Compare& Compare::WithRange(std::string range_end) {
  end = std::move(range_end);
  return *this;
}
Compare& Compare::WithPrefix() { return WithRange(KeyRange::Prefix(key).end); }

Op Op::Put(std::string key, std::string value, std::uint64_t lease) {
  Op op = OfKey(Kind::kPut, std::move(key));
  op.lease = lease;
  op.value = std::move(value);
  return op;
}
Op Op::Get(std::string key) { return OfKey(Kind::kGet, std::move(key)); }
Op Op::Range(KeyRange range, ScanOptions options) {
  Op op = OfRange(Kind::kRange, std::move(range));
  op.options = std::move(options);
  return op;
}
Op Op::Delete(std::string key) { return OfKey(Kind::kDelete, std::move(key)); }
Op Op::DeleteRange(KeyRange range) { return OfRange(Kind::kDeleteRange, std::move(range)); }
Op Op::Increment(std::string key, std::int64_t delta) {
  Op op = OfKey(Kind::kIncrement, std::move(key));
  op.delta = delta;
  return op;
}
Op Op::Txn(TxnRequest txn) {
  Op op = OfKey(Kind::kTxn, {});
  op.txn.push_back(std::move(txn));
  return op;
}
Op& Op::WithPrevious() {
  return_previous = true;
  return *this;
}
Op& Op::WithKeptValue() {
  keep_value = true;
  return *this;
}
Op& Op::WithKeptLease() {
  keep_lease = true;
  return *this;
}

Transaction& Transaction::If(std::vector<Compare> compares) {
  Append(std::move(compares), request_.compares);
  return *this;
}
Transaction& Transaction::Then(std::vector<Op> operations) {
  Append(std::move(operations), request_.success);
  return *this;
}
Transaction& Transaction::Else(std::vector<Op> operations) {
  Append(std::move(operations), request_.failure);
  return *this;
}

void Transaction::CommitAsync(WriteOptions options, Callback<TxnResult> done) {
  kv_->TxnAsync(request_, options, std::move(done));
}

void KV::SwapAsync(Compare condition, std::string desired, WriteOptions options,
                   Callback<SwapResult> done) {
  if (condition.end.has_value()) {
    if (!done) return;
    return done(Status(Code::kInvalidArgument, "the condition of a swap is of one key"));
  }
  TxnRequest txn;
  txn.success = {Op::Put(condition.key, std::move(desired), options.lease)};
  txn.failure = {Op::Get(condition.key)};
  txn.compares.push_back(std::move(condition));
  TxnAsync(std::move(txn), options, [done = std::move(done)](Result<TxnResult> result) {
    if (!done) return;
    if (!result.ok()) return done(result.status());
    SwapResult swap{result->succeeded, result->revision};
    if (!swap.succeeded) {
      std::vector<KeyValue>& kvs = result->results.front().found.kvs;
      if (!kvs.empty()) swap.current = std::move(kvs.front());
    }
    done(std::move(swap));
  });
}

}  // namespace raftkv
