#include "rpc/etcd/method.h"

#include "lib/base/check.h"

namespace raftkv::etcd {

Outcome Malformed(Encoding encoding, std::string_view what) {
  if (encoding == Encoding::kJson) return {GrpcCode::kInvalidArgument, std::string(what)};
  // Code and text as gRPC's own servers have them.
  return {GrpcCode::kInternal, "grpc: error unmarshalling request: " + std::string(what)};
}

const Method* Methods::FindGrpc(std::string_view path) const {
  const auto found = grpc_.find(path);
  return found == grpc_.end() ? nullptr : &found->second;
}

const Method* Methods::FindJson(std::string_view path) const {
  const auto found = json_.find(path);
  return found == json_.end() ? nullptr : found->second;
}

void Methods::Add(Method method) {
  std::string path = "/" + method.service + "/" + method.name;
  const auto [added, is_new] = grpc_.emplace(std::move(path), std::move(method));
  RAFTKV_CHECK(is_new, added->first);
  const Method& kept = added->second;
  if (kept.json_path.empty()) return;
  const bool is_new_path = json_.emplace(kept.json_path, &kept).second;
  RAFTKV_CHECK(is_new_path, kept.json_path);
}

}  // namespace raftkv::etcd
