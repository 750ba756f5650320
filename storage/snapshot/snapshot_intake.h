// How does a snapshot from another member become a folder that can be opened?
//
// The stream of docs/disk-format.md comes in parts and in order. Files that are already present, in
// the live database or from a transfer that did not come to its end, perhaps because this member
// was killed, are not asked for. Owned by one thread.
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
  /// an earlier open began; 0: none. Reading what is here already ends once `token` is cancelled.
  SnapshotIntake(rocksdb::Env& env, std::string folder, std::uint64_t first_number,
                 std::uint64_t left_number, node::LogSink sink, CancelToken token = {});

  /// Answers with the offset that is wanted next; with whole() that is the end. `live`: the folder
  /// of the database in use. Corruption, InvalidArgument: the sender's bytes make no sense;
  /// IOError, NoSpace. What is whole and right stays for the next attempt.
  Result<std::uint64_t> Receive(std::uint64_t id, std::uint64_t offset, std::string_view data,
                                const std::string& live);
  [[nodiscard]] bool whole() const;
  [[nodiscard]] Index applied() const { return manifest_->applied; }

  /// The name of the folder, which is the caller's from now on; all that is in it is durable.
  Result<std::string> Finish();
  /// The next snapshot continues in `folder`/kv-<number>, which holds files of one that was not
  /// installed. False: another one is being received.
  [[nodiscard]] bool ContinueIn(std::uint64_t number);
  /// Removes what is here.
  void Drop();
  /// The same, of what no snapshot has asked for yet.
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
  /// Passes over what is here; files without content are made.
  Status Advance();
  void Say(node::LogSeverity severity, const std::string& line) const;

  // Constant after construction.
  rocksdb::Env& env_;
  const std::string folder_;
  const node::LogSink sink_;
  const CancelToken token_;

  std::uint64_t number_;  ///< of the folder
  bool made_ = false;
  /// The folder holds files that nobody has looked at.
  bool unseen_ = false;
  // What is in the folder, of this snapshot or of one before.
  std::map<std::string, ManifestFile> have_;
  std::optional<Partial> partial_;
  /// Since the folder was made.
  std::uint64_t came_bytes_ = 0;
  unsigned damaged_files_ = 0;

  // The present stream.
  std::uint64_t id_ = 0;
  std::string manifest_bytes_;
  std::optional<Manifest> manifest_;
  std::vector<std::uint64_t> starts_;  ///< of the files, and the end
  std::size_t at_ = 0;                 ///< the first file that is not here
};

}  // namespace raftkv::storage
