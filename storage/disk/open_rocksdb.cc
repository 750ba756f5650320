#include "storage/disk/open_rocksdb.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <string_view>
#include <utility>

#include <rocksdb/env.h>

#include "lib/base/host_code.h"
#include "lib/base/thread.h"
#include "storage/disk/guarded_fs.h"

namespace raftkv::storage {

namespace {

/// Before all objects with static storage duration of the host, so that it goes after them: one of
/// them may be a Node or a Log.
__attribute__((constructor(101))) void MakeDefaultEnv() {
  static_cast<void>(rocksdb::Env::Default());
}

/// 0: in none yet.
std::atomic<int> made_in_process{0};

void MakeThreads() {
  const SignalsBlocked blocked;
  rocksdb::Env& env = *rocksdb::Env::Default();
  // As many as max_background_jobs = 2 stands for.
  for (const auto priority : {rocksdb::Env::LOW, rocksdb::Env::HIGH}) {
    env.IncBackgroundThreadsIfNeeded(1, priority);
    // Where the limit was raised before and the thread could not be made, this makes it.
    env.Schedule([](void*) {}, nullptr, priority);
  }
}

node::LogSeverity SeverityOf(rocksdb::InfoLogLevel level) {
  switch (level) {
    case rocksdb::InfoLogLevel::WARN_LEVEL: return node::LogSeverity::kWarn;
    case rocksdb::InfoLogLevel::ERROR_LEVEL:
    case rocksdb::InfoLogLevel::FATAL_LEVEL: return node::LogSeverity::kError;
    default: return node::LogSeverity::kDebug;
  }
}

/// Each checkpoint counts who wants no file deleted, first up and then down, and RocksDB warns of
/// both although it is the only one that counts.
bool IsOrdinary(std::string_view text) {
  return text.find(kNoRoomToCompact) != std::string_view::npos ||
         text.find("File Deletions Disabled, but already disabled") != std::string_view::npos ||
         text.find("File Deletions Enable, but not really enabled") != std::string_view::npos;
}

class SinkLogger final : public rocksdb::Logger {
 public:
  SinkLogger(std::string what, node::LogSink sink)
      : rocksdb::Logger(rocksdb::InfoLogLevel::INFO_LEVEL),
        prefix_("rocksdb " + std::move(what) + ": "),
        sink_(std::move(sink)) {}
  ~SinkLogger() override {
    // The base class asserts that a logger was closed.
    const rocksdb::Status closed = Close();
    closed.PermitUncheckedError();
  }

  using rocksdb::Logger::Logv;
  void Logv(const rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (sink_ == nullptr || level < GetInfoLogLevel()) return;
    std::array<char, 2048> line;
    const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
    if (length < 0) return;
    std::string text = prefix_ + line.data();
    for (char& c : text) {
      if (c == '\n' || c == '\r') c = ' ';
    }
    sink_(IsOrdinary(text) ? node::LogSeverity::kDebug : SeverityOf(level), text);
  }
  void Logv(const char* format, va_list arguments) override {
    Logv(rocksdb::InfoLogLevel::INFO_LEVEL, format, arguments);
  }

 protected:
  rocksdb::Status CloseImpl() override { return rocksdb::Status::OK(); }

 private:
  const std::string prefix_;
  const node::LogSink sink_;
};

}  // namespace

Status PrepareRocksdb() {
  int nowhere = 0;
  const int here = getpid();
  if (!made_in_process.compare_exchange_strong(nowhere, here) && nowhere != here) {
    return OfForkedChild("Open");
  }
  return OpenOrUnavailable([] {
    MakeThreads();
    return Status::Ok();
  });
}

rocksdb::Options CommonOptions(rocksdb::Env* env, const std::string& what, node::LogSink sink) {
  rocksdb::Options out;
  out.env = env;
  out.info_log = std::make_shared<SinkLogger>(what, std::move(sink));
  out.listeners = {NewGuardListener()};
  out.max_background_jobs = 2;
  out.max_open_files = MostOpenTables();
  // What failed is not tried again: the member stops, and a restart reads what is really there.
  out.max_bgerror_resume_count = 0;
  // Of several threads that open tables RocksDB leaves those that it has made unjoined where it
  // cannot make the next, which ends the process.
  out.max_file_opening_threads = 1;
  out.bytes_per_sync = 1 << 20;
  out.stats_dump_period_sec = 0;
  out.stats_persist_period_sec = 0;
  out.skip_stats_update_on_db_open = true;
  return out;
}

int MostOpenTables() {
  constexpr rlim_t kShare = 8;
  constexpr rlim_t kLeast = 32;  // what a compaction and a few reads have open at once
  constexpr rlim_t kMost = 1 << 20;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return static_cast<int>(kLeast);
  return static_cast<int>(std::clamp(limit.rlim_cur / kShare, kLeast, kMost));
}

rocksdb::Status OpenRocksdb(Opening opening, rocksdb::Options options, const std::string& folder,
                            const std::vector<rocksdb::ColumnFamilyDescriptor>& families,
                            OpenDatabase& out) {
  options.create_if_missing = opening == Opening::kMake;
  options.create_missing_column_families = options.create_if_missing;
  options.error_if_exists = options.create_if_missing;
  const SignalsBlocked blocked;  // RocksDB makes threads of its own as it opens
  rocksdb::DB* db = nullptr;
  try {
    const rocksdb::Status opened =
        opening == Opening::kReadOnly
            ? rocksdb::DB::OpenForReadOnly(options, folder, families, &out.families, &db)
            : rocksdb::DB::Open(options, folder, families, &out.families, &db);
    out.db.reset(db);
    return opened;
  } catch (const std::exception& error) {
    // It is open, but for the timer of its own that it could not make.
    out.db.reset(db);
    for (rocksdb::ColumnFamilyHandle* family : out.families) {
      if (db != nullptr) db->DestroyColumnFamilyHandle(family).PermitUncheckedError();
    }
    out.families.clear();
    if (out.db) out.db->Close().PermitUncheckedError();
    out.db.reset();
    return rocksdb::Status::Incomplete("the system has no thread or memory left", error.what());
  }
}

rocksdb::Status OpenRocksdb(Opening opening, const rocksdb::Options& options,
                            const std::string& folder, std::unique_ptr<rocksdb::DB>& out) {
  OpenDatabase database;
  const rocksdb::Status opened = OpenRocksdb(
      opening, options, folder,
      {{rocksdb::kDefaultColumnFamilyName, rocksdb::ColumnFamilyOptions(options)}}, database);
  for (rocksdb::ColumnFamilyHandle* family : database.families) {
    database.db->DestroyColumnFamilyHandle(family).PermitUncheckedError();
  }
  out = std::move(database.db);
  return opened;
}

}  // namespace raftkv::storage
