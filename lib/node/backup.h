// What does a backup consist of, and how does its writer read it?
//
// A backup is the state machine at one index: the stream of a snapshot (manifest and files,
// docs/disk-format.md), and what is known about its content once all of it was read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <raftkv/cluster.h>
#include <raftkv/status.h>

#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/node/ports.h"

namespace raftkv::node {

/// Known when a backup begins.
struct BackupHead {
  Index index;
  Term term;  ///< of the entry at `index`
  ClusterId cluster;
  NodeId member;  ///< the member whose state it is
  std::string member_name;
  /// As that member knew them at that time.
  std::vector<ClusterMember> members;
  std::uint64_t stream_bytes = 0;
};

/// Known only once everything was read.
struct BackupContent {
  std::uint64_t hash = 0;  ///< kv::HashContent
  std::uint64_t keys = 0;
};

/// A backup that can be read while it is held. On the loop; callbacks as in ports.h.
class BackupSource {
 public:
  virtual ~BackupSource() = default;
  [[nodiscard]] virtual const BackupHead& head() const = 0;
  /// Exactly `bytes` bytes of the stream from `offset` on. InvalidArgument: the stream does not
  /// have them. Unavailable: not now, ask again.
  virtual void Read(std::uint64_t offset, std::size_t bytes, Done<Bytes> done) = 0;
  /// Called once, when the content is known.
  virtual void Content(Done<BackupContent> done) = 0;
};

/// The same for a thread that blocks.
class BackupFeed {
 public:
  virtual ~BackupFeed() = default;
  [[nodiscard]] virtual const BackupHead& head() const = 0;
  /// The next bytes of the stream, which has head().stream_bytes; nullopt: none arrived within a
  /// fraction of a second.
  virtual Result<std::optional<Bytes>> Next() = 0;
  /// The same, after the end of the stream.
  virtual Result<std::optional<BackupContent>> Content() = 0;
};

}  // namespace raftkv::node
