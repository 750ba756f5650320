// How is a raftkv::Log opened, and what is found in it?
#include <optional>
#include <string>
#include <utility>

#include <rocksdb/write_batch.h>

#include "storage/disk/files.h"
#include "storage/disk/machine.h"
#include "storage/disk/real_fs.h"
#include "storage/folder/folder_key.h"
#include "storage/folder/torn_manifest.h"
#include "storage/local_log/local_log.h"
#include "storage/log/log_recovery.h"

namespace raftkv::storage {

namespace {

constexpr char kAdvice[] = "restore this folder from a copy, or start a new log in an empty folder";

Status CheckOptions(const LogOptions& options) {
  const auto wrong = [](const std::string& what) { return Status(Code::kInvalidArgument, what); };
  if (options.dir.empty()) return wrong("no folder was named: set dir");
  if (options.first_index == 0 || options.first_index > kLastLogIndex) {
    return wrong("first_index must be at least 1 and " + std::to_string(kLastLogIndex) +
                 " at most");
  }
  if (options.write_buffer_bytes < (64 << 10) || options.write_buffer_bytes > (1 << 30)) {
    return wrong("write_buffer_bytes must be from 64 KiB to 1 GiB");
  }
  if (options.max_write_bytes == 0 || options.max_write_bytes > (1 << 30)) {
    return wrong("max_write_bytes must be from 1 to 1 GiB");
  }
  if (options.max_waiting_writes == 0 || options.max_waiting_writes > (1 << 20)) {
    return wrong("max_waiting_writes must be from 1 to 1,048,576");
  }
  return Status::Ok();
}

LogDbOptions DatabaseOptionsOf(const LogOptions& options, const LogGround& ground) {
  LogDbOptions out;
  out.folder = options.dir + "/" + kLogFolder;
  out.env = ground.env;
  out.sync = ground.sync;
  out.write_buffer_bytes = options.write_buffer_bytes;
  if (options.on_warning) {
    out.log_sink = [warn = options.on_warning](node::LogSeverity severity,
                                               const std::string& line) {
      if (severity >= node::LogSeverity::kWarn) warn(line);
    };
  }
  return out;
}

Status MakeDatabase(const LogDbOptions& options, Index first) {
  Result<std::unique_ptr<LogHandles>> handles = CreateLogHandles(options);
  if (!handles.ok()) return handles.status();
  rocksdb::WriteBatch batch;
  const auto put = [&](std::string_view key, const std::string& value) {
    batch.Put((*handles)->state(), rocksdb::Slice(key.data(), key.size()), value)
        .PermitUncheckedError();
  };
  put(kBatchKey, EncodeBatchMark({1, first.Previous()}));
  put(kFormatVersionKey, EncodeFormatVersion(kLogFolderFormatVersion));
  put(kHeadKey, EncodeHead(first));
  if (Status s = WriteFirstBatch(**handles, batch); !s.ok()) return s;
  return (*handles)->Close();
}

/// What `key` has, which must be there.
template <class T, class Decode>
Result<T> Require(const LogHandles& handles, std::string_view key, Decode decode) {
  Result<std::optional<std::string>> value = GetState(handles, key);
  if (!value.ok()) return value.status();
  if (!value->has_value()) return DamagedLog("the log database has no " + std::string(key));
  return decode(**value);
}

struct Contents {
  BatchMark mark;
  Index base;
};

/// Reads the whole log and holds it against the record.
Result<Contents> LoadContents(const LogHandles& handles, const Record& record) {
  Result<std::uint32_t> version =
      Require<std::uint32_t>(handles, kFormatVersionKey, DecodeFormatVersion);
  if (!version.ok()) return version.status();
  if (Status s = CheckFolderVersion(*version, kLogFolderFormatVersion); !s.ok()) return s;
  Result<BatchMark> mark = Require<BatchMark>(handles, kBatchKey, DecodeBatchMark);
  if (!mark.ok()) return mark.status();
  Result<Index> head = Require<Index>(handles, kHeadKey, DecodeHead);
  if (!head.ok()) return head.status();
  const Index base = head->Previous();
  const Status visited =
      VisitEntries(handles, base, *mark, [](const StoredEntry&) { return Status::Ok(); });
  if (!visited.ok()) return visited;
  if (mark->number < record.batch_number) {
    return DamagedLog("its log database ends at batch " + std::to_string(mark->number) +
                      ", but batch " + std::to_string(record.batch_number) + " was synced");
  }
  return Contents{*mark, base};
}

/// `ground` is as the log has to be used afterwards.
Result<LocalLogFound> Find(const LogOptions& options, LogGround& ground) {
  LocalLogFound found;
  Result<std::unique_ptr<rocksdb::Env>> encrypted =
      EnvOfFolder(*ground.env, options.dir, options.encryption_key_file, {});
  if (!encrypted.ok()) return encrypted.status();
  found.encrypted = *std::move(encrypted);
  if (found.encrypted != nullptr) ground.env = found.encrypted.get();
  const LogDbOptions database = DatabaseOptionsOf(options, ground);
  const auto make = [&] {
    return MakeNew(
        *ground.env, options.dir, kLocalLogName, ground.machine_boot,
        [&](const Record&) { return MakeDatabase(database, Index(options.first_index)); });
  };
  Result<Record> record = TakeFolder(*ground.env, options.dir, kLocalLogName, make, found.lock);
  if (!record.ok()) return record.status();
  found.record = std::move(*record);
  const std::optional<std::string> wide = WiderModeOf(*ground.env, options.dir);
  if (wide && options.on_warning) options.on_warning(*wide);

  const Result<std::optional<std::string>> cut =
      CutTornManifest(*ground.env, database.folder, found.record, ground.machine_boot);
  if (!cut.ok()) return cut.status();
  if (cut->has_value() && options.on_warning) options.on_warning(**cut);
  const auto check = [&](const LogHandles& handles) -> Result<BatchMark> {
    Result<Contents> contents = LoadContents(handles, found.record);
    if (!contents.ok()) return contents.status();
    return contents->mark;
  };
  Result<LogRecovery> recovery = ExamineLog(
      database, found.record, WasRebooted(found.record.machine_boot, ground.machine_boot), check);
  if (!recovery.ok()) return recovery.status();
  if (recovery->cuts && options.on_warning) {
    options.on_warning(std::string(found.record.tail_may_be_torn
                                       ? "a write to the log had failed"
                                       : "the machine stopped during a write to the log") +
                       ": it is cut off after batch " + std::to_string(recovery->last_batch) +
                       ", the last one that was synced or is intact");
  }
  Result<std::unique_ptr<LogHandles>> handles = OpenRecovered(database, *recovery);
  if (!handles.ok()) return handles.status();
  found.handles = std::move(*handles);
  Result<Contents> contents = LoadContents(*found.handles, found.record);
  if (!contents.ok()) return contents.status();
  found.mark = contents->mark;
  found.base = contents->base;

  // Before the first write, which may be torn, the record must not speak of a clean close any more.
  // All that was found is in tables by now, so it is durable.
  found.record.batch_number = found.mark.number;
  found.record.machine_boot = ground.machine_boot;
  found.record.clean_close = false;
  found.record.tail_may_be_torn = false;
  if (Status s = WriteRecord(*ground.env, options.dir, found.record); !s.ok()) return s;
  return found;
}

}  // namespace

Result<std::unique_ptr<Log>> OpenLocalLog(LogOptions options, LogGround ground) {
  if (Status s = CheckOptions(options); !s.ok()) return s;
  while (options.dir.size() > 1 && options.dir.back() == '/') options.dir.pop_back();
  if (ground.env == nullptr) ground.env = &RealEnv();
  if (ground.machine_boot.empty()) ground.machine_boot = ReadMachineBoot();
  Result<LocalLogFound> found = Find(options, ground);
  if (found.code() == Code::kCorruption) {
    return DamagedLog("the data folder is damaged: " + found.status().message() + "; " + kAdvice);
  }
  if (!found.ok()) return found.status();
  return std::unique_ptr<Log>(
      std::make_unique<LocalLog>(std::move(options), ground, std::move(*found)));
}

}  // namespace raftkv::storage
