#include "storage/log/log_recovery.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "storage/disk/files.h"
#include "storage/disk/log_file.h"
#include "storage/folder/folder_key.h"
#include "storage/log/entry_log.h"
#include "storage/log/wal_filter.h"
#include "storage/log/wal_scan.h"

namespace raftkv::storage {

namespace {

/// What is in the tables, without the write-ahead log.
struct Flushed {
  std::uint64_t batch_number = 0;
  std::uint64_t oldest_log = 0;
};

/// What RocksDB says of a recovery that is only a look ("dropping 4711 bytes", when it was told to
/// leave the write-ahead log alone) is not so.
LogDbOptions Quiet(LogDbOptions options) {
  options.log_sink = nullptr;
  return options;
}

Result<Flushed> LookAtTables(const LogDbOptions& options) {
  WalWatch watch(/*ignore=*/true);
  OpenMode mode;
  mode.read_only = true;
  mode.recovery = kUpToTheBreak;
  mode.watch = &watch;
  Result<std::unique_ptr<LogHandles>> handles = OpenLogHandles(Quiet(options), mode);
  if (!handles.ok()) return handles.status();
  Result<BatchMark> mark = LoadBatchMark(**handles);
  if (!mark.ok()) return mark.status();
  return Flushed{mark->number, watch.oldest_log().value_or(0)};
}

/// The number in "000012.log"; nullopt for other names.
std::optional<std::uint64_t> WalNumber(const std::string& name) {
  constexpr std::string_view kEnding = ".log";
  if (name.size() <= kEnding.size() || !name.ends_with(kEnding)) return std::nullopt;
  const std::string digits = name.substr(0, name.size() - kEnding.size());
  const bool number = std::all_of(digits.begin(), digits.end(),
                                  [](unsigned char c) { return c >= '0' && c <= '9'; });
  if (!number || digits.size() > 19) return std::nullopt;
  return std::strtoull(digits.c_str(), nullptr, 10);
}

Result<std::vector<WalFile>> ReadWalFiles(const LogDbOptions& options, std::uint64_t oldest) {
  Result<std::optional<std::vector<std::string>>> names = ListFolder(*options.env, options.folder);
  if (!names.ok()) return names.status();
  std::vector<std::pair<std::uint64_t, std::string>> live;
  for (const std::string& name : names->value_or(std::vector<std::string>())) {
    const std::optional<std::uint64_t> number = WalNumber(name);
    if (number.has_value() && *number >= oldest) live.emplace_back(*number, name);
  }
  std::sort(live.begin(), live.end());
  std::vector<WalFile> files;
  for (const auto& [number, name] : live) {
    Result<std::optional<std::string>> content =
        ReadFileIfExists(*options.env, options.folder + "/" + name);
    if (!content.ok()) return content.status();
    if (content->has_value()) files.push_back({name, std::move(**content)});
  }
  return files;
}

/// Recovers into memory as the real open would, and looks at the result.
Status TryCut(const LogDbOptions& options, const LogCheck& check, std::uint64_t last_batch) {
  WalStop stop(last_batch);
  OpenMode mode;
  mode.read_only = true;
  mode.recovery = kUpToTheBreak;
  mode.watch = &stop;
  Result<std::unique_ptr<LogHandles>> handles = OpenLogHandles(Quiet(options), mode);
  if (!handles.ok()) return handles.status();
  Result<BatchMark> mark = check(**handles);
  if (!mark.ok()) return mark.status();
  if (mark->number == last_batch) return Status::Ok();
  return DamagedLog("batch " + std::to_string(last_batch) + " is present but cannot be recovered");
}

/// Not ok: no power cut leaves a fragment so, hence the batch may have been acknowledged.
Status CheckTorn(const LogDbOptions& options, const WalScan& scan) {
  if (!scan.broken) return Status::Ok();
  const Result<std::string> stored =
      ReadFileAsStored(*options.env, options.folder + "/" + scan.broken->file);
  if (!stored.ok()) return stored.status();
  if (LacksASector(*stored, scan.broken->begin, scan.broken->end)) return Status::Ok();
  return DamagedLog("write-ahead log " + scan.where +
                    ", and was written to its end, so this is not a torn write");
}

}  // namespace

Result<std::uint64_t> TrustedThrough(const LogDbOptions& options) {
  const Result<Flushed> flushed = LookAtTables(options);
  if (!flushed.ok()) return flushed.status();
  const Result<std::vector<WalFile>> files = ReadWalFiles(options, flushed->oldest_log);
  if (!files.ok()) return files.status();
  const WalScan scan = ScanWal(*files);
  if (scan.first_batch > flushed->batch_number + 1) return flushed->batch_number;
  return std::max(flushed->batch_number, scan.last_batch);
}

Result<LogRecovery> ExamineLog(const LogDbOptions& options, const Record& record, bool rebooted,
                               const LogCheck& check) {
  Result<Flushed> flushed = LookAtTables(options);
  if (!flushed.ok()) return flushed.status();
  Result<std::vector<WalFile>> files = ReadWalFiles(options, flushed->oldest_log);
  if (!files.ok()) return files.status();
  const WalScan scan = ScanWal(*files, flushed->batch_number);

  if (scan.state == WalState::kDamaged) return DamagedLog("write-ahead log " + scan.where);
  if (scan.first_batch > flushed->batch_number + 1) {
    return DamagedLog("batches " + std::to_string(flushed->batch_number + 1) + " to " +
                      std::to_string(scan.first_batch - 1) +
                      " are missing from the write-ahead log");
  }
  const std::uint64_t last_batch = std::max(flushed->batch_number, scan.last_batch);
  if (last_batch < record.batch_number) {
    return DamagedLog("its log database ends at batch " + std::to_string(last_batch) +
                      ", but batch " + std::to_string(record.batch_number) + " was synced" +
                      (scan.where.empty() ? "" : " (write-ahead log " + scan.where + ")"));
  }
  switch (scan.state) {
    case WalState::kWhole: return LogRecovery{};
    case WalState::kCutShort:
      if (record.clean_close) break;
      return LogRecovery{};
    case WalState::kTorn: {
      if (record.clean_close || !(rebooted || record.tail_may_be_torn)) break;
      if (!record.tail_may_be_torn) {
        if (Status torn = CheckTorn(options, scan); !torn.ok()) return torn;
      }
      if (Status cut = TryCut(options, check, last_batch); !cut.ok()) return cut;
      return LogRecovery{kUpToTheBreak, /*cuts=*/true, last_batch};
    }
    case WalState::kDamaged: break;
  }
  return DamagedLog("write-ahead log " + scan.where + ", and " +
                    (record.clean_close ? "the folder was closed cleanly"
                                        : "the machine was not restarted since it was written"));
}

}  // namespace raftkv::storage
