// The calls of raftkv::Log and its transactions: each is a Write of operations.
#include <utility>

#include <raftkv/log.h>

#include "lib/base/host_code.h"
#include "storage/disk/open_rocksdb.h"
#include "storage/local_log/local_log.h"

namespace raftkv {

namespace {

using Operation = LogTxn::Operation;

std::vector<Operation> One(Operation operation) {
  std::vector<Operation> operations;
  operations.push_back(std::move(operation));
  return operations;
}

Operation AppendOf(std::vector<std::string> entries) {
  return {Operation::Kind::kAppend, std::move(entries), 0};
}

std::vector<std::string> OneEntry(std::string entry) {
  std::vector<std::string> entries;
  entries.push_back(std::move(entry));
  return entries;
}

std::vector<Operation> Trim(Operation::Kind kind, std::uint64_t index) {
  return One({kind, {}, index});
}

Callback<LogRange> StatusOnly(std::function<void(Status)> done) {
  return [done = std::move(done)](const Result<LogRange>& range) { done(range.status()); };
}

/// What the host holds.
class OwnedLog final : public Log {
 public:
  explicit OwnedLog(std::unique_ptr<Log> log)
      : log_(std::move(log), [](Log& open) { static_cast<void>(open.Close()); }) {}

  [[nodiscard]] std::uint64_t Head() const override { return log_->Head(); }
  [[nodiscard]] std::uint64_t Seq() const override { return log_->Seq(); }
  Result<std::string> Read(std::uint64_t index) override { return log_->Read(index); }
  std::unique_ptr<LogIterator> Iterate(std::uint64_t from) override { return log_->Iterate(from); }
  Status Close() override {
    if (Status may = log_.MayBlock("Close"); !may.ok()) return may;
    return log_->Close();
  }
  Result<LogRange> Write(std::vector<Operation> operations, LogWriteOptions options) override {
    if (Status may = log_.MayBlock("a blocking write"); !may.ok()) return may;
    return log_->Write(std::move(operations), options);
  }
  void WriteAsync(std::vector<Operation> operations, LogWriteOptions options,
                  Callback<LogRange> done) override {
    log_->WriteAsync(std::move(operations), options, std::move(done));
  }

 private:
  ThreadedOwner<Log> log_;
};

}  // namespace

Result<std::unique_ptr<Log>> Log::Open(LogOptions options) {
  if (Status may = MayBlock("Open"); !may.ok()) return may;
  if (options.on_warning) {
    options.on_warning = [warn = std::move(options.on_warning)](std::string_view line) {
      RunHostCode("on_warning", nullptr, [&] { warn(line); });
    };
  }
  return OpenApart([&]() -> Result<std::unique_ptr<Log>> {
    if (Status ready = storage::PrepareRocksdb(); !ready.ok()) return ready;
    Result<std::unique_ptr<Log>> log = storage::OpenLocalLog(std::move(options), {});
    if (!log.ok()) return log.status();
    return std::unique_ptr<Log>(std::make_unique<OwnedLog>(*std::move(log)));
  });
}

Result<std::uint64_t> Log::Append(std::string entry, LogWriteOptions options) {
  Result<LogRange> range = Write(One(AppendOf(OneEntry(std::move(entry)))), options);
  if (!range.ok()) return range.status();
  return range->first;
}

Result<LogRange> Log::AppendBatch(std::vector<std::string> entries, LogWriteOptions options) {
  return Write(One(AppendOf(std::move(entries))), options);
}

Status Log::TrimPrefix(std::uint64_t through, LogWriteOptions options) {
  return Write(Trim(Operation::Kind::kTrimPrefix, through), options).status();
}

Status Log::TrimSuffix(std::uint64_t from, LogWriteOptions options) {
  return Write(Trim(Operation::Kind::kTrimSuffix, from), options).status();
}

Status Log::Sync(LogWriteOptions options) {
  options.sync = true;
  return Write({}, options).status();
}

void Log::AppendAsync(std::string entry, LogWriteOptions options, Callback<std::uint64_t> done) {
  WriteAsync(One(AppendOf(OneEntry(std::move(entry)))), options,
             [done = std::move(done)](const Result<LogRange>& range) {
               done(range.ok() ? Result<std::uint64_t>(range->first) : range.status());
             });
}

void Log::AppendBatchAsync(std::vector<std::string> entries, LogWriteOptions options,
                           Callback<LogRange> done) {
  WriteAsync(One(AppendOf(std::move(entries))), options, std::move(done));
}

void Log::TrimPrefixAsync(std::uint64_t through, LogWriteOptions options,
                          std::function<void(Status)> done) {
  WriteAsync(Trim(Operation::Kind::kTrimPrefix, through), options, StatusOnly(std::move(done)));
}

void Log::TrimSuffixAsync(std::uint64_t from, LogWriteOptions options,
                          std::function<void(Status)> done) {
  WriteAsync(Trim(Operation::Kind::kTrimSuffix, from), options, StatusOnly(std::move(done)));
}

LogTxn& LogTxn::Append(std::string entry) {
  if (operations_.empty() || operations_.back().kind != Operation::Kind::kAppend) {
    operations_.push_back(AppendOf({}));
  }
  operations_.back().entries.push_back(std::move(entry));
  return *this;
}

LogTxn& LogTxn::AppendBatch(std::vector<std::string> entries) {
  operations_.push_back(AppendOf(std::move(entries)));
  return *this;
}

LogTxn& LogTxn::TrimPrefix(std::uint64_t through) {
  operations_.push_back({Operation::Kind::kTrimPrefix, {}, through});
  return *this;
}

LogTxn& LogTxn::TrimSuffix(std::uint64_t from) {
  operations_.push_back({Operation::Kind::kTrimSuffix, {}, from});
  return *this;
}

Result<LogRange> LogTxn::Commit(LogWriteOptions options) {
  return log_->Write(std::exchange(operations_, {}), options);
}

void LogTxn::CommitAsync(LogWriteOptions options, Callback<LogRange> done) {
  log_->WriteAsync(std::exchange(operations_, {}), options, std::move(done));
}

}  // namespace raftkv
