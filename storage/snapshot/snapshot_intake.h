// How does a snapshot from another member become a folder that can be opened?
//
// The stream of docs/disk-format.md arrives in parts and in order. Files that are already present,
// in the live database or from an unfinished transfer, perhaps because this member was killed, are
// not requested. Owned by one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "storage/disk/checksums.h"
#include "storage/snapshot/snapshot_manifest.h"

namespace raftkv::storage {

class SnapshotIntake {
 public:
  /// Folders are called `folder`/kv-<n>, beginning with `first_number`. `left_number`: the one that
  /// an earlier open began; 0: none. Reading what is already present ends once `token` is
  /// cancelled.
  SnapshotIntake(rocksdb::Env& env, std::string folder, std::uint64_t first_number,
                 std::uint64_t left_number, node::LogSink sink, CancelToken token = {});

  /// Answers with the offset wanted next; with whole() that is the end. `live`: the folder
  /// of the database in use. Corruption, InvalidArgument: the sender's bytes are invalid;
  /// IOError, NoSpace. Complete, correct files are kept for the next attempt.
  Result<std::uint64_t> Receive(std::uint64_t id, std::uint64_t offset, std::string_view data,
                                const std::string& live);
  [[nodiscard]] bool whole() const;
  [[nodiscard]] Index applied() const { return manifest_->applied; }

  /// The name of the folder, which belongs to the caller from now on; its content is durable.
  Result<std::string> Finish();
  /// The next snapshot continues in `folder`/kv-<number>, which holds files of one that was not
  /// installed. False: another one is being received.
  [[nodiscard]] bool ContinueIn(std::uint64_t number);
  /// Removes what was received.
  void Drop();
  /// The same, for files that no snapshot has used yet.
  void DropUnseen();

 private:
  /// A file that is being written.
  struct Partial {
    ManifestFile file;
    std::uint64_t received = 0;
    std::unique_ptr<rocksdb::WritableFile> writer;
    std::unique_ptr<RunningChecksum> checksum;
  };

  [[nodiscard]] std::uint64_t Wanted() const;
  [[nodiscard]] std::string PathOf(const std::string& name) const;
  Status AddToManifest(std::string_view data, const std::string& live);
  Status Plan(const std::string& live);
  void KeepWhatFits();
  Status LookThrough();
  [[nodiscard]] bool IsIn(const std::string& folder, const ManifestFile& file) const;
  Status TakePart(const ManifestFile& file);
  [[nodiscard]] std::uint64_t BytesHere() const;
  void LinkFrom(const std::string& live, const ManifestFile& file);
  Status RemoveOthers();
  Status AddToFile(std::string_view data);
  Status BeginPart(const ManifestFile& file);
  Status AppendToPart(std::string_view data);
  Status EndFile();
  /// Skips files that are present; creates files without content.
  Status Advance();
  void Say(node::LogSeverity severity, const std::string& line) const;

  // Constant after construction.
  rocksdb::Env& env_;
  const std::string folder_;
  const node::LogSink sink_;
  const CancelToken token_;

  std::uint64_t number_;  ///< of the folder
  bool made_ = false;
  /// The folder holds files that are not checked yet.
  bool unseen_ = false;
  // The content of the folder, of this snapshot or an earlier one.
  std::map<std::string, ManifestFile> have_;
  std::optional<Partial> partial_;
  /// Since the folder was made.
  std::uint64_t came_bytes_ = 0;
  unsigned damaged_files_ = 0;

  // The current stream.
  std::uint64_t id_ = 0;
  std::string manifest_bytes_;
  std::optional<Manifest> manifest_;
  std::vector<std::uint64_t> starts_;  ///< of the files, and the end
  std::size_t at_ = 0;                 ///< the first file that is not present
};

}  // namespace raftkv::storage
