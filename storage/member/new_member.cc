#include "storage/member/new_member.h"

#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"

namespace raftkv::storage {

Result<Record> MakeMember(const LogDbOptions& log, const KvEngineOptions& kv,
                          const std::string& folder, const std::string& name,
                          const std::string& machine_boot) {
  return MakeNew(*log.env, folder, name, machine_boot, [&](const Record& record) {
    if (Status s = MakeFolder(*log.env, kv.folder); !s.ok()) return s;
    const Identity identity{record.member, ClusterId(), name};
    if (Status s = LogDb::Create(log, identity, kFirstKvFolder); !s.ok()) return s;
    return KvEngine::Create(kv);
  });
}

}  // namespace raftkv::storage
