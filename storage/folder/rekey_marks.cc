#include "storage/folder/rekey_marks.h"

#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"
#include "storage/folder/record.h"

namespace raftkv::storage {

bool IsRekeyed(std::string_view name) {
  return name == kRecordName || name == kLogFolder || name == kNewLogFolder ||
         KvFolderNumber(name) > 0 || IsSetAside(name);
}

bool IsRekeyCopy(std::string_view name) {
  if (!name.ends_with(kRekeyCopySuffix)) return false;
  name.remove_suffix(kRekeyCopySuffix.size());
  return IsRekeyed(name);
}

Result<bool> RekeyWasCutShort(rocksdb::Env& env, const std::string& folder) {
  const rocksdb::Status exists = env.FileExists(folder + "/" + kRekeyMarkName);
  if (exists.ok()) return true;
  if (exists.IsNotFound()) return false;
  return ToStatus(exists, "look at " + folder);
}

}  // namespace raftkv::storage
