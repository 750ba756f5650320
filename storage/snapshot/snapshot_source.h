// Where do the bytes of a snapshot come from that is sent to another member?
//
// From a checkpoint of the key-value database: a folder of hard links, which goes when nobody sends
// it any more. Where a crash leaves one behind, sending may go on with it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <rocksdb/env.h>

#include "lib/node/ports.h"
#include "storage/disk/completions.h"
#include "storage/disk/worker.h"
#include "storage/kv/kv_engine.h"
#include "storage/snapshot/snapshot_manifest.h"

namespace raftkv::storage {

/// Checksums of table files, which never change, so that they are not read for each snapshot. Of
/// one database; owned by one thread.
using TableChecksums = std::map<std::string, ManifestFile>;

/// The files of a checkpoint as one stream of bytes. Owned by one thread.
class SnapshotFiles {
 public:
  /// Takes a checkpoint of `engine` in `folder`, which does not exist, and reads all of it.
  /// Without `verify` nobody looks whether a table is as it was written: somebody else will.
  /// Cancelled once `token` is.
  static Result<std::shared_ptr<SnapshotFiles>> Make(KvEngine& engine, const std::string& folder,
                                                     TableChecksums& known, bool verify = true,
                                                     const CancelToken& token = {});
  /// Reads the checkpoint that is in `folder`; it goes if it is of no use.
  static Result<std::shared_ptr<SnapshotFiles>> Open(const KvEngineOptions& engine,
                                                     const std::string& folder,
                                                     TableChecksums& known, bool verify = true,
                                                     const CancelToken& token = {});
  /// Removes the folder.
  ~SnapshotFiles();
  SnapshotFiles(const SnapshotFiles&) = delete;
  SnapshotFiles& operator=(const SnapshotFiles&) = delete;

  [[nodiscard]] Index applied() const { return manifest_.applied; }
  [[nodiscard]] const kv::Position& position() const { return position_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }
  [[nodiscard]] std::uint64_t id() const { return SnapshotId(encoded_); }
  [[nodiscard]] std::uint64_t total_bytes() const { return starts_.back(); }
  /// A part never spans two files. InvalidArgument: nothing is there.
  Result<node::SnapshotSource::Part> Read(std::uint64_t offset, std::size_t max_bytes);
  /// Just so many bytes. InvalidArgument: they are not there.
  Result<Bytes> ReadWhole(std::uint64_t offset, std::size_t bytes);

 private:
  SnapshotFiles(const KvEngineOptions& engine, std::string folder);
  Status AddFiles(TableChecksums& known, bool verify, const CancelToken& token);
  [[nodiscard]] Result<ManifestFile> Describe(const std::string& name, bool verify,
                                              const CancelToken& token) const;
  Result<std::string> ReadPart(std::uint64_t offset, std::size_t max_bytes);

  rocksdb::Env& env_;
  const std::shared_ptr<const void> env_owner_;
  const std::string folder_;
  kv::Position position_;
  /// See KvEngine::Head.
  std::map<std::string, std::uint64_t> written_;
  Manifest manifest_;
  std::string encoded_;
  /// Where the files begin, and the end of the last.
  std::vector<std::uint64_t> starts_;
  /// The one that was read last.
  std::size_t open_index_ = 0;
  std::unique_ptr<rocksdb::RandomAccessFile> open_;
};

/// SnapshotFiles as the loop sees them: they live on `worker`, where they are read.
class CheckpointSource final : public node::SnapshotSource {
 public:
  CheckpointSource(std::shared_ptr<SnapshotFiles> files, std::shared_ptr<Worker> worker,
                   Completions completions)
      : files_(std::move(files)),
        worker_(std::move(worker)),
        completions_(std::move(completions)) {}
  ~CheckpointSource() override;

  void Read(std::uint64_t offset, std::size_t max_bytes, node::Done<Part> done) override;

 private:
  std::shared_ptr<SnapshotFiles> files_;
  const std::shared_ptr<Worker> worker_;
  Completions completions_;
};

}  // namespace raftkv::storage
