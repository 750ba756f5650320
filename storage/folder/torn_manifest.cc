#include "storage/folder/torn_manifest.h"

#include <optional>
#include <string_view>
#include <utility>

#include "storage/disk/files.h"
#include "storage/disk/log_file.h"
#include "storage/disk/machine.h"
#include "storage/folder/folder_key.h"

namespace raftkv::storage {

namespace {

/// The file that CURRENT names; nullopt: it names none.
Result<std::optional<std::string>> ManifestOf(rocksdb::Env& env, const std::string& folder) {
  Result<std::optional<std::string>> current = ReadFileIfExists(env, folder + "/CURRENT");
  if (!current.ok() || !current->has_value()) return current;
  std::string name = std::move(**current);
  if (!name.ends_with('\n')) return std::optional<std::string>();
  name.pop_back();
  if (!name.starts_with("MANIFEST-") || name.find('/') != std::string::npos) {
    return std::optional<std::string>();
  }
  return std::optional<std::string>(std::move(name));
}

/// A record with a hole.
struct Torn {
  std::size_t record = 0;    ///< where it begins
  std::size_t fragment = 0;  ///< where the broken part of it does
  std::size_t end = 0;
};

/// nullopt: there is none, or something whole is behind it.
std::optional<Torn> FindTorn(std::string_view content) {
  Torn torn;
  std::size_t at = 0;
  Fragment fragment = ReadFragment(content, at);
  while (fragment.kind == Fragment::Kind::kIntact || fragment.kind == Fragment::Kind::kPadding) {
    if (fragment.kind == Fragment::Kind::kIntact && fragment.begins()) torn.record = at;
    at += fragment.size;
    if (fragment.kind == Fragment::Kind::kIntact && fragment.ends()) torn.record = at;
    fragment = ReadFragment(content, at);
  }
  if (fragment.kind != Fragment::Kind::kBroken) return std::nullopt;
  torn.fragment = at;
  torn.end = at + fragment.size;
  for (std::size_t behind = at + 1; behind < content.size(); ++behind) {
    if (ReadFragment(content, behind).kind == Fragment::Kind::kIntact) return std::nullopt;
  }
  return torn;
}

}  // namespace

Result<std::optional<std::string>> CutTornManifest(rocksdb::Env& env, const std::string& folder,
                                                   const Record& record,
                                                   const std::string& machine_boot) {
  const std::optional<std::string> nothing;
  const bool may_be_torn =
      WasRebooted(record.machine_boot, machine_boot) || record.tail_may_be_torn;
  if (record.clean_close || !may_be_torn) return nothing;
  const Result<std::optional<std::string>> name = ManifestOf(env, folder);
  if (!name.ok()) return name.status();
  if (!name->has_value()) return nothing;
  const std::string path = folder + "/" + **name;
  const Result<std::optional<std::string>> content = ReadFileIfExists(env, path);
  if (!content.ok()) return content.status();
  if (!content->has_value()) return nothing;
  const std::optional<Torn> torn = FindTorn(**content);
  if (!torn.has_value()) return nothing;
  const Result<std::string> stored = ReadFileAsStored(env, path);
  if (!stored.ok()) return stored.status();
  if (!LacksASector(*stored, torn->fragment, torn->end)) return nothing;
  if (Status s = ReplaceFile(env, folder, **name, (*content)->substr(0, torn->record)); !s.ok()) {
    return s;
  }
  return std::optional<std::string>(
      "the list of tables in " + folder +
      " was being written when the machine stopped or a write failed: its last record, which "
      "nothing depends on, is cut off");
}

}  // namespace raftkv::storage
