#include "storage/snapshot/snapshot_source.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "storage/disk/files.h"
#include "storage/disk/tables.h"

namespace raftkv::storage {

namespace {

bool IsTable(const std::string& name) { return name.ends_with(".sst"); }

}  // namespace

SnapshotFiles::SnapshotFiles(const KvEngineOptions& engine, std::string folder)
    : env_(*engine.env), env_owner_(engine.env_owner), folder_(std::move(folder)) {}

SnapshotFiles::~SnapshotFiles() {
  open_.reset();
  // What cannot be removed now goes at the next open.
  static_cast<void>(RemoveTree(env_, folder_));
}

Result<std::shared_ptr<SnapshotFiles>> SnapshotFiles::Make(KvEngine& engine,
                                                           const std::string& folder,
                                                           TableChecksums& known, bool verify,
                                                           const CancelToken& token) {
  const Status made = engine.Checkpoint(folder);
  if (made.ok()) return Open(engine.options(), folder, known, verify, token);
  static_cast<void>(RemoveTree(engine.env(), folder));
  return made;
}

Result<std::shared_ptr<SnapshotFiles>> SnapshotFiles::Open(const KvEngineOptions& engine,
                                                           const std::string& folder,
                                                           TableChecksums& known, bool verify,
                                                           const CancelToken& token) {
  // From here on the folder is removed whatever happens.
  std::shared_ptr<SnapshotFiles> files(new SnapshotFiles(engine, folder));
  KvEngineOptions options = engine;
  options.folder = folder;
  // Writes went on while it was made: only itself knows what is in it.
  Result<KvEngine::Head> head = KvEngine::HeadOf(options);
  if (!head.ok()) return head.status();
  files->position_ = head->applied;
  files->manifest_.applied = head->applied.index;
  files->written_ = std::move(head->checksums);
  if (Status added = files->AddFiles(known, verify, token); !added.ok()) return added;
  return files;
}

/// What is damaged must not get a checksum that says it is right.
Result<ManifestFile> SnapshotFiles::Describe(const std::string& name, bool verify,
                                             const CancelToken& token) const {
  const std::string path = folder_ + "/" + name;
  const auto written = written_.find(name);
  if (written != written_.end() && !verify) {
    ManifestFile file{name, 0, written->second};
    const rocksdb::Status sized = env_.GetFileSize(path, &file.size);
    if (!sized.ok()) return ToStatus(sized, "look at " + path);
    return file;
  }
  if (verify && written == written_.end() && IsTable(name)) {
    const Status whole =
        VerifyTable(env_, path, [&token](std::size_t) { return !token.cancelled(); });
    if (!whole.ok()) return whole;
  }
  Result<ManifestFile> read = ChecksumFile(env_, folder_, name, token);
  if (read.ok() && written != written_.end() && read->checksum != written->second) {
    return Status(Code::kCorruption, path + " has changed since it was written");
  }
  return read;
}

Status SnapshotFiles::AddFiles(TableChecksums& known, bool verify, const CancelToken& token) {
  Result<std::optional<std::vector<std::string>>> names = ListFolder(env_, folder_);
  if (!names.ok()) return names.status();
  TableChecksums tables;
  for (const std::string& name : names->value_or(std::vector<std::string>())) {
    ManifestFile file;
    if (const auto found = known.find(name); found != known.end()) {
      file = found->second;
    } else {
      Result<ManifestFile> described = Describe(name, verify, token);
      if (!described.ok()) return described.status();
      file = *std::move(described);
    }
    if (IsTable(name)) tables.emplace(name, file);
    manifest_.files.push_back(std::move(file));
  }
  if (verify) known = std::move(tables);
  encoded_ = EncodeManifest(manifest_);
  std::uint64_t end = encoded_.size();
  for (const ManifestFile& file : manifest_.files) {
    starts_.push_back(end);
    end += file.size;
  }
  starts_.push_back(end);
  return Status::Ok();
}

Result<node::SnapshotSource::Part> SnapshotFiles::Read(std::uint64_t offset,
                                                       std::size_t max_bytes) {
  Result<std::string> data = ReadPart(offset, max_bytes);
  if (!data.ok()) return data.status();
  node::SnapshotSource::Part part;
  part.last = offset + data->size() == total_bytes();
  part.data = Bytes(*std::move(data));
  return part;
}

Result<Bytes> SnapshotFiles::ReadWhole(std::uint64_t offset, std::size_t bytes) {
  std::string whole;
  while (bytes > whole.size()) {
    Result<std::string> data = ReadPart(offset + whole.size(), bytes - whole.size());
    if (!data.ok()) return data.status();
    if (data->empty())
      return Status(Code::kInvalidArgument, "the snapshot does not have that many bytes");
    if (whole.empty()) {
      whole = *std::move(data);
    } else {
      whole.append(*data);
    }
  }
  return Bytes(std::move(whole));
}

Result<std::string> SnapshotFiles::ReadPart(std::uint64_t offset, std::size_t max_bytes) {
  RAFTKV_CHECK(max_bytes > 0);
  if (offset > total_bytes()) {
    return Status(Code::kInvalidArgument, "a snapshot has no byte " + std::to_string(offset));
  }
  std::string data;
  if (offset < encoded_.size()) {
    data = encoded_.substr(offset, max_bytes);
  } else if (offset < total_bytes()) {
    // The last file that begins at or before `offset`: empty ones are passed over.
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), offset);
    const auto index = static_cast<std::size_t>(after - starts_.begin()) - 1;
    const ManifestFile& file = manifest_.files[index];
    const std::string path = folder_ + "/" + file.name;
    if (open_ == nullptr || open_index_ != index) {
      const rocksdb::Status opened = env_.NewRandomAccessFile(path, &open_, rocksdb::EnvOptions());
      if (!opened.ok()) return ToStatus(opened, "open " + path);
      open_index_ = index;
    }
    const std::uint64_t at = offset - starts_[index];
    data.resize(std::min<std::uint64_t>(max_bytes, file.size - at));
    rocksdb::Slice read;
    const rocksdb::Status done = open_->Read(at, data.size(), &read, data.data());
    if (!done.ok()) return ToStatus(done, "read " + path);
    if (read.size() != data.size()) {
      return Status(Code::kCorruption, path + " is shorter than it was");
    }
    if (read.data() != data.data()) data.assign(read.data(), read.size());
  }
  return data;
}

CheckpointSource::~CheckpointSource() {
  // Removing it takes time; where there is no worker any more this thread is not the loop.
  static_cast<void>(worker_->PostRelease([files = std::move(files_)] {}));
}

void CheckpointSource::Read(std::uint64_t offset, std::size_t max_bytes, node::Done<Part> done) {
  RunOn(
      *worker_, completions_,
      [files = files_, offset, max_bytes] { return files->Read(offset, max_bytes); },
      std::move(done));
}

}  // namespace raftkv::storage
