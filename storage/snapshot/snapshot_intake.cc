#include "storage/snapshot/snapshot_intake.h"

#include <utility>

#include "lib/base/check.h"
#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"

namespace raftkv::storage {

namespace {

/// So often a file may arrive other than its checksum says; then the whole snapshot is in doubt.
constexpr unsigned kMaxDamagedFiles = 3;

}  // namespace

SnapshotIntake::SnapshotIntake(rocksdb::Env& env, std::string folder, std::uint64_t first_number,
                               node::LogSink sink, CancelToken token)
    : env_(env),
      folder_(std::move(folder)),
      sink_(std::move(sink)),
      token_(std::move(token)),
      number_(first_number) {}

void SnapshotIntake::Say(node::LogSeverity severity, const std::string& line) const {
  if (sink_) sink_(severity, line);
}

std::string SnapshotIntake::PathOf(const std::string& name) const {
  return folder_ + "/" + KvFolderName(number_) + (name.empty() ? "" : "/" + name);
}

bool SnapshotIntake::whole() const {
  return manifest_.has_value() && at_ == manifest_->files.size();
}

std::uint64_t SnapshotIntake::Wanted() const {
  if (!manifest_.has_value()) return manifest_bytes_.size();
  const bool begun = !whole() && partial_.has_value() && partial_->file == manifest_->files[at_];
  return starts_[at_] + (begun ? partial_->received : 0);
}

Result<std::uint64_t> SnapshotIntake::Receive(std::uint64_t id, std::uint64_t offset,
                                              std::string_view data, const std::string& live) {
  if (offset == 0) {
    id_ = id;
    manifest_.reset();
    manifest_bytes_.clear();
  } else if (id != id_ || manifest_bytes_.empty()) {
    return std::uint64_t{0};
  }
  if (offset != Wanted() || data.empty()) return Wanted();
  came_bytes_ += data.size();
  const Status added = manifest_.has_value() ? AddToFile(data) : AddToManifest(data, live);
  if (!added.ok()) {
    Say(node::LogSeverity::kWarn, "a snapshot could not be received: " + added.message());
    return added;
  }
  return Wanted();
}

// --- The manifest.

Status SnapshotIntake::AddToManifest(std::string_view data, const std::string& live) {
  manifest_bytes_.append(data);
  const Result<std::optional<std::size_t>> length = ManifestLength(manifest_bytes_);
  if (!length.ok()) return length.status();
  if (!length->has_value() || manifest_bytes_.size() < **length) return Status::Ok();
  Result<Manifest> manifest = DecodeManifest(manifest_bytes_);
  if (!manifest.ok()) return manifest.status();
  if (SnapshotId(manifest_bytes_) != id_) {
    return Status(Code::kCorruption, "the manifest of a snapshot is another one's");
  }
  if (!made_) {
    if (Status made = MakeFolder(env_, PathOf("")); !made.ok()) return made;
    made_ = true;
  }
  manifest_ = *std::move(manifest);
  Status planned = Plan(live);
  if (!planned.ok()) manifest_.reset();
  return planned;
}

/// What of the files is here?
Status SnapshotIntake::Plan(const std::string& live) {
  starts_.clear();
  std::uint64_t end = manifest_bytes_.size();
  std::uint64_t here = 0;
  std::map<std::string, ManifestFile> have;
  bool keeps_partial = false;
  for (const ManifestFile& file : manifest_->files) {
    starts_.push_back(end);
    end += file.size;
    if (partial_.has_value() && partial_->file == file) {
      keeps_partial = true;
      here += partial_->received;
      continue;
    }
    if (const auto found = have_.find(file.name); found != have_.end() && found->second == file) {
      have.insert(*found);
      here += file.size;
    }
  }
  starts_.push_back(end);
  have_ = std::move(have);
  if (!keeps_partial) partial_.reset();
  if (Status removed = RemoveOthers(); !removed.ok()) return removed;
  for (const ManifestFile& file : manifest_->files) {
    if (have_.contains(file.name) || (partial_.has_value() && partial_->file == file)) continue;
    LinkFrom(live, file);
    if (have_.contains(file.name)) here += file.size;
  }
  Say(node::LogSeverity::kInfo,
      "receiving a snapshot at entry " + std::to_string(manifest_->applied.value) + ": " +
          std::to_string(manifest_->files.size()) + " files, " +
          std::to_string(end - manifest_bytes_.size()) + " bytes, of which " +
          std::to_string(here) + " are here already");
  at_ = 0;
  return Advance();
}

/// Only tables: they never change.
void SnapshotIntake::LinkFrom(const std::string& live, const ManifestFile& file) {
  if (!file.name.ends_with(".sst")) return;
  const std::string path = live + "/" + file.name;
  std::uint64_t size = 0;
  if (!env_.GetFileSize(path, &size).ok() || size != file.size) return;
  const Result<ManifestFile> found = ChecksumFile(env_, live, file.name, token_);
  if (!found.ok() || *found != file) return;
  // It may be gone meanwhile: then it is asked for.
  if (env_.LinkFile(path, PathOf(file.name)).ok()) have_.emplace(file.name, file);
}

Status SnapshotIntake::RemoveOthers() {
  Result<std::optional<std::vector<std::string>>> names = ListFolder(env_, PathOf(""));
  if (!names.ok()) return names.status();
  for (const std::string& name : names->value_or(std::vector<std::string>())) {
    if (have_.contains(name) || (partial_.has_value() && partial_->file.name == name)) continue;
    const rocksdb::Status removed = env_.DeleteFile(PathOf(name));
    if (!removed.ok()) return ToStatus(removed, "remove " + PathOf(name));
  }
  return Status::Ok();
}

// --- The files.

Status SnapshotIntake::Advance() {
  while (!whole()) {
    const ManifestFile& file = manifest_->files[at_];
    if (!have_.contains(file.name)) {
      if (file.size > 0) return Status::Ok();
      if (Status empty = AddToFile(""); !empty.ok()) return empty;
      continue;  // it is here now, and passed
    }
    ++at_;
  }
  return Status::Ok();
}

Status SnapshotIntake::AddToFile(std::string_view data) {
  if (whole()) return Status(Code::kInvalidArgument, "a snapshot has bytes behind its end");
  const ManifestFile& file = manifest_->files[at_];
  const std::string path = PathOf(file.name);
  if (!partial_.has_value() || partial_->file != file) {
    partial_.reset();  // of a file that comes later in this manifest: it is begun anew then
    Partial partial;
    partial.file = file;
    partial.checksum = std::make_unique<RunningChecksum>();
    const rocksdb::Status made = env_.NewWritableFile(path, &partial.writer, rocksdb::EnvOptions());
    if (!made.ok()) return ToStatus(made, "make " + path);
    partial_ = std::move(partial);
  }
  if (data.size() > file.size - partial_->received) {
    partial_.reset();
    return Status(Code::kInvalidArgument, "a part of a snapshot spans two files");
  }
  const rocksdb::Status written = partial_->writer->Append({data.data(), data.size()});
  if (!written.ok()) {
    partial_.reset();
    return ToStatus(written, "write " + path);
  }
  partial_->checksum->Add(data);
  partial_->received += data.size();
  return partial_->received == file.size ? EndFile() : Status::Ok();
}

Status SnapshotIntake::EndFile() {
  const Partial partial = *std::exchange(partial_, std::nullopt);
  const std::string& name = partial.file.name;
  if (partial.checksum->Value() != partial.file.checksum) {
    if (++damaged_files_ >= kMaxDamagedFiles) {
      damaged_files_ = 0;
      return Status(Code::kCorruption, name + " of a snapshot came damaged again and again");
    }
    Say(node::LogSeverity::kWarn, name + " of a snapshot came damaged; it is asked for again");
    return Status::Ok();
  }
  rocksdb::Status ended = partial.writer->Sync();
  if (ended.ok()) ended = partial.writer->Close();
  if (!ended.ok()) return ToStatus(ended, "sync " + PathOf(name));
  have_.emplace(name, partial.file);
  return Advance();
}

// --- The end.

Result<std::string> SnapshotIntake::Finish() {
  RAFTKV_CHECK(whole());
  if (Status synced = SyncFolder(env_, PathOf("")); !synced.ok()) return synced;
  Say(node::LogSeverity::kInfo,
      "received the snapshot at entry " + std::to_string(manifest_->applied.value) + ": " +
          std::to_string(came_bytes_) + " bytes came for " + std::to_string(starts_.back()));
  std::string name = KvFolderName(number_);
  made_ = false;
  Drop();
  return name;
}

void SnapshotIntake::Drop() {
  partial_.reset();
  // What cannot be removed now goes at the next open.
  if (made_) static_cast<void>(RemoveTree(env_, PathOf("")));
  made_ = false;
  ++number_;
  have_.clear();
  came_bytes_ = 0;
  damaged_files_ = 0;
  manifest_.reset();
  manifest_bytes_.clear();
}

}  // namespace raftkv::storage
