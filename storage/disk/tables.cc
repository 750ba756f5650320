#include "storage/disk/tables.h"

#include <memory>
#include <utility>

#include <rocksdb/db.h>
#include <rocksdb/file_system.h>
#include <rocksdb/metadata.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table_properties.h>

#include "lib/base/bytes.h"
#include "storage/disk/checksums.h"
#include "storage/disk/files.h"
#include "storage/disk/revision_order.h"

namespace raftkv::storage {

namespace {

using Pace = std::function<bool(std::size_t)>;

class PacedFile final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  PacedFile(std::unique_ptr<rocksdb::FSRandomAccessFile> file, const Pace& pace)
      : FSRandomAccessFileOwnerWrapper(std::move(file)), pace_(pace) {}
  rocksdb::IOStatus Read(std::uint64_t offset, std::size_t size, const rocksdb::IOOptions& options,
                         rocksdb::Slice* result, char* scratch,
                         rocksdb::IODebugContext* debug) const override {
    if (!pace_(size)) return rocksdb::IOStatus::Aborted();
    return target()->Read(offset, size, options, result, scratch, debug);
  }
  // What is read ahead would not be counted.
  rocksdb::IOStatus Prefetch(std::uint64_t, std::size_t, const rocksdb::IOOptions&,
                             rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::NotSupported();
  }

 private:
  const Pace& pace_;
};

/// Reads of table files wait for their turn.
class PacedFiles final : public rocksdb::FileSystemWrapper {
 public:
  PacedFiles(const std::shared_ptr<rocksdb::FileSystem>& files, const Pace& pace)
      : FileSystemWrapper(files), pace_(pace) {}
  const char* Name() const override { return "PacedFiles"; }
  rocksdb::IOStatus NewRandomAccessFile(const std::string& path,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                                        rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus opened = target()->NewRandomAccessFile(path, options, out, debug);
    if (opened.ok()) *out = std::make_unique<PacedFile>(std::move(*out), pace_);
    return opened;
  }

 private:
  const Pace& pace_;
};

/// In RocksDB's manifest: a change of it is another checksum.
constexpr char kChecksumName[] = "raftkv.xxh3-64";

class TableChecksum final : public rocksdb::FileChecksumGenerator {
 public:
  void Update(const char* data, std::size_t size) override { running_.Add({data, size}); }
  void Finalize() override { AppendBigEndian64(value_, running_.Value()); }
  std::string GetChecksum() const override { return value_; }
  const char* Name() const override { return kChecksumName; }

 private:
  RunningChecksum running_;
  std::string value_;
};

class TableChecksumsFactory final : public rocksdb::FileChecksumGenFactory {
 public:
  std::unique_ptr<rocksdb::FileChecksumGenerator> CreateFileChecksumGenerator(
      const rocksdb::FileChecksumGenContext& asked) override {
    // Whoever asks for another kind checks files that are not ours.
    if (!asked.requested_checksum_func_name.empty() &&
        asked.requested_checksum_func_name != kChecksumName) {
      return nullptr;
    }
    return std::make_unique<TableChecksum>();
  }
  const char* Name() const override { return kChecksumName; }
};

}  // namespace

std::shared_ptr<rocksdb::FileChecksumGenFactory> KeepTableChecksums() {
  return std::make_shared<TableChecksumsFactory>();
}

std::map<std::string, std::uint64_t> KeptChecksums(rocksdb::DB& db) {
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  std::map<std::string, std::uint64_t> kept;
  for (const rocksdb::LiveFileMetaData& file : files) {
    std::string_view value = file.file_checksum;
    if (file.file_checksum_func_name != kChecksumName) continue;
    if (const auto checksum = TakeBigEndian64(value); checksum && value.empty()) {
      kept.emplace(file.relative_filename, *checksum);
    }
  }
  return kept;
}

Status VerifyTable(rocksdb::Env& env, const std::string& path, const Pace& pace) {
  const std::unique_ptr<rocksdb::Env> paced =
      rocksdb::NewCompositeEnv(std::make_shared<PacedFiles>(env.GetFileSystem(), pace));
  rocksdb::Options options;
  options.env = paced.get();
  auto reader = std::make_unique<rocksdb::SstFileReader>(options);
  rocksdb::Status status = reader->Open(path);
  if (status.ok() && reader->GetTableProperties()->comparator_name == RevisionOrder()->Name()) {
    options.comparator = RevisionOrder();
    reader = std::make_unique<rocksdb::SstFileReader>(options);
    status = reader->Open(path);
  }
  if (status.ok()) status = reader->VerifyChecksum(rocksdb::ReadOptions());
  if (status.IsAborted()) return Status(Code::kCancelled, "the check was stopped");
  return ToStatus(status, "verify " + path);
}

std::vector<std::string> TablesOf(rocksdb::DB& db) {
  std::vector<rocksdb::LiveFileMetaData> files;
  db.GetLiveFilesMetaData(&files);
  std::vector<std::string> paths;
  paths.reserve(files.size());
  // Names begin with "/".
  for (const rocksdb::LiveFileMetaData& file : files) paths.push_back(file.db_path + file.name);
  return paths;
}

}  // namespace raftkv::storage
