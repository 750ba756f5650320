// How does the data folder of a new member come to be?
#pragma once

#include <string>

#include <raftkv/status.h>

#include "storage/folder/record.h"
#include "storage/kv/kv_engine.h"
#include "storage/log/log_db.h"

namespace raftkv::storage {

/// Makes the databases of a new member with a new random id; the folder exists and is locked.
Result<Record> MakeMember(const LogDbOptions& log, const KvEngineOptions& kv,
                          const std::string& folder, const std::string& name,
                          const std::string& machine_boot);

}  // namespace raftkv::storage
