// Did a power cut tear the last record of a database's MANIFEST?
//
// RocksDB writes and syncs one record for each flush, and only then removes what the record
// replaces: a write-ahead log, older tables. So a record that was never synced is as good as none.
// RocksDB itself tolerates one that ends early, and refuses to open where one has a hole.
#pragma once

#include <optional>
#include <string>

#include <rocksdb/env.h>

#include <raftkv/status.h>

#include "storage/folder/record.h"

namespace raftkv::storage {

/// Cuts off the last record of the MANIFEST of the database in `folder` if, according to `record`,
/// the machine was restarted (`machine_boot`: its boot now) or a write had failed since, the record
/// lacks a sector, and nothing whole is behind it. True: it was cut off, durably. Everything else
/// is left as it is, for RocksDB to judge. The folder is locked by the caller, the database not
/// open.
Result<std::optional<std::string>> CutTornManifest(rocksdb::Env& env, const std::string& folder,
                                                   const Record& record,
                                                   const std::string& machine_boot);

}  // namespace raftkv::storage
