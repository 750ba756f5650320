#include "storage/snapshot/snapshot_intake.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "lib/base/check.h"
#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"

namespace raftkv::storage {

namespace {

/// So often a file may arrive other than its checksum says; then the whole snapshot is in doubt.
constexpr unsigned kMaxDamagedFiles = 3;

// No file of a snapshot begins with a dot (IsPlainName).
constexpr const char* kOldPartName = ".part-old";

/// Where a file is written until it is whole: what has its own name was synced. What it is to
/// become is in the name, so that a part of another file is not taken for one of this.
std::string PartName(const ManifestFile& file) {
  char name[64];
  std::snprintf(name, sizeof name, ".part-%016llx-%llu",
                static_cast<unsigned long long>(file.checksum),
                static_cast<unsigned long long>(file.size));
  return name;
}

}  // namespace

SnapshotIntake::SnapshotIntake(rocksdb::Env& env, std::string folder, std::uint64_t first_number,
                               std::uint64_t left_number, node::LogSink sink, CancelToken token)
    : env_(env),
      folder_(std::move(folder)),
      sink_(std::move(sink)),
      token_(std::move(token)),
      number_(first_number) {
  if (left_number == 0) return;
  const bool continues = ContinueIn(left_number);
  RAFTKV_CHECK(continues, left_number);
}

bool SnapshotIntake::ContinueIn(std::uint64_t number) {
  if (made_) return false;
  number_ = number;
  made_ = true;
  unseen_ = true;
  return true;
}

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
  Status added = manifest_.has_value() ? AddToFile(data) : AddToManifest(data, live);
  if (added.ok() && manifest_.has_value()) added = Advance();
  if (added.code() == Code::kCancelled) return added;
  if (!added.ok()) {
    Say(node::LogSeverity::kWarn, "could not receive a snapshot: " + added.message());
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
    return Status(Code::kCorruption, "the manifest is of another snapshot");
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
  for (const ManifestFile& file : manifest_->files) {
    starts_.push_back(end);
    end += file.size;
  }
  starts_.push_back(end);
  KeepWhatFits();
  if (unseen_) {
    if (Status looked = LookThrough(); !looked.ok()) return looked;
  }
  if (Status removed = RemoveOthers(); !removed.ok()) return removed;
  for (const ManifestFile& file : manifest_->files) {
    if (have_.contains(file.name) || (partial_.has_value() && partial_->file == file)) continue;
    LinkFrom(live, file);
  }
  Say(node::LogSeverity::kInfo,
      "receiving a snapshot at entry " + std::to_string(manifest_->applied.value) + ": " +
          std::to_string(manifest_->files.size()) + " files, " +
          std::to_string(end - manifest_bytes_.size()) + " bytes, of which " +
          std::to_string(BytesHere()) + " are already present");
  at_ = 0;
  return Status::Ok();
}

/// Of what came with the snapshot before.
void SnapshotIntake::KeepWhatFits() {
  std::map<std::string, ManifestFile> have;
  bool keeps_partial = false;
  for (const ManifestFile& file : manifest_->files) {
    if (partial_.has_value() && partial_->file == file) keeps_partial = true;
    const auto found = have_.find(file.name);
    if (found != have_.end() && found->second == file) have.insert(*found);
  }
  have_ = std::move(have);
  if (!keeps_partial) partial_.reset();
}

/// Safety: of what an earlier open left nothing is believed that is not read. Under their own names
/// files were synced.
Status SnapshotIntake::LookThrough() {
  for (const ManifestFile& file : manifest_->files) {
    if (have_.contains(file.name)) continue;
    if (IsIn(PathOf(""), file)) {
      have_.emplace(file.name, file);
    } else if (!partial_.has_value() && file.size > 0) {
      if (Status taken = TakePart(file); !taken.ok()) return taken;
    }
    // What was not read is not to be removed.
    if (token_.cancelled()) return Status(Code::kCancelled, "this member stops");
  }
  unseen_ = false;
  return Status::Ok();
}

bool SnapshotIntake::IsIn(const std::string& folder, const ManifestFile& file) const {
  std::uint64_t size = 0;
  if (!env_.GetFileSize(folder + "/" + file.name, &size).ok() || size != file.size) return false;
  const Result<ManifestFile> found = ChecksumFile(env_, folder, file.name, token_);
  return found.ok() && *found == file;
}

/// Goes on behind what came of `file`, if something did. That is copied: an encrypted file is
/// written once, from its beginning.
Status SnapshotIntake::TakePart(const ManifestFile& file) {
  constexpr std::size_t kPieceBytes = 1 << 20;
  const std::string path = PathOf(PartName(file));
  const std::string old = PathOf(kOldPartName);
  if (!env_.FileExists(path).ok()) return Status::Ok();
  const rocksdb::Status renamed = env_.RenameFile(path, old);
  if (!renamed.ok()) return ToStatus(renamed, "rename " + path + " to " + old);
  std::unique_ptr<rocksdb::SequentialFile> part;
  // Of one that cannot be read nothing is kept; it goes with what is not needed.
  if (!env_.NewSequentialFile(old, &part, rocksdb::EnvOptions()).ok()) return Status::Ok();
  if (Status begun = BeginPart(file); !begun.ok()) return begun;
  const std::unique_ptr<char[]> piece(new char[kPieceBytes]);
  while (partial_->received < file.size && !token_.cancelled()) {
    rocksdb::Slice read;
    const std::uint64_t most = std::min<std::uint64_t>(kPieceBytes, file.size - partial_->received);
    if (!part->Read(most, &read, piece.get()).ok() || read.empty()) break;
    if (Status added = AppendToPart({read.data(), read.size()}); !added.ok()) return added;
  }
  return partial_->received == file.size ? EndFile() : Status::Ok();
}

std::uint64_t SnapshotIntake::BytesHere() const {
  std::uint64_t bytes = partial_.has_value() ? partial_->received : 0;
  for (const auto& [name, file] : have_) bytes += file.size;
  return bytes;
}

/// Only tables: they never change.
void SnapshotIntake::LinkFrom(const std::string& live, const ManifestFile& file) {
  if (!file.name.ends_with(".sst") || !IsIn(live, file)) return;
  // It may be gone meanwhile: then it is asked for.
  if (env_.LinkFile(live + "/" + file.name, PathOf(file.name)).ok()) have_.emplace(file.name, file);
}

Status SnapshotIntake::RemoveOthers() {
  Result<std::optional<std::vector<std::string>>> names = ListFolder(env_, PathOf(""));
  if (!names.ok()) return names.status();
  for (const std::string& name : names->value_or(std::vector<std::string>())) {
    if (have_.contains(name)) continue;
    if (partial_.has_value() && PartName(partial_->file) == name) continue;
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
  if (whole()) return Status(Code::kInvalidArgument, "a snapshot has bytes after its end");
  const ManifestFile& file = manifest_->files[at_];
  if (!partial_.has_value() || partial_->file != file) {
    // One of a file that comes later in this manifest is begun again then.
    if (Status begun = BeginPart(file); !begun.ok()) return begun;
  }
  if (data.size() > file.size - partial_->received) {
    partial_.reset();
    return Status(Code::kInvalidArgument, "a part of a snapshot spans two files");
  }
  if (Status added = AppendToPart(data); !added.ok()) return added;
  return partial_->received == file.size ? EndFile() : Status::Ok();
}

Status SnapshotIntake::BeginPart(const ManifestFile& file) {
  const std::string path = PathOf(PartName(file));
  partial_.reset();
  Partial partial;
  partial.file = file;
  partial.checksum = std::make_unique<RunningChecksum>();
  const rocksdb::Status made = env_.NewWritableFile(path, &partial.writer, rocksdb::EnvOptions());
  if (!made.ok()) return ToStatus(made, "make " + path);
  partial_ = std::move(partial);
  return Status::Ok();
}

Status SnapshotIntake::AppendToPart(std::string_view data) {
  const rocksdb::Status written = partial_->writer->Append({data.data(), data.size()});
  if (!written.ok()) {
    const std::string path = PathOf(PartName(partial_->file));
    partial_.reset();
    return ToStatus(written, "write " + path);
  }
  partial_->checksum->Add(data);
  partial_->received += data.size();
  return Status::Ok();
}

/// The part gets the file's name once it is whole, right and synced.
Status SnapshotIntake::EndFile() {
  Partial partial = *std::exchange(partial_, std::nullopt);
  const std::string& name = partial.file.name;
  const std::string part = PathOf(PartName(partial.file));
  if (partial.checksum->Value() != partial.file.checksum) {
    partial.writer.reset();
    static_cast<void>(env_.DeleteFile(part));
    if (++damaged_files_ >= kMaxDamagedFiles) {
      damaged_files_ = 0;
      return Status(Code::kCorruption, name + " of a snapshot was received damaged too often");
    }
    Say(node::LogSeverity::kWarn,
        name + " of a snapshot was received damaged; requesting it again");
    return Status::Ok();
  }
  rocksdb::Status ended = partial.writer->Sync();
  if (ended.ok()) ended = partial.writer->Close();
  if (!ended.ok()) return ToStatus(ended, "sync " + part);
  const rocksdb::Status renamed = env_.RenameFile(part, PathOf(name));
  if (!renamed.ok()) return ToStatus(renamed, "rename " + part + " to " + name);
  if (Status synced = SyncFolder(env_, PathOf("")); !synced.ok()) return synced;
  have_.emplace(name, partial.file);
  return Status::Ok();
}

// --- The end.

Result<std::string> SnapshotIntake::Finish() {
  RAFTKV_CHECK(whole());
  if (Status synced = SyncFolder(env_, PathOf("")); !synced.ok()) return synced;
  Say(node::LogSeverity::kInfo,
      "received the snapshot at entry " + std::to_string(manifest_->applied.value) + ": " +
          std::to_string(came_bytes_) + " bytes were sent for " + std::to_string(starts_.back()));
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
  unseen_ = false;
  ++number_;
  have_.clear();
  came_bytes_ = 0;
  damaged_files_ = 0;
  manifest_.reset();
  manifest_bytes_.clear();
}

void SnapshotIntake::DropUnseen() {
  if (unseen_) Drop();
}

}  // namespace raftkv::storage
