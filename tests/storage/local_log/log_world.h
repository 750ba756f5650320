// How does a test open a raftkv::Log on a disk in memory?
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <rocksdb/env.h>

#include <raftkv/log.h>

#include "storage/local_log/local_log.h"
#include "tests/support/faults/crash_fs.h"

namespace raftkv::test {

/// A flush that fails makes RocksDB wait for a second; not here.
class ImpatientEnv final : public rocksdb::EnvWrapper {
 public:
  explicit ImpatientEnv(const std::shared_ptr<rocksdb::FileSystem>& fs)
      : rocksdb::EnvWrapper(rocksdb::NewCompositeEnv(fs)) {
    file_system_ = fs;
  }
  void SleepForMicroseconds(int) override { std::this_thread::yield(); }
};

struct LogWorld {
  explicit LogWorld(std::shared_ptr<CrashFs> disk = std::make_shared<CrashFs>())
      : fs(std::move(disk)), env(std::make_unique<ImpatientEnv>(fs)) {
    options.dir = "/data/log";
    options.on_warning = [this](std::string_view line) {
      if (line.find("is cut off") != std::string_view::npos) ++torn;
    };
    ground.env = env.get();
    ground.machine_boot = "boot-1";
  }
  ~LogWorld() { log.reset(); }

  Status Open() {
    Result<std::unique_ptr<Log>> opened = storage::OpenLocalLog(options, ground);
    if (!opened.ok()) return opened.status();
    log = std::move(*opened);
    return Status::Ok();
  }
  /// The rest of what it holds is as after a kill: the folder is not marked as closed.
  std::shared_ptr<CrashFs> CopyAsKilled() const { return fs->Copy(); }

  /// All from the head on.
  Result<std::vector<LogEntry>> All() const {
    std::vector<LogEntry> entries;
    const std::unique_ptr<LogIterator> it = log->Iterate(log->Head());
    while (true) {
      Result<LogEntry> entry = it->Next();
      if (entry.code() == Code::kNotFound) return entries;
      if (!entry.ok()) return entry.status();
      entries.push_back(std::move(*entry));
    }
  }

  std::shared_ptr<CrashFs> fs;
  std::unique_ptr<rocksdb::Env> env;
  LogOptions options;
  storage::LogGround ground;
  int torn = 0;
  std::unique_ptr<Log> log;
};

/// What entry `number` has in a test: it tells its number, and is of `bytes` bytes at least.
inline std::string EntryText(std::uint64_t number, std::size_t bytes = 20) {
  std::string text = "entry " + std::to_string(number) + " ";
  while (text.size() < bytes) text.push_back(static_cast<char>('a' + text.size() % 26));
  return text;
}

inline std::vector<std::string> EntryTexts(std::uint64_t first, int count, std::size_t bytes = 20) {
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i) texts.push_back(EntryText(first + i, bytes));
  return texts;
}

}  // namespace raftkv::test
