#include "tests/support/faults/crash_fs.h"

#include <pthread.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "lib/base/check.h"
#include "tests/support/faults/crash_fs_files.h"

namespace raftkv::test {

namespace {

constexpr std::size_t kPageBytes = 4096;
/// The disk itself writes these whole or not at all.
constexpr std::size_t kSectorBytes = 512;

rocksdb::IOStatus NotFound(const std::string& path) {
  return rocksdb::IOStatus::NotFound("No such file or directory", path);
}

struct CrashLock final : rocksdb::FileLock {
  std::string path;
  std::uint64_t generation = 0;
};

}  // namespace

rocksdb::IOStatus PowerGone() { return rocksdb::IOStatus::IOError("the power is gone"); }

CrashFs::CrashFs(std::uint64_t seed) : random_(seed), root_(std::make_shared<Inode>()) {
  root_->is_folder = true;
}

void CrashFs::CrashAt(std::uint64_t operation) {
  const std::lock_guard lock(mutex_);
  RAFTKV_CHECK(operation > 0);
  crash_at_ = operations_ + operation;
}

void CrashFs::Crash() {
  const std::lock_guard lock(mutex_);
  frozen_ = true;
}

bool CrashFs::crashed() const {
  const std::lock_guard lock(mutex_);
  return frozen_;
}

bool CrashFs::crashed_in_background() const {
  const std::lock_guard lock(mutex_);
  return frozen_ && in_background_;
}

std::uint64_t CrashFs::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

void CrashFs::Reboot(std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  Random chance(seed);
  std::map<Inode*, InodePtr> done;
  root_ = Survive(root_, chance, done);
  ++generation_;
  frozen_ = false;
  in_background_ = false;
  crash_at_ = 0;
  locks_.clear();
}

std::string CrashFs::SurvivingBytes(const Inode& file, Random& random) {
  if (file.synced == file.data.size()) return file.data;
  const std::size_t unsynced = file.data.size() - file.synced;
  switch (random.Below(4)) {
    case 0: return file.data.substr(0, file.synced);
    case 1: return file.data;
    case 2: return file.data.substr(0, file.synced + random.Below(unsynced + 1));
    default: break;
  }
  std::string data = file.data;
  const std::size_t unit = random.Below(2) == 0 ? kPageBytes : kSectorBytes;
  for (std::size_t at = file.synced / unit; at * unit < data.size(); ++at) {
    if (random.Below(2) == 0) continue;
    const std::size_t begin = std::max(at * unit, file.synced);
    const std::size_t end = std::min((at + 1) * unit, data.size());
    std::fill(data.begin() + static_cast<std::ptrdiff_t>(begin),
              data.begin() + static_cast<std::ptrdiff_t>(end), '\0');
  }
  return data;
}

CrashFs::InodePtr CrashFs::Survive(const InodePtr& inode, Random& random,
                                   std::map<Inode*, InodePtr>& done) const {
  InodePtr& after = done[inode.get()];
  if (after != nullptr) return after;
  after = std::make_shared<Inode>();
  const InodePtr result = after;
  result->is_folder = inode->is_folder;
  if (!inode->is_folder) {
    result->data = SurvivingBytes(*inode, random);
    result->synced = result->data.size();
    return result;
  }
  Entries entries = inode->durable;
  const std::size_t kept = random.Below(inode->unsynced.size() + 1);
  for (std::size_t i = 0; i < kept; ++i) inode->unsynced[i](entries);
  for (const auto& [name, child] : entries) {
    result->entries[name] = Survive(child, random, done);
  }
  result->durable = result->entries;
  return result;
}

std::string CrashFs::Content(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const InodePtr inode = Find(path);
  RAFTKV_CHECK(inode != nullptr, path);
  RAFTKV_CHECK(!inode->is_folder, path);
  return inode->data;
}

void CrashFs::SetContent(const std::string& path, const std::string& content) {
  const std::lock_guard lock(mutex_);
  const std::optional<Place> place = FindPlace(path);
  RAFTKV_CHECK(place.has_value(), path);
  auto inode = std::make_shared<Inode>();
  inode->data = content;
  inode->synced = content.size();
  place->folder->entries[place->name] = inode;
  place->folder->durable[place->name] = inode;
}

std::vector<std::string> CrashFs::List(const std::string& folder) const {
  const std::lock_guard lock(mutex_);
  const InodePtr inode = Find(folder);
  std::vector<std::string> names;
  if (inode == nullptr) return names;
  for (const auto& [name, child] : inode->entries) names.push_back(name);
  return names;
}

void CrashFs::Flatten(const InodePtr& inode, const std::string& path,
                      std::map<std::string, std::string>& out) {
  for (const auto& [name, child] : inode->entries) {
    const std::string below = path + "/" + name;
    out[below] = child->is_folder ? "(folder)" : child->data;
    if (child->is_folder) Flatten(child, below, out);
  }
}

std::map<std::string, std::string> CrashFs::Everything() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::string> out;
  Flatten(root_, "", out);
  return out;
}

std::shared_ptr<CrashFs> CrashFs::Copy() const {
  auto copy = std::make_shared<CrashFs>();
  for (const auto& [path, content] : Everything()) {
    if (content == "(folder)") {
      RAFTKV_CHECK(copy->CreateFolder(path, true).ok(), path);
    } else {
      copy->SetContent(path, content);
    }
  }
  // Everything that was made is as it would be after a sync of each folder.
  const std::function<void(const InodePtr&)> sync = [&](const InodePtr& folder) {
    folder->durable = folder->entries;
    folder->unsynced.clear();
    for (const auto& [name, child] : folder->entries) {
      if (child->is_folder) sync(child);
    }
  };
  sync(copy->root_);
  return copy;
}

CrashFs::Power CrashFs::Operate(std::uint64_t generation) {
  if (Dead(generation)) return Power::kGone;
  ++operations_;
  if (operations_ != crash_at_) return Power::kOn;
  char thread[16] = {};
  pthread_getname_np(pthread_self(), thread, sizeof thread);
  in_background_ = std::string_view(thread).starts_with("rocksdb:");
  frozen_ = true;
  return Power::kGoesNow;
}

CrashFs::InodePtr CrashFs::Find(const std::string& path) const {
  InodePtr at = root_;
  std::size_t begin = 0;
  while (at != nullptr && begin < path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty() || name == ".") continue;
    if (!at->is_folder) return nullptr;
    const auto found = at->entries.find(name);
    at = found == at->entries.end() ? nullptr : found->second;
  }
  return at;
}

std::optional<CrashFs::Place> CrashFs::FindPlace(const std::string& path) const {
  std::string whole = path;
  while (!whole.empty() && whole.back() == '/') whole.pop_back();
  const std::size_t slash = whole.find_last_of('/');
  const std::string parent = slash == std::string::npos ? "" : whole.substr(0, slash);
  InodePtr folder = Find(parent);
  if (folder == nullptr || !folder->is_folder) return std::nullopt;
  return Place{folder, slash == std::string::npos ? whole : whole.substr(slash + 1)};
}

void CrashFs::ChangeNames(const InodePtr& folder, Change change) {
  change(folder->entries);
  folder->unsynced.push_back(std::move(change));
}

rocksdb::IOStatus CrashFs::ChangeOperation(const InodePtr& folder, Change change) {
  const Power power = Operate(generation_);
  if (power == Power::kOn || (power == Power::kGoesNow && random_.Below(2) == 0)) {
    ChangeNames(folder, std::move(change));
  }
  return power == Power::kOn ? IOStatus::OK() : PowerGone();
}

template <class Use>
rocksdb::IOStatus CrashFs::With(const std::string& path, const Use& use) const {
  const std::lock_guard lock(mutex_);
  if (frozen_) return PowerGone();
  const InodePtr inode = Find(path);
  return inode == nullptr ? NotFound(path) : use(inode);
}

template <class Use>
rocksdb::IOStatus CrashFs::WithFolder(const std::string& path, const Use& use) const {
  return With(
      path, [&](const InodePtr& inode) { return inode->is_folder ? use(inode) : NotFound(path); });
}

template <class Use>
rocksdb::IOStatus CrashFs::WithPlace(const std::string& path, const Use& use) const {
  const std::lock_guard lock(mutex_);
  if (frozen_) return PowerGone();
  const std::optional<Place> place = FindPlace(path);
  return place.has_value() ? use(*place) : NotFound(path);
}

template <class File, class Base>
rocksdb::IOStatus CrashFs::OpenFile(const std::string& path, std::unique_ptr<Base>* out) {
  return With(path, [&](const InodePtr& inode) {
    *out = std::make_unique<File>(*this, inode, generation_);
    return IOStatus::OK();
  });
}

rocksdb::IOStatus CrashFs::NewSequentialFile(const std::string& path, const FileOptions&,
                                             std::unique_ptr<rocksdb::FSSequentialFile>* out,
                                             Debug*) {
  return OpenFile<CrashSequentialFile>(path, out);
}

rocksdb::IOStatus CrashFs::NewRandomAccessFile(const std::string& path, const FileOptions&,
                                               std::unique_ptr<rocksdb::FSRandomAccessFile>* out,
                                               Debug*) {
  return OpenFile<CrashRandomAccessFile>(path, out);
}

rocksdb::IOStatus CrashFs::NewWritableFile(const std::string& path, const FileOptions&,
                                           std::unique_ptr<rocksdb::FSWritableFile>* out, Debug*) {
  return WithPlace(path, [&](const Place& place) {
    auto inode = std::make_shared<Inode>();
    IOStatus made = ChangeOperation(
        place.folder, [name = place.name, inode](Entries& entries) { entries[name] = inode; });
    if (made.ok()) *out = std::make_unique<CrashWritableFile>(*this, inode, generation_);
    return made;
  });
}

rocksdb::IOStatus CrashFs::NewDirectory(const std::string& path, const IOOptions&,
                                        std::unique_ptr<rocksdb::FSDirectory>* out, Debug*) {
  return WithFolder(path, [&](const InodePtr& inode) {
    *out = std::make_unique<CrashDirectory>(*this, inode, generation_);
    return IOStatus::OK();
  });
}

rocksdb::IOStatus CrashFs::FileExists(const std::string& path, const IOOptions&, Debug*) {
  return With(path, [](const InodePtr&) { return IOStatus::OK(); });
}

rocksdb::IOStatus CrashFs::GetChildren(const std::string& path, const IOOptions&,
                                       std::vector<std::string>* out, Debug*) {
  return WithFolder(path, [&](const InodePtr& inode) {
    out->clear();
    for (const auto& [name, child] : inode->entries) out->push_back(name);
    return IOStatus::OK();
  });
}

rocksdb::IOStatus CrashFs::DeleteFile(const std::string& path, const IOOptions&, Debug*) {
  return WithPlace(path, [&](const Place& place) {
    const auto found = place.folder->entries.find(place.name);
    if (found == place.folder->entries.end()) return NotFound(path);
    if (found->second->is_folder) return IOStatus::IOError("Is a directory", path);
    return ChangeOperation(place.folder,
                           [name = place.name](Entries& entries) { entries.erase(name); });
  });
}

rocksdb::IOStatus CrashFs::CreateFolder(const std::string& path, bool may_exist) {
  const std::lock_guard lock(mutex_);
  if (frozen_) return PowerGone();
  if (const InodePtr there = Find(path); there != nullptr) {
    if (may_exist && there->is_folder) return IOStatus::OK();
    return IOStatus::IOError("File exists", path);
  }
  const std::optional<Place> place = FindPlace(path);
  if (!place.has_value()) return NotFound(path);
  auto inode = std::make_shared<Inode>();
  inode->is_folder = true;
  return ChangeOperation(place->folder,
                         [name = place->name, inode](Entries& entries) { entries[name] = inode; });
}

rocksdb::IOStatus CrashFs::CreateDir(const std::string& path, const IOOptions&, Debug*) {
  return CreateFolder(path, false);
}

rocksdb::IOStatus CrashFs::CreateDirIfMissing(const std::string& path, const IOOptions&, Debug*) {
  return CreateFolder(path, true);
}

rocksdb::IOStatus CrashFs::DeleteDir(const std::string& path, const IOOptions&, Debug*) {
  return WithPlace(path, [&](const Place& place) {
    const InodePtr inode = Find(path);
    if (inode == nullptr || !inode->is_folder) return NotFound(path);
    if (!inode->entries.empty()) return IOStatus::IOError("Directory not empty", path);
    return ChangeOperation(place.folder,
                           [name = place.name](Entries& entries) { entries.erase(name); });
  });
}

rocksdb::IOStatus CrashFs::GetFileSize(const std::string& path, const IOOptions&,
                                       std::uint64_t* size, Debug*) {
  return With(path, [&](const InodePtr& inode) {
    *size = inode->data.size();
    return IOStatus::OK();
  });
}

rocksdb::IOStatus CrashFs::GetFileModificationTime(const std::string& path, const IOOptions&,
                                                   std::uint64_t* time, Debug*) {
  return With(path, [&](const InodePtr&) {
    *time = 0;
    return IOStatus::OK();
  });
}

rocksdb::IOStatus CrashFs::RenameFile(const std::string& from, const std::string& to,
                                      const IOOptions&, Debug*) {
  const std::lock_guard lock(mutex_);
  if (frozen_) return PowerGone();
  const InodePtr inode = Find(from);
  const std::optional<Place> before = FindPlace(from);
  const std::optional<Place> after = FindPlace(to);
  if (inode == nullptr || !before.has_value() || !after.has_value()) return NotFound(from);
  // Over two folders a rename is two changes here; nothing under test does that.
  RAFTKV_CHECK(before->folder == after->folder, from, to);
  return ChangeOperation(
      before->folder, [old_name = before->name, new_name = after->name, inode](Entries& entries) {
        entries.erase(old_name);
        entries[new_name] = inode;
      });
}

rocksdb::IOStatus CrashFs::LinkFile(const std::string& from, const std::string& to,
                                    const IOOptions&, Debug*) {
  const std::lock_guard lock(mutex_);
  if (frozen_) return PowerGone();
  const InodePtr inode = Find(from);
  const std::optional<Place> place = FindPlace(to);
  if (inode == nullptr || !place.has_value()) return NotFound(from);
  if (place->folder->entries.contains(place->name)) return IOStatus::IOError("File exists", to);
  return ChangeOperation(place->folder,
                         [name = place->name, inode](Entries& entries) { entries[name] = inode; });
}

rocksdb::IOStatus CrashFs::LockFile(const std::string& path, const IOOptions&,
                                    rocksdb::FileLock** out, Debug*) {
  return WithPlace(path, [&](const Place& place) {
    if (locks_.contains(path)) return IOStatus::Busy("locked by this process", path);
    if (!place.folder->entries.contains(place.name)) {
      IOStatus made =
          ChangeOperation(place.folder, [name = place.name, inode = std::make_shared<Inode>()](
                                            Entries& entries) { entries[name] = inode; });
      if (!made.ok()) return made;
    }
    locks_.insert(path);
    auto held = std::make_unique<CrashLock>();
    held->path = path;
    held->generation = generation_;
    *out = held.release();
    return IOStatus::OK();
  });
}

rocksdb::IOStatus CrashFs::UnlockFile(rocksdb::FileLock* lock, const IOOptions&, Debug*) {
  const std::lock_guard guard(mutex_);
  const std::unique_ptr<CrashLock> held(static_cast<CrashLock*>(lock));
  if (held->generation == generation_) locks_.erase(held->path);
  return IOStatus::OK();
}

rocksdb::IOStatus CrashFs::GetTestDirectory(const IOOptions&, std::string* path, Debug*) {
  *path = "/test";
  return CreateFolder(*path, true);
}

rocksdb::IOStatus CrashFs::NewLogger(const std::string&, const IOOptions&,
                                     std::shared_ptr<rocksdb::Logger>*, Debug*) {
  return IOStatus::NotSupported("CrashFs keeps no log of its own");
}

rocksdb::IOStatus CrashFs::GetAbsolutePath(const std::string& path, const IOOptions&,
                                           std::string* out, Debug*) {
  *out = path.empty() || path.front() != '/' ? "/" + path : path;
  return IOStatus::OK();
}

rocksdb::IOStatus CrashFs::IsDirectory(const std::string& path, const IOOptions&, bool* is_dir,
                                       Debug*) {
  return With(path, [&](const InodePtr& inode) {
    *is_dir = inode->is_folder;
    return IOStatus::OK();
  });
}

}  // namespace raftkv::test
