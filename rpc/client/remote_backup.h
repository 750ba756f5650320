// How does a client get a backup from a member?
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "lib/node/backup.h"
#include "rpc/client/client_link.h"
#include "rpc/loop/event_loop.h"

namespace raftkv::rpc {

/// Asks one endpoint after the other until one gives a backup or `timeout` expires; after that it
/// may take as long as the member shows signs of life. Blocks; not on the loop. DeadlineExceeded:
/// no member of the pin's cluster was reached; Unavailable: those that were reached refused.
/// Without `tls` it is plain text.
Result<std::shared_ptr<node::BackupFeed>> BeginRemoteBackup(
    EventLoop& loop, const std::vector<std::string>& endpoints,
    const std::shared_ptr<ClusterPin>& pin, std::chrono::milliseconds timeout,
    const std::shared_ptr<const TlsDialer>& tls = nullptr);

}  // namespace raftkv::rpc
