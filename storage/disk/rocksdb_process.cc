#include "storage/disk/rocksdb_process.h"

#include <unistd.h>

#include <atomic>
#include <exception>
#include <utility>

#include <rocksdb/env.h>

#include "lib/base/host_code.h"
#include "lib/base/thread.h"

namespace raftkv::storage {

namespace {

/// Before all objects with static storage duration of the host, so that it goes after them: one of
/// them may be a Node or a Log.
__attribute__((constructor(101))) void MakeDefaultEnv() {
  static_cast<void>(rocksdb::Env::Default());
}

/// 0: in none yet.
std::atomic<int> made_in_process{0};

void MakeThreads() {
  const SignalsBlocked blocked;
  rocksdb::Env& env = *rocksdb::Env::Default();
  // As many as max_background_jobs = 2 stands for.
  for (const auto priority : {rocksdb::Env::LOW, rocksdb::Env::HIGH}) {
    env.IncBackgroundThreadsIfNeeded(1, priority);
    // Where the limit was raised before and the thread could not be made, this makes it.
    env.Schedule([](void*) {}, nullptr, priority);
  }
}

}  // namespace

Status PrepareRocksdb() {
  int nowhere = 0;
  const int here = getpid();
  if (!made_in_process.compare_exchange_strong(nowhere, here) && nowhere != here) {
    return OfForkedChild("Open");
  }
  return OpenOrUnavailable([] {
    MakeThreads();
    return Status::Ok();
  });
}

rocksdb::Status OpenRocksdb(const rocksdb::Options& options, const std::string& folder,
                            const std::vector<rocksdb::ColumnFamilyDescriptor>& families,
                            bool read_only, OpenDatabase& out) {
  const SignalsBlocked blocked;  // RocksDB makes threads of its own as it opens
  rocksdb::DB* db = nullptr;
  try {
    const rocksdb::Status opened =
        read_only ? rocksdb::DB::OpenForReadOnly(options, folder, families, &out.families, &db)
                  : rocksdb::DB::Open(options, folder, families, &out.families, &db);
    out.db.reset(db);
    return opened;
  } catch (const std::exception& error) {
    // It is open, but for the timer of its own that it could not make.
    out.db.reset(db);
    for (rocksdb::ColumnFamilyHandle* family : out.families) {
      if (db != nullptr) db->DestroyColumnFamilyHandle(family).PermitUncheckedError();
    }
    out.families.clear();
    if (out.db) out.db->Close().PermitUncheckedError();
    out.db.reset();
    return rocksdb::Status::Incomplete("the system has no thread or memory to give", error.what());
  }
}

rocksdb::Status OpenRocksdb(const rocksdb::Options& options, const std::string& folder,
                            bool read_only, std::unique_ptr<rocksdb::DB>& out) {
  OpenDatabase database;
  const rocksdb::Status opened = OpenRocksdb(
      options, folder, {{rocksdb::kDefaultColumnFamilyName, rocksdb::ColumnFamilyOptions(options)}},
      read_only, database);
  for (rocksdb::ColumnFamilyHandle* family : database.families) {
    database.db->DestroyColumnFamilyHandle(family).PermitUncheckedError();
  }
  out = std::move(database.db);
  return opened;
}

}  // namespace raftkv::storage
