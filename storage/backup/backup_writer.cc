#include "storage/backup/backup_writer.h"

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "lib/base/check.h"
#include "storage/backup/archive.h"
#include "storage/backup/backup_manifest.h"
#include "storage/backup/backup_target.h"
#include "storage/backup/sealed_stream.h"
#include "storage/disk/checksums.h"
#include "storage/disk/machine.h"
#include "storage/folder/data_folder.h"

namespace raftkv::storage {

namespace {

Status NotAsAnnounced(const std::string& what) {
  return Status(Code::kCorruption, "the member sent " + what + ": try another one");
}

/// Takes the stream of a snapshot apart again, and puts the files into the archive.
class StreamToArchive {
 public:
  StreamToArchive(ArchiveWriter& archive, BackupManifest& manifest)
      : archive_(archive), manifest_(manifest) {}

  Status Add(std::string_view bytes) {
    if (!has_manifest_) {
      if (Status added = AddToManifest(bytes); !added.ok() || !has_manifest_) return added;
    }
    while (!bytes.empty()) {
      if (at_ == manifest_.files.files.size()) return NotAsAnnounced("more than announced");
      const std::string_view part = bytes.substr(0, left_);
      if (Status written = archive_.Write(part); !written.ok()) return written;
      checksum_->Add(part);
      left_ -= part.size();
      bytes.remove_prefix(part.size());
      if (left_ > 0) continue;
      if (Status ended = EndFile(); !ended.ok()) return ended;
    }
    return Status::Ok();
  }

  [[nodiscard]] bool whole() const { return has_manifest_ && at_ == manifest_.files.files.size(); }

 private:
  /// Leaves in `bytes` what stands behind it.
  Status AddToManifest(std::string_view& bytes) {
    const std::size_t before = manifest_bytes_.size();
    manifest_bytes_.append(bytes);
    const Result<std::optional<std::size_t>> length = ManifestLength(manifest_bytes_);
    if (!length.ok()) return length.status();
    if (!length->has_value() || manifest_bytes_.size() < **length) return Status::Ok();
    bytes.remove_prefix(**length - before);
    manifest_bytes_.resize(**length);
    Result<Manifest> files = DecodeManifest(manifest_bytes_);
    if (!files.ok()) return files.status();
    if (files->applied != manifest_.head.index) return NotAsAnnounced("another state");
    manifest_.files = *std::move(files);
    has_manifest_ = true;
    const std::string text = EncodeBackupManifest(manifest_);
    Status written = archive_.BeginFile(kBackupManifestName, text.size());
    if (written.ok()) written = archive_.Write(text);
    return written.ok() ? BeginFiles() : written;
  }

  /// Up to the next one that is not empty.
  Status BeginFiles() {
    for (; at_ < manifest_.files.files.size(); ++at_) {
      const ManifestFile& file = manifest_.files.files[at_];
      checksum_ = std::make_unique<RunningChecksum>();
      left_ = file.size;
      const Status begun = archive_.BeginFile(kBackupFilesPrefix + file.name, file.size);
      if (!begun.ok() || left_ > 0) return begun;
      if (checksum_->Value() != file.checksum) return NotAsAnnounced("a damaged " + file.name);
    }
    return Status::Ok();
  }

  Status EndFile() {
    const ManifestFile& file = manifest_.files.files[at_];
    if (checksum_->Value() != file.checksum) return NotAsAnnounced("a damaged " + file.name);
    ++at_;
    return BeginFiles();
  }

  ArchiveWriter& archive_;
  BackupManifest& manifest_;
  std::string manifest_bytes_;
  bool has_manifest_ = false;
  std::size_t at_ = 0;  ///< the file that is being written
  std::uint64_t left_ = 0;
  std::unique_ptr<RunningChecksum> checksum_;
};

/// What `next` gives at last, unless `on` says that it is to be given up.
template <class T, class Next, class On>
Result<T> Await(const Next& next, const On& on) {
  while (true) {
    if (Status status = on(); !status.ok()) return status;
    Result<std::optional<T>> came = next();
    if (!came.ok()) return came.status();
    if (came->has_value()) return **std::move(came);
  }
}

Result<BackupInfo> WriteArchive(ByteSink& sink, node::BackupFeed& feed,
                                const BackupProgressCallback& progress) {
  BackupManifest manifest;
  manifest.backup_id = DrawId();
  manifest.created_ms = WallTimeMs();
  manifest.head = feed.head();
  Result<std::unique_ptr<ArchiveWriter>> archive =
      ArchiveWriter::Open(sink, static_cast<std::int64_t>(manifest.created_ms / 1000));
  if (!archive.ok()) return archive.status();
  StreamToArchive stream(**archive, manifest);
  const std::uint64_t total = manifest.head.stream_bytes;
  std::uint64_t done = 0;
  const auto on = [&] {
    const bool go_on = !progress || progress({done, total});
    return go_on ? Status::Ok() : Status(Code::kCancelled, "the backup was stopped");
  };
  while (done < total) {
    Result<Bytes> bytes = Await<Bytes>([&] { return feed.Next(); }, on);
    if (!bytes.ok()) return bytes.status();
    if (Status added = stream.Add(bytes->view()); !added.ok()) return added;
    done += bytes->size();
  }
  if (!stream.whole()) return NotAsAnnounced("less than announced");
  const Result<node::BackupContent> content =
      Await<node::BackupContent>([&] { return feed.Content(); }, on);
  if (!content.ok()) return content.status();
  const std::string text = EncodeBackupContent(*content);
  Status written = (*archive)->BeginFile(kBackupContentName, text.size());
  if (written.ok()) written = (*archive)->Write(text);
  if (written.ok()) written = (*archive)->Finish();
  if (!written.ok()) return written;
  BackupInfo info = InfoOf(manifest, *content);
  info.file_bytes = (*archive)->bytes();
  return info;
}

}  // namespace

Result<BackupInfo> WriteBackup(rocksdb::Env& env, const std::string& file, node::BackupFeed& feed,
                               const std::string& key_file,
                               const BackupProgressCallback& progress) {
  const Result<std::shared_ptr<const Secret>> key = ReadKeyFileIfAny(key_file, {});
  if (!key.ok()) return key.status();
  BackupProgress last{};
  const BackupProgressCallback noted = [&](const BackupProgress& now) {
    last = now;
    return !progress || progress(now);
  };
  Result<std::unique_ptr<BackupTarget>> target =
      BackupTarget::Open(env, file, [&](std::uint64_t) { return !progress || progress(last); });
  if (!target.ok()) return target.status();
  std::unique_ptr<ByteSink> sink = (*target)->TakeSink();
  if (*key != nullptr) sink = SealTo(std::move(sink), *key);
  Result<BackupInfo> info = WriteArchive(*sink, feed, noted);
  sink.reset();
  if (!info.ok()) return info;
  if (Status committed = (*target)->Commit(); !committed.ok()) return committed;
  return info;
}

}  // namespace raftkv::storage
