// How is nghttp2, a library in C, tied to a session and its calls?
//
// Its callbacks are all here. They run inside of nghttp2_session_mem_recv and _mem_send, which the
// session alone calls; no exception passes through them.
#pragma once

#include <cstdint>

#include <nghttp2/nghttp2.h>

#include "rpc/etcd/http2_limits.h"

namespace raftkv::etcd {

class GrpcCall;
class Http2Session;

/// A server's side, with its SETTINGS queued. Its owner deletes it.
nghttp2_session* NewServerSession(const Http2Limits& limits, Http2Session& owner);

/// Hands over what `call` has to send: its head, and that there is data, or that it is over. False:
/// there is no memory, or the stream is in no state for it.
bool SubmitAnswer(nghttp2_session* session, std::int32_t stream, GrpcCall& call);

}  // namespace raftkv::etcd
