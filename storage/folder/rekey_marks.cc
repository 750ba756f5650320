#include "storage/folder/rekey_marks.h"

#include "storage/disk/files.h"
#include "storage/folder/data_folder.h"
#include "storage/folder/record.h"

namespace raftkv::storage {

bool IsRekeyed(std::string_view name) {
  return name == kRecordName || name == kLogFolder || name == kNewLogFolder ||
         KvFolderNumber(name) > 0 || name.starts_with(kSetAsidePrefix);
}

bool IsRekeyCopy(std::string_view name) {
  if (!name.ends_with(kRekeyCopySuffix)) return false;
  name.remove_suffix(kRekeyCopySuffix.size());
  return IsRekeyed(name);
}

Status RemoveCopy(rocksdb::Env& env, const std::string& path) {
  const rocksdb::Status exists = env.FileExists(path);
  if (exists.IsNotFound()) return Status::Ok();
  bool is_folder = false;
  const rocksdb::Status looked = exists.ok() ? env.IsDirectory(path, &is_folder) : exists;
  if (!looked.ok()) return ToStatus(looked, "look at " + path);
  return is_folder ? RemoveTree(env, path) : ToStatus(env.DeleteFile(path), "remove " + path);
}

Result<bool> RekeyWasCutShort(rocksdb::Env& env, const std::string& folder) {
  const rocksdb::Status exists = env.FileExists(folder + "/" + kRekeyMarkName);
  if (exists.ok()) return true;
  if (exists.IsNotFound()) return false;
  return ToStatus(exists, "look at " + folder);
}

}  // namespace raftkv::storage
