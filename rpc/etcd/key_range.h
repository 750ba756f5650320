// Which keys does a request of etcd name, and how does a pair of the store look in etcd's terms?
#pragma once

#include <string>

#include <raftkv/kv.h>

#include "rpc/etcd/messages.h"

namespace raftkv::etcd {

/// What `key` and `range_end` stand for.
struct NamedKeys {
  enum class Kind : std::uint8_t {
    kSingle,  ///< `range_end` is empty: the one key
    kRange,
    kNothing,  ///< `range_end` is not behind `key`
  };
  Kind kind = Kind::kSingle;
  /// Of kSingle too. An empty end is unbounded, which a `range_end` of one zero byte stands for.
  raftkv::KeyRange range;
};

/// `key` is not empty.
NamedKeys KeysOf(std::string key, std::string range_end);

KeyValue ToEtcd(raftkv::KeyValue kv);

}  // namespace raftkv::etcd
