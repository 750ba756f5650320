#include "storage/backup/backup_reader.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "lib/base/address.h"
#include "storage/backup/archive.h"
#include "storage/backup/sealed_stream.h"
#include "storage/disk/checksums.h"

namespace raftkv::storage {

namespace {

class BackupReader {
 public:
  BackupReader(ArchiveReader& archive, BackupTaker* taker, std::uint64_t total_bytes,
               const BackupProgressCallback& progress)
      : archive_(archive),
        taker_(taker),
        total_bytes_(total_bytes),
        progress_(progress),
        piece_(new char[kPieceBytes]) {}

  Result<BackupInfo> Run() {
    Result<std::string> text = ReadText(kBackupManifestName);
    if (!text.ok()) return text.status();
    Result<BackupManifest> manifest = DecodeBackupManifest(*text);
    if (!manifest.ok()) return manifest.status();
    if (taker_ != nullptr) {
      if (Status begun = taker_->Begin(*manifest); !begun.ok()) return begun;
    }
    for (const ManifestFile& file : manifest->files.files) {
      if (Status taken = TakeFile(file); !taken.ok()) return taken;
    }
    text = ReadText(kBackupContentName);
    if (!text.ok()) return text.status();
    const Result<node::BackupContent> content = DecodeBackupContent(*text);
    if (!content.ok()) return content.status();
    const Result<std::optional<ArchiveReader::File>> more = archive_.NextFile();
    if (!more.ok()) return more.status();
    if (more->has_value()) return Unknown((*more)->name);
    BackupInfo info = InfoOf(*manifest, *content);
    info.file_bytes = archive_.bytes();
    return info;
  }

 private:
  static Status Unknown(const std::string& name) {
    return Status(Code::kCorruption, "it holds " + Quoted(name) + " in an unexpected place");
  }

  /// The next file, which must be this one.
  Result<std::uint64_t> Expect(const std::string& name) {
    const Result<std::optional<ArchiveReader::File>> file = archive_.NextFile();
    if (!file.ok()) return file.status();
    if (!file->has_value()) return Status(Code::kCorruption, "it lacks its " + Quoted(name));
    if ((*file)->name != name) return Unknown((*file)->name);
    return (*file)->size;
  }

  Result<std::string> ReadText(const std::string& name) {
    const Result<std::uint64_t> size = Expect(name);
    if (!size.ok()) return size.status();
    if (*size > kMaxBackupTextBytes)
      return Status(Code::kCorruption, "its " + name + " is too long");
    std::string text;
    const Status read = ReadBytes(*size, [&](std::string_view bytes) {
      text.append(bytes);
      return Status::Ok();
    });
    if (!read.ok()) return read;
    return text;
  }

  Status TakeFile(const ManifestFile& file) {
    const Result<std::uint64_t> size = Expect(kBackupFilesPrefix + file.name);
    if (!size.ok()) return size.status();
    if (*size != file.size) {
      return Status(Code::kCorruption,
                    "its " + Quoted(file.name) + " does not have the announced size");
    }
    if (taker_ != nullptr) {
      if (Status begun = taker_->BeginFile(file); !begun.ok()) return begun;
    }
    RunningChecksum checksum;
    const Status read = ReadBytes(*size, [&](std::string_view bytes) {
      checksum.Add(bytes);
      return taker_ == nullptr ? Status::Ok() : taker_->Write(bytes);
    });
    if (!read.ok()) return read;
    if (checksum.Value() != file.checksum) {
      return Status(Code::kCorruption, "its " + Quoted(file.name) + " is damaged");
    }
    return taker_ == nullptr ? Status::Ok() : taker_->EndFile();
  }

  template <class Use>
  Status ReadBytes(std::uint64_t size, const Use& use) {
    while (size > 0) {
      if (progress_ && !progress_({archive_.bytes(), total_bytes_})) {
        return Status(Code::kCancelled, "stopped");
      }
      const Result<std::size_t> read =
          archive_.Read(piece_.get(), std::min<std::uint64_t>(size, kPieceBytes));
      if (!read.ok()) return read.status();
      if (*read == 0) return Status(Code::kCorruption, "a file in it is truncated");
      if (Status used = use({piece_.get(), *read}); !used.ok()) return used;
      size -= *read;
    }
    return Status::Ok();
  }

  ArchiveReader& archive_;
  BackupTaker* const taker_;
  const std::uint64_t total_bytes_;
  const BackupProgressCallback& progress_;
  const std::unique_ptr<char[]> piece_;
};

}  // namespace

Result<BackupInfo> ReadBackupFile(rocksdb::Env& env, const std::string& file,
                                  const std::string& key_file, BackupTaker* taker,
                                  const BackupProgressCallback& progress) {
  const Result<std::shared_ptr<const Secret>> key = ReadKeyFileIfAny(key_file, {});
  if (!key.ok()) return key.status();
  std::uint64_t total = 0;
  env.GetFileSize(file, &total).PermitUncheckedError();  // only to tell how far it is
  const KeepGoing keep_going = [&](std::uint64_t bytes) {
    return !progress || progress({bytes, total});
  };
  const Result<std::unique_ptr<ByteSource>> source = OpenMaybeSealed(env, file, *key, keep_going);
  if (!source.ok()) return source.status();
  const Result<std::unique_ptr<ArchiveReader>> archive = ArchiveReader::Open(**source);
  if (!archive.ok()) return Status(archive.code(), file + ": " + archive.status().message());
  Result<BackupInfo> info = BackupReader(**archive, taker, total, progress).Run();
  const bool of_the_backup =
      info.code() == Code::kCorruption || info.code() == Code::kVersionMismatch;
  if (of_the_backup) return Status(info.code(), file + ": " + info.status().message());
  return info;
}

}  // namespace raftkv::storage
