// What does the small file beside the databases say of them?
//
// The record holds identity and lower bounds. The `state` column family is the authority; the
// record convicts it where it lost something that RocksDB itself cannot notice (a deleted
// write-ahead log, a cut manifest). It is written whole, after the sync of what it claims, and
// never per write.
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

struct Record {
  /// False while the folder is being made: whatever stands beside it was never promised to anybody.
  bool complete = false;
  /// The member closed the folder itself: nothing can be torn.
  bool clean_close = false;
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
  Term term;
  NodeId vote;

  friend bool operator==(const Record&, const Record&) = default;
};

std::string EncodeRecord(const Record& record);
/// Whether these are the bytes of a record, damaged or not.
bool IsRecord(std::string_view bytes);
/// VersionMismatch: a newer version wrote it. Corruption: the checksum does not fit.
Result<Record> DecodeRecord(std::string_view bytes);

/// nullopt: there is none.
Result<std::optional<Record>> ReadRecord(rocksdb::Env& env, const std::string& folder);
/// Ok: the record is durable.
Status WriteRecord(rocksdb::Env& env, const std::string& folder, const Record& record);

}  // namespace raftkv::storage
