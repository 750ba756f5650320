// Which etcd does the door claim to be?
//
// Clients decide by it: from 3.5.13 on, Kubernetes asks its watches for progress. GET /version and
// Maintenance.Status tell it.
#pragma once

namespace raftkv::etcd {

inline constexpr char kEtcdVersion[] = "3.5.13";
inline constexpr char kEtcdClusterVersion[] = "3.5.0";

}  // namespace raftkv::etcd
