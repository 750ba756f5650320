// What does the small file beside the databases say about them?
//
// The record holds identity and lower bounds. The `state` column family is the authority; the
// record exposes losses that RocksDB itself cannot detect (a deleted write-ahead log, a truncated
// manifest). It is written as a whole, after the sync of what it claims, and not for each write.
// Term and vote are exact: they are here before any other member learns of them, so a member that
// has lost its log database still knows its vote. The file has two copies.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "lib/base/ids.h"
#include "lib/node/ports.h"

namespace raftkv::storage {

inline constexpr std::uint32_t kRecordFormatVersion = 1;
inline constexpr char kRecordName[] = "record";

/// Databases of a data folder in which damage was found while they were open.
enum class Damaged : std::uint8_t { kNothing, kLog, kKv };

struct Record {
  /// False while the folder is being created: nothing beside it was ever promised.
  bool complete = false;
  /// The member closed the folder itself: nothing can be torn.
  bool clean_close = false;
  /// A write or sync of the log failed: batches after `batch_number`, which is exact then, were
  /// never acknowledged, and may be torn although the machine was not restarted.
  bool tail_may_be_torn = false;
  /// There are other members, which can refill what is lost here.
  bool has_peers = false;
  /// To be repaired at the next open.
  Damaged damaged = Damaged::kNothing;
  NodeId member;
  ClusterId cluster;
  std::string name;
  /// Identifies the run of the machine's kernel in which the folder was last opened.
  std::string machine_boot;

  // Lower bounds of what the log database holds.
  node::Boot boot;
  std::uint64_t batch_number = 0;
  /// Entries up to here are durable and can no longer be replaced (they are committed).
  Index durable_index;
  // Exact.
  Term term;
  NodeId vote;

  friend bool operator==(const Record&, const Record&) = default;
};

/// The bytes of the file.
std::string EncodeRecord(const Record& record);
/// Whether these are the bytes of a record, damaged or not.
bool IsRecord(std::string_view bytes);
/// VersionMismatch: a newer version wrote it. Corruption: no copy is intact.
Result<Record> DecodeRecord(std::string_view bytes);

/// nullopt: there is none.
Result<std::optional<Record>> ReadRecord(rocksdb::Env& env, const std::string& folder);
/// Ok: the record is durable.
Status WriteRecord(rocksdb::Env& env, const std::string& folder, const Record& record);

}  // namespace raftkv::storage
