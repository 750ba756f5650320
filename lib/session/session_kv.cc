#include "lib/session/session_kv.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lib/base/host_code.h"
#include "lib/kv/continuation.h"
#include "lib/kv/refusals.h"
#include "lib/session/lease_reads.h"
#include "lib/session/multi_get.h"
#include "lib/session/read_stream.h"
#include "lib/session/session_call.h"
#include "lib/session/watch_polls.h"
#include "lib/session/write_stream.h"

namespace raftkv::node {
namespace {

Status OperationStatus(const Status& request, const kv::OperationResult* result) {
  if (!request.ok() || result->code == Code::kOk) return request;
  return {result->code, result->message};
}

/// Ends a call of which `make(revision, result)` is the value.
template <class T, class Make>
WriteCall::Finish FinishBy(Callback<T> done, Make make) {
  return [done = std::move(done), make](const Status& status, std::uint64_t revision,
                                        const kv::OperationResult* result) {
    const Status outcome = OperationStatus(status, result);
    if (!outcome.ok()) return done(outcome);
    done(make(revision, *result));
  };
}

WriteResult ToWriteResult(std::uint64_t revision, const kv::OperationResult& result) {
  if (result.previous.empty()) return {revision};
  return {revision, result.previous.front()};
}
DeleteResult ToDeleteResult(std::uint64_t revision, const kv::OperationResult& result) {
  return {static_cast<std::uint64_t>(result.number), revision, result.previous};
}
TxnResult ToTxnResult(std::uint64_t revision, const kv::OperationResult& result) {
  TxnResult txn{result.txn->succeeded, revision, {}};
  txn.results.reserve(result.txn->results.size());
  for (const kv::TxnOperationResult& each : result.txn->results) {
    OpResult& out = txn.results.emplace_back();
    if (each.read.has_value()) out.found = *each.read;
    out.found.revision = revision;
    out.found.store_revision = revision;
    if (each.read.has_value()) continue;
    out.number = each.write.number;
    out.previous = each.write.previous;
    if (each.write.txn != nullptr) out.txn.push_back(ToTxnResult(revision, each.write));
  }
  return txn;
}
IncrementResult ToIncrementResult(std::uint64_t revision, const kv::OperationResult& result) {
  return {result.number, revision};
}

/// A batch that cannot be refused is a call of several operations, any other a transaction.
bool CanBeRefused(const Batch& batch) {
  return !batch.conditions().empty() ||
         std::any_of(batch.operations().begin(), batch.operations().end(),
                     [](const Batch::Operation& operation) {
                       return operation.delta.has_value() || operation.lease != 0;
                     });
}

TxnRequest ToTxn(const Batch& batch) {
  TxnRequest txn{batch.conditions(), {}, {}};
  for (const Batch::Operation& operation : batch.operations()) {
    if (operation.delta.has_value()) {
      txn.success.push_back(Op::Increment(operation.key, *operation.delta));
    } else if (!operation.is_delete) {
      txn.success.push_back(Op::Put(operation.key, operation.value, operation.lease));
    } else if (operation.end.has_value()) {
      txn.success.push_back(Op::DeleteRange({operation.key, *operation.end}));
    } else {
      txn.success.push_back(Op::Delete(operation.key));
    }
  }
  return txn;
}

/// Gives the page that came of `continuation` the count of the pages before it.
Callback<ScanResult> WithCountOf(std::string continuation, Callback<ScanResult> done) {
  return [continuation = std::move(continuation), done = std::move(done)](Result<ScanResult> page) {
    if (page.ok()) kv::CarryCount(continuation, *page);
    done(std::move(page));
  };
}

class SessionKv final : public StoppableKv {
 public:
  SessionKv(Loop& loop, Channel& channel, const SessionKvOptions& options)
      : loop_(loop),
        limits_(options.limits),
        thrown_(SinkOf(options.log_sink)),
        budget_(std::make_shared<CallBudget>(options.max_queued_bytes)),
        writes_(std::make_shared<WriteStream>(loop, channel, options)),
        watches_(std::make_shared<WatchPolls>(loop, channel, options.seed)) {
    for (std::size_t i = 0; i < reads_.size(); ++i) {
      reads_[i] = std::make_shared<ReadStream>(loop, channel, static_cast<Consistency>(i), options);
    }
  }

  ~SessionKv() override { Stop(); }

  void Stop() override {
    writes_->Stop();
    for (const auto& reads : reads_) reads->Stop();
    watches_->Stop();
  }

  void PutAsync(std::string key, std::string value, WriteOptions options,
                Callback<WriteResult> done) override {
    WriteOne(kv::PutOp{.key = std::move(key),
                       .value = std::move(value),
                       .return_previous = options.return_previous,
                       .lease = options.lease,
                       .keep_value = options.keep_value,
                       .keep_lease = options.keep_lease},
             options, FinishWith<WriteResult>(std::move(done), ToWriteResult));
  }

  void DeleteAsync(std::string key, WriteOptions options, Callback<DeleteResult> done) override {
    WriteOne(kv::DeleteOp{kv::Range::Single(std::move(key)), options.return_previous}, options,
             FinishWith<DeleteResult>(std::move(done), ToDeleteResult));
  }

  void DeleteRangeAsync(KeyRange range, WriteOptions options,
                        Callback<DeleteResult> done) override {
    WriteOne(kv::DeleteOp{kv::Range::From(range), options.return_previous}, options,
             FinishWith<DeleteResult>(std::move(done), ToDeleteResult));
  }

  void CompareAndSwapAsync(std::string key, std::optional<std::string> expected,
                           std::string desired, WriteOptions options,
                           Callback<WriteResult> done) override {
    WriteOne(kv::CompareAndSwapOp{.key = std::move(key),
                                  .expected = std::move(expected),
                                  .desired = std::move(desired),
                                  .lease = options.lease},
             options, FinishWith<WriteResult>(std::move(done), ToWriteResult));
  }

  void IncrementAsync(std::string key, std::int64_t delta, WriteOptions options,
                      Callback<IncrementResult> done) override {
    WriteOne(kv::IncrementOp{std::move(key), delta, options.lease}, options,
             FinishWith<IncrementResult>(std::move(done), ToIncrementResult));
  }

  void WriteAsync(Batch batch, WriteOptions options, Callback<WriteResult> done) override {
    if (CanBeRefused(batch)) {
      return TxnAsync(ToTxn(batch), options, [done](const Result<TxnResult>& result) {
        if (!done) return;
        if (!result.ok()) return done(result.status());
        if (result->succeeded) return done(WriteResult{result->revision});
        done(Status(Code::kCompareFailed, "a condition of the batch does not hold"));
      });
    }
    std::vector<kv::Operation> operations;
    operations.reserve(batch.operations().size());
    for (const Batch::Operation& operation : batch.operations()) {
      if (operation.is_delete) {
        operations.emplace_back(kv::DeleteOp{operation.end.has_value()
                                                 ? kv::Range::From({operation.key, *operation.end})
                                                 : kv::Range::Single(operation.key)});
      } else {
        operations.emplace_back(kv::PutOp{operation.key, operation.value});
      }
    }
    WriteAll(std::move(operations), options,
             FinishWith<WriteResult>(std::move(done), ToWriteResult));
  }

  void TxnAsync(TxnRequest txn, WriteOptions options, Callback<TxnResult> done) override {
    WriteOne(kv::TxnOp{std::move(txn)}, options,
             FinishWith<TxnResult>(std::move(done), ToTxnResult));
  }

  void GetAsync(std::string key, ReadOptions options, Callback<KeyValue> done) override {
    auto finish = [done = Contained(std::move(done), thrown_)](Result<ScanResult> result) {
      if (!result.ok()) return done(result.status());
      if (result->kvs.empty()) return done(Status(Code::kNotFound, "no such key"));
      done(std::move(result->kvs.front()));
    };
    ReadOne({.range = kv::Range::Single(std::move(key)), .revision = options.revision}, options,
            std::move(finish));
  }

  void GetManyAsync(std::vector<std::string> keys, ReadOptions options,
                    Callback<GetManyResult> done) override {
    MultiGet::Begin(std::move(keys), options.revision, ReadsBy(options),
                    Contained(std::move(done), thrown_));
  }

  void GrantLeaseAsync(std::chrono::milliseconds ttl, std::uint64_t id, WriteOptions options,
                       Callback<LeaseInfo> done) override {
    const auto ttl_ms = std::max(ttl, std::chrono::milliseconds(0)).count();
    WriteOne(
        kv::GrantLeaseOp{.id = id, .ttl_ms = static_cast<std::uint64_t>(ttl_ms)}, options,
        FinishLeases<LeaseInfo>(1, std::move(done), [](auto leases) { return leases.front(); }));
  }

  void KeepAliveAsync(std::vector<std::uint64_t> ids, WriteOptions options,
                      Callback<std::vector<LeaseInfo>> done) override {
    const std::size_t count = ids.size();
    WriteOne(kv::RenewLeasesOp{std::move(ids)}, options,
             FinishLeases<std::vector<LeaseInfo>>(count, std::move(done),
                                                  [](auto leases) { return leases; }));
  }

  void RevokeLeaseAsync(std::uint64_t id, WriteOptions options,
                        Callback<DeleteResult> done) override {
    WriteOne(kv::RevokeLeaseOp{id}, options,
             FinishWith<DeleteResult>(std::move(done), ToDeleteResult));
  }

  void GetLeaseAsync(std::uint64_t id, LeaseReadOptions options,
                     Callback<LeaseInfo> done) override {
    ReadLease(id, options.with_keys, ReadsBy(options), Contained(std::move(done), thrown_));
  }

  void ListLeasesAsync(ReadOptions options, Callback<std::vector<LeaseInfo>> done) override {
    ReadLeases(ReadsBy(options), Contained(std::move(done), thrown_));
  }

  void CompactAsync(std::uint64_t revision, WriteOptions options,
                    Callback<WriteResult> done) override {
    WriteOne(kv::CompactOp{revision}, options,
             FinishWith<WriteResult>(std::move(done), ToWriteResult));
  }

  void ChangeSettingAsync(std::string name, std::string value, WriteOptions options,
                          Callback<WriteResult> done) override {
    WriteOne(kv::SettingOp{std::move(name), std::move(value)}, options,
             FinishWith<WriteResult>(std::move(done), ToWriteResult));
  }

  void GetSettingsAsync(ReadOptions options, Callback<Settings> done) override {
    auto finish = [done = Contained(std::move(done), thrown_)](Result<ScanResult> result) {
      if (!result.ok()) return done(result.status());
      Settings settings;
      settings.revision = result->revision;
      for (KeyValue& kv : result->kvs) {
        settings.values.emplace(std::move(kv.key), std::move(kv.value));
      }
      done(std::move(settings));
    };
    ReadOne({.range = {}, .settings = true}, options, std::move(finish));
  }

  void ScanAsync(KeyRange range, ScanOptions options, Callback<ScanResult> done) override {
    done = Contained(std::move(done), thrown_);
    kv::ReadOp read = kv::ReadOp::From(range, options);
    if (!options.continuation.empty()) {
      if (options.count_only || read.order.NeedsAll()) {
        return done(Status(Code::kInvalidArgument,
                           "a count, and a range that is not in the order of its keys, has no "
                           "further pages"));
      }
      if (Status bad = kv::ContinueAt(options.continuation, read); !bad.ok()) return done(bad);
      read.uncounted = true;
      if (!options.skip_count) done = WithCountOf(std::move(options.continuation), std::move(done));
    }
    ReadOne(std::move(read), options, std::move(done));
  }

  void WatchPageAsync(KeyRange range, WatchPageOptions options, Callback<WatchPage> done) override {
    done = Contained(std::move(done), thrown_);
    kv::WatchOp op = kv::WatchOp::From(range, options);
    if (Status bad = kv::CheckWatch(op, limits_); !bad.ok()) return done(bad);
    auto poll =
        std::make_shared<WatchPoll>(std::move(op), Deadline(options.timeout), std::move(done));
    loop_.Post([poll = std::move(poll), polls = std::weak_ptr(watches_)]() mutable {
      if (const auto open = polls.lock()) open->Add(poll);
    });
  }

 private:
  static ThrownSink SinkOf(const LogSink& sink) {
    if (!sink) return nullptr;
    return [sink](const std::string& line) { sink(LogSeverity::kError, line); };
  }

  template <class T, class Make>
  WriteCall::Finish FinishWith(Callback<T> done, Make make) const {
    return FinishBy<T>(Contained(std::move(done), thrown_), make);
  }

  /// Ends a call that is answered with `count` leases.
  template <class T, class Make>
  WriteCall::Finish FinishLeases(std::size_t count, Callback<T> done, Make make) const {
    return
        [count, done = Contained(std::move(done), thrown_), make](
            const Status& status, std::uint64_t /*revision*/, const kv::OperationResult* result) {
          const Status outcome = OperationStatus(status, result);
          if (!outcome.ok()) return done(outcome);
          if (result->leases.size() == count) return done(make(result->leases));
          done(Status(Code::kCorruption, "the answer has another number of leases than the call"));
        };
  }

  /// Makes calls of reads, all within the one timeout.
  MultiGet::Ask ReadsBy(const ReadOptions& options) {
    return [this, options, deadline = Deadline(options.timeout)](std::vector<kv::ReadOp> reads,
                                                                 ReadCall::Finish finish) {
      ReadAll(std::move(reads), options, deadline, std::move(finish));
    };
  }

  void WriteOne(kv::Operation operation, const WriteOptions& options, WriteCall::Finish finish) {
    std::vector<kv::Operation> operations;
    operations.push_back(std::move(operation));
    WriteAll(std::move(operations), options, std::move(finish));
  }

  void WriteAll(std::vector<kv::Operation> operations, const WriteOptions& options,
                WriteCall::Finish finish) {
    std::size_t bytes = 0;
    std::size_t counted = 0;
    std::size_t whole_ranges = 0;
    for (const kv::Operation& operation : operations) {
      if (Status bad = kv::CheckOperation(operation, limits_); !bad.ok()) {
        return finish(bad, 0, nullptr);
      }
      bytes += kv::EncodedSize(operation);
      counted += kv::CountOperations(operation);
      whole_ranges += kv::CountWholeRanges(operation);
    }
    Status bad = CheckRequest(counted, bytes);
    if (bad.ok()) bad = kv::CheckWholeRanges(whole_ranges);
    if (bad.ok()) bad = TakeBudget(bytes);
    if (!bad.ok()) return finish(bad, 0, nullptr);
    auto call = std::make_shared<WriteCall>(Deadline(options.timeout), budget_, bytes);
    call->operation_count = operations.size();
    call->counted_operations = counted;
    call->whole_ranges = whole_ranges;
    call->alone = kv::IsAlone(operations.front());
    call->operations = std::move(operations);
    call->finish = std::move(finish);
    loop_.Post([call = std::move(call), stream = std::weak_ptr(writes_)]() mutable {
      if (const auto open = stream.lock()) open->Add(std::move(call));
    });
  }

  void ReadOne(kv::ReadOp read, const ReadOptions& options, Callback<ScanResult> done) {
    std::vector<kv::ReadOp> reads;
    reads.push_back(std::move(read));
    ReadAll(std::move(reads), options, Deadline(options.timeout),
            [done = std::move(done)](Result<std::vector<kv::ReadAnswer>> results) {
              if (!results.ok()) return done(results.status());
              done(std::move(results->front()));
            });
  }

  /// From one state.
  void ReadAll(std::vector<kv::ReadOp> reads, const ReadOptions& options, MonoTime deadline,
               ReadCall::Finish finish) {
    Status bad;
    std::size_t bytes = 0;
    bool alone = false;
    for (const kv::ReadOp& read : reads) {
      if (bad.ok()) bad = kv::CheckRead(read, limits_);
      bytes += kv::EncodedSize(read);
      // One that has to be sorted, or whose revision may be gone, may be refused, and its
      // neighbours with it.
      alone = alone || read.revision != 0 || read.order.NeedsAll() || !read.IsOfKeys();
    }
    if (bad.ok() && options.max_staleness < std::chrono::milliseconds(0)) {
      bad = {Code::kInvalidArgument, "max_staleness is below zero"};
    }
    if (bad.ok()) bad = CheckRequest(reads.size(), bytes);
    if (bad.ok()) bad = TakeBudget(bytes);
    if (!bad.ok()) return finish(bad);
    auto call = std::make_shared<ReadCall>(deadline, budget_, bytes);
    call->alone = alone;
    call->operation_count = reads.size();
    call->reads = std::move(reads);
    call->max_staleness = BoundedTimeout(options.max_staleness);
    call->finish = std::move(finish);
    const auto& stream = reads_.at(static_cast<std::size_t>(options.consistency));
    loop_.Post([call = std::move(call), stream = std::weak_ptr(stream)]() mutable {
      if (const auto open = stream.lock()) open->Add(std::move(call));
    });
  }

  Status CheckRequest(std::size_t operations, std::size_t bytes) const {
    if (operations == 0) return {Code::kInvalidArgument, "the batch is empty"};
    if (operations > limits_.max_operations) {
      return {Code::kInvalidArgument, "the call has " + std::to_string(operations) +
                                          " operations, the limit is " +
                                          std::to_string(limits_.max_operations)};
    }
    if (bytes + kv::EncodedHeaderSize() > limits_.max_request_bytes) {
      return {Code::kInvalidArgument, std::string("the request")
                                          .append(kv::kIsTooLarge)
                                          .append(std::to_string(bytes))
                                          .append(" bytes, the limit is ")
                                          .append(std::to_string(limits_.max_request_bytes))};
    }
    return Status::Ok();
  }

  /// The call that is made next gives it back.
  Status TakeBudget(std::size_t bytes) const {
    if (budget_->Take(bytes)) return Status::Ok();
    return {Code::kUnavailable,
            ("more than " + std::to_string(budget_->max_bytes())).append(kv::kCallsWait)};
  }

  MonoTime Deadline(std::chrono::milliseconds timeout) {
    return loop_.Now() + BoundedTimeout(timeout);
  }

  // Constant after construction; the streams' insides belong to the loop.
  Loop& loop_;
  const Limits limits_;
  const ThrownSink thrown_;
  const std::shared_ptr<CallBudget> budget_;
  const std::shared_ptr<WriteStream> writes_;
  /// By consistency: each gathers what is to be answered alike.
  std::array<std::shared_ptr<ReadStream>, 4> reads_;
  const std::shared_ptr<WatchPolls> watches_;
};

}  // namespace

std::unique_ptr<StoppableKv> NewSessionKv(Loop& loop, Channel& channel, SessionKvOptions options) {
  return std::make_unique<SessionKv>(loop, channel, options);
}

}  // namespace raftkv::node
