// How does TLS begin on a connection that this side has made?
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <kj/async-io.h>

#include "rpc/tls/tls_setup.h"
#include "rpc/tls/tls_source.h"

namespace raftkv::rpc {

/// Lives on the loop; shared by all links of a member, or of a client.
class TlsDialer {
 public:
  using Setup = std::function<TlsSetupPtr()>;

  /// `setup` is asked for each connection. The certificate of the other side has to be for
  /// `server_name`, or for the host that was dialled if that is empty.
  TlsDialer(Setup setup, std::string protocol, std::string server_name = {})
      : setup_(std::move(setup)),
        protocol_(std::move(protocol)),
        server_name_(std::move(server_name)) {}

  /// Fails with what to mend.
  kj::Promise<kj::Own<kj::AsyncIoStream>> Connect(kj::Own<kj::AsyncIoStream> stream,
                                                  const std::string& host) const;

 private:
  const Setup setup_;
  const std::string protocol_;
  const std::string server_name_;
};

/// For a client: reads the files again if they have changed, at most once a second. Blocks on the
/// disk. InvalidArgument: the files cannot be used.
Result<std::shared_ptr<TlsDialer>> NewClientDialer(const ClientTlsOptions& options);

}  // namespace raftkv::rpc
