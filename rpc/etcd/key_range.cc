#include "rpc/etcd/key_range.h"

#include <cstdint>
#include <string_view>
#include <utility>

namespace raftkv::etcd {
namespace {

constexpr std::string_view kEndOfAll{"\0", 1};

}  // namespace

NamedKeys KeysOf(std::string key, std::string range_end) {
  if (range_end.empty()) return {NamedKeys::Kind::kSingle, KeyRange::Single(std::move(key))};
  if (range_end == kEndOfAll) return {NamedKeys::Kind::kRange, KeyRange::FromKey(std::move(key))};
  const auto kind = key < range_end ? NamedKeys::Kind::kRange : NamedKeys::Kind::kNothing;
  return {kind, {std::move(key), std::move(range_end)}};
}

KeyValue ToEtcd(raftkv::KeyValue kv) {
  return {.key = std::move(kv.key),
          .create_revision = static_cast<std::int64_t>(kv.create_revision),
          .mod_revision = static_cast<std::int64_t>(kv.mod_revision),
          .version = static_cast<std::int64_t>(kv.version),
          .value = std::move(kv.value),
          .lease = static_cast<std::int64_t>(kv.lease)};
}

}  // namespace raftkv::etcd
