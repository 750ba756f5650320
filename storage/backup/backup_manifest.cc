#include "storage/backup/backup_manifest.h"

#include <limits>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

namespace raftkv::storage {

namespace {

/// Keeps the order in which it is written.
using Json = nlohmann::ordered_json;

constexpr char kFormatName[] = "raftkv backup";
constexpr int kIndent = 1;

Status Senseless(const std::string& what) {
  return Status(Code::kCorruption, "its " + what + " is invalid");
}

std::string Dump(const Json& json) {
  // Names of members may be no UTF-8.
  return json.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n";
}

bool Take(const Json& from, const char* name, std::uint64_t& to) {
  const auto found = from.find(name);
  if (found == from.end() || !found->is_number_unsigned()) return false;
  to = found->get<std::uint64_t>();
  return true;
}

bool Take(const Json& from, const char* name, std::string& to) {
  const auto found = from.find(name);
  if (found == from.end() || !found->is_string()) return false;
  to = found->get_ref<const std::string&>();
  return true;
}

Json MemberJson(const ClusterMember& member) {
  return {{"id", member.id},
          {"name", member.name},
          {"address", member.address},
          {"zone", member.zone},
          {"role", MemberRoleName(member.role)}};
}

bool TakeMember(const Json& from, ClusterMember& member) {
  std::string role;
  if (!from.is_object() || !Take(from, "id", member.id) || !Take(from, "name", member.name) ||
      !Take(from, "address", member.address) || !Take(from, "zone", member.zone) ||
      !Take(from, "role", role)) {
    return false;
  }
  for (const MemberRole known : {MemberRole::kVoter, MemberRole::kLearner, MemberRole::kInvited}) {
    if (role != MemberRoleName(known)) continue;
    member.role = known;
    return true;
  }
  return false;
}

bool TakeMembers(const Json& from, std::vector<ClusterMember>& members) {
  const auto found = from.find("members");
  if (found == from.end() || !found->is_array()) return false;
  for (const Json& item : *found) {
    if (!TakeMember(item, members.emplace_back())) return false;
  }
  return true;
}

/// Plain names, none twice, sizes that can be added up.
bool TakeFiles(const Json& from, std::vector<ManifestFile>& files) {
  const auto found = from.find("files");
  if (found == from.end() || !found->is_array()) return false;
  std::set<std::string> names;
  std::uint64_t total = 0;
  for (const Json& item : *found) {
    ManifestFile& file = files.emplace_back();
    if (!item.is_object() || !Take(item, "name", file.name) || !Take(item, "size", file.size) ||
        !Take(item, "xxh3", file.checksum)) {
      return false;
    }
    if (!IsPlainName(file.name) || !names.insert(file.name).second) return false;
    constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
    if (file.size > kMost - total) return false;
    total += file.size;
  }
  return true;
}

}  // namespace

std::string EncodeBackupManifest(const BackupManifest& manifest) {
  const node::BackupHead& head = manifest.head;
  Json members = Json::array();
  for (const ClusterMember& member : head.members) members.push_back(MemberJson(member));
  Json files = Json::array();
  for (const ManifestFile& file : manifest.files.files) {
    files.push_back({{"name", file.name}, {"size", file.size}, {"xxh3", file.checksum}});
  }
  return Dump({{"format", kFormatName},
               {"version", kBackupFormatVersion},
               {"backup_id", manifest.backup_id},
               {"created_ms", manifest.created_ms},
               {"index", head.index.value},
               {"term", head.term.value},
               {"cluster_id", head.cluster.value},
               {"member_id", head.member.value},
               {"member", head.member_name},
               {"members", std::move(members)},
               {"files", std::move(files)}});
}

Result<BackupManifest> DecodeBackupManifest(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::string format;
  std::uint64_t version = 0;
  if (!json.is_object() || !Take(json, "format", format) || format != kFormatName ||
      !Take(json, "version", version) || version == 0) {
    return Senseless("manifest");
  }
  if (version > kBackupFormatVersion) {
    return Status(Code::kVersionMismatch,
                  "it has format version " + std::to_string(version) + ", this program knows " +
                      std::to_string(kBackupFormatVersion) + ": use the newer program");
  }
  BackupManifest manifest;
  node::BackupHead& head = manifest.head;
  const bool complete =
      Take(json, "backup_id", manifest.backup_id) &&
      Take(json, "created_ms", manifest.created_ms) && Take(json, "index", head.index.value) &&
      Take(json, "term", head.term.value) && Take(json, "cluster_id", head.cluster.value) &&
      Take(json, "member_id", head.member.value) && Take(json, "member", head.member_name) &&
      TakeMembers(json, head.members) && TakeFiles(json, manifest.files.files);
  if (!complete || head.index == Index() || head.term == Term()) return Senseless("manifest");
  manifest.files.applied = head.index;
  return manifest;
}

std::string EncodeBackupContent(const node::BackupContent& content) {
  return Dump({{"content_hash", content.hash}, {"keys", content.keys}});
}

Result<node::BackupContent> DecodeBackupContent(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  node::BackupContent content;
  if (json.is_object() && Take(json, "content_hash", content.hash) &&
      Take(json, "keys", content.keys)) {
    return content;
  }
  return Senseless("content");
}

BackupInfo InfoOf(const BackupManifest& manifest, const node::BackupContent& content) {
  BackupInfo info;
  info.index = manifest.head.index.value;
  info.term = manifest.head.term.value;
  info.keys = content.keys;
  info.content_hash = content.hash;
  for (const ManifestFile& file : manifest.files.files) info.data_bytes += file.size;
  info.backup_id = manifest.backup_id;
  info.created_ms = manifest.created_ms;
  info.cluster_id = manifest.head.cluster.value;
  info.member_id = manifest.head.member.value;
  info.member = manifest.head.member_name;
  info.members = manifest.head.members;
  return info;
}

}  // namespace raftkv::storage
