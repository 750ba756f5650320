#include "rpc/etcd/current_revision.h"

#include <memory>
#include <string>
#include <utility>

namespace raftkv::etcd {

void WithCurrentRevision(Backend& backend, const ServiceLife& life,
                         std::chrono::milliseconds timeout,
                         OnceFunction<void(Result<std::uint64_t>)> then) {
  ReadOptions options;
  options.timeout = timeout;
  const auto kept = std::make_shared<OnceFunction<void(Result<std::uint64_t>)>>(std::move(then));
  // Any key will do: a multi-get says which state it is from, whether the key is there or not.
  backend.kv.GetManyAsync({std::string(1, '\0')}, options,
                          life.Guard([kept](const Result<GetManyResult>& found) {
                            if (!found.ok()) return (*kept)(found.status());
                            (*kept)(found->revision);
                          }));
}

}  // namespace raftkv::etcd
