#include "rpc/etcd/http2_glue.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <kj/exception.h>

#include "lib/base/check.h"
#include "rpc/etcd/grpc_call.h"
#include "rpc/etcd/http2_session.h"
#include "rpc/loop/sockets.h"

namespace raftkv::etcd {
namespace {

/// Of a status' text: clients bound the trailers that they accept, and it grows threefold at most.
constexpr std::size_t kMaxStatusTextBytes = 2 * 1024;
/// What HTTP/2 counts for a header besides its name and value.
constexpr std::size_t kHeaderOverheadBytes = 32;

nghttp2_nv NameValue(std::string_view name, std::string_view value, std::uint8_t flags) {
  // nghttp2 takes pointers to what it does not change.
  const auto* n = reinterpret_cast<const std::uint8_t*>(name.data());
  const auto* v = reinterpret_cast<const std::uint8_t*>(value.data());
  return {const_cast<std::uint8_t*>(n), const_cast<std::uint8_t*>(v), name.size(), value.size(),
          flags};
}

/// Of string literals, which outlive everything.
constexpr std::uint8_t kLiteralHeader =
    NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;

std::string_view HttpStatusText(int status) {
  switch (status) {
    case 200: return "200";
    case 405: return "405";
    default: return "415";
  }
}

std::string_view GrpcStatusText(GrpcCode code) {
  static constexpr std::array<std::string_view, 17> kTexts = {
      "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"};
  const auto at = static_cast<std::size_t>(code);
  RAFTKV_CHECK(at < kTexts.size(), at);
  return kTexts[at];
}

/// Adds the status of a call that has ended; `text` holds its text until it is submitted.
void AddStatus(std::vector<nghttp2_nv>& headers, const Outcome& outcome, std::string& text) {
  headers.push_back(NameValue("grpc-status", GrpcStatusText(outcome.code), kLiteralHeader));
  if (outcome.message.empty()) return;
  text = PercentEncode(std::string_view(outcome.message).substr(0, kMaxStatusTextBytes));
  headers.push_back(NameValue("grpc-message", text, NGHTTP2_NV_FLAG_NO_COPY_NAME));
}

bool SubmitTrailers(nghttp2_session* session, std::int32_t stream, const GrpcCall& call) {
  std::vector<nghttp2_nv> trailers;
  std::string text;
  AddStatus(trailers, call.outcome(), text);
  return nghttp2_submit_trailer(session, stream, trailers.data(), trailers.size()) == 0;
}

GrpcCall* CallOf(nghttp2_session* session, std::int32_t stream) {
  return static_cast<GrpcCall*>(nghttp2_session_get_stream_user_data(session, stream));
}

ssize_t ReadAnswer(nghttp2_session* session, std::int32_t stream, std::uint8_t* to,
                   std::size_t size, std::uint32_t* flags, nghttp2_data_source* /*source*/,
                   void* owner) {
  GrpcCall* const call = CallOf(session, stream);
  if (call == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (call->broken()) return NGHTTP2_ERR_DEFERRED;
  const std::size_t taken = call->Take(reinterpret_cast<char*>(to), size);
  static_cast<Http2Session*>(owner)->CountTaken(*call, stream, taken);
  if (call->ended() && call->queued_bytes() == 0) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (!SubmitTrailers(session, stream, *call)) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  } else if (taken == 0) {
    return NGHTTP2_ERR_DEFERRED;
  }
  return static_cast<ssize_t>(taken);
}

/// Runs what a callback does; an exception ends the session.
template <class Work>
int Guarded(void* owner, Work work) {
  auto& session = *static_cast<Http2Session*>(owner);
  try {
    return work(session);
  } catch (const kj::Exception& exception) {
    session.Failed(rpc::ShortReason(exception), /*offence=*/false);
  } catch (const std::exception& exception) {
    session.Failed(exception.what(), /*offence=*/false);
  }
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

bool IsRequest(const nghttp2_frame* frame) {
  return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

// --- What arrives.

/// The header of any frame, also of one that is ignored then.
int OnBeginFrame(nghttp2_session*, const nghttp2_frame_hd* hd, void* owner) {
  return Guarded(owner, [hd](Http2Session& session) {
    const auto count = [&session](FloodGuard::Kind kind) {
      return session.CountFrame(kind) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    };
    switch (hd->type) {
      case NGHTTP2_PING:
      case NGHTTP2_PRIORITY: return count(FloodGuard::Kind::kPing);
      case NGHTTP2_SETTINGS: return count(FloodGuard::Kind::kSettings);
      case NGHTTP2_RST_STREAM: return count(FloodGuard::Kind::kReset);
      case NGHTTP2_DATA:
        if (hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM) != 0) return 0;
        return count(FloodGuard::Kind::kEmpty);
      default: return 0;
    }
  });
}

int OnBeginHeaders(nghttp2_session* handle, const nghttp2_frame* frame, void* owner) {
  if (!IsRequest(frame)) {
    // Trailers: no client of gRPC sends any.
    return Guarded(owner, [](Http2Session& session) {
      return session.CountFrame(FloodGuard::Kind::kEmpty) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    });
  }
  return Guarded(owner, [handle, frame](Http2Session& session) {
    GrpcCall& call = session.NewCall(frame->hd.stream_id);
    nghttp2_session_set_stream_user_data(handle, frame->hd.stream_id, &call);
    return 0;
  });
}

int OnHeader(nghttp2_session* handle, const nghttp2_frame* frame, const std::uint8_t* name_bytes,
             std::size_t name_size, const std::uint8_t* value_bytes, std::size_t value_size,
             std::uint8_t /*flags*/, void* owner) {
  if (!IsRequest(frame)) return 0;
  const std::string_view name(reinterpret_cast<const char*>(name_bytes), name_size);
  const std::string_view value(reinterpret_cast<const char*>(value_bytes), value_size);
  return Guarded(owner, [&](Http2Session& session) -> int {
    const std::int32_t stream = frame->hd.stream_id;
    GrpcCall* const call = CallOf(handle, stream);
    if (call == nullptr) return 0;
    if (!session.CountHeader(name.size() + value.size() + kHeaderOverheadBytes)) {
      nghttp2_submit_rst_stream(handle, NGHTTP2_FLAG_NONE, stream, NGHTTP2_ENHANCE_YOUR_CALM);
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (name == ":method") call->head.method = value;
    if (name == ":path") call->head.path = value;
    if (name == "content-type") call->head.content_type = value;
    if (name == "grpc-timeout") call->head.timeout = value;
    if (name == "hasleader") call->head.needs_leader = value == "true";
    return 0;
  });
}

int OnDataChunk(nghttp2_session* handle, std::uint8_t /*flags*/, std::int32_t stream,
                const std::uint8_t* bytes, std::size_t size, void* owner) {
  return Guarded(owner, [=](Http2Session&) {
    GrpcCall* const call = CallOf(handle, stream);
    if (call != nullptr) call->OnData({reinterpret_cast<const char*>(bytes), size});
    return 0;
  });
}

int OnFrame(nghttp2_session* handle, const nghttp2_frame* frame, void* owner) {
  return Guarded(owner, [handle, frame](Http2Session& session) -> int {
    const nghttp2_frame_hd& hd = frame->hd;
    const bool last = (hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (hd.type == NGHTTP2_SETTINGS && (hd.flags & NGHTTP2_FLAG_ACK) == 0) session.SetSettled();
    // Nothing but padding.
    if (hd.type == NGHTTP2_DATA && hd.length > 0 && hd.length == frame->data.padlen && !last) {
      if (!session.CountFrame(FloodGuard::Kind::kEmpty)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (hd.type != NGHTTP2_HEADERS && hd.type != NGHTTP2_DATA) return 0;
    GrpcCall* const call = CallOf(handle, hd.stream_id);
    if (call == nullptr) return 0;
    if (IsRequest(frame)) session.OpenCall(*call, hd.stream_id);
    if (last) call->OnHalfClose();
    return 0;
  });
}

int OnStreamClose(nghttp2_session*, std::int32_t stream, std::uint32_t /*error*/, void* owner) {
  return Guarded(owner, [stream](Http2Session& session) {
    session.CloseCall(stream);
    return 0;
  });
}

// --- What was sent.

int OnFrameSent(nghttp2_session* handle, const nghttp2_frame* frame, void* owner) {
  return Guarded(owner, [handle, frame](Http2Session& session) {
    const nghttp2_frame_hd& hd = frame->hd;
    if (hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
      session.Failed(std::string("HTTP/2: ") + nghttp2_http2_strerror(frame->goaway.error_code),
                     /*offence=*/true);
    }
    // The call is over although the client may send more of it: it must not keep its place.
    const bool over = hd.type == NGHTTP2_HEADERS && (hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
                      nghttp2_session_get_stream_remote_close(handle, hd.stream_id) == 0;
    if (over) {
      nghttp2_submit_rst_stream(handle, NGHTTP2_FLAG_NONE, hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  });
}

int OnFrameNotSent(nghttp2_session* handle, const nghttp2_frame* frame, int /*error*/,
                   void* owner) {
  return Guarded(owner, [handle, frame](Http2Session&) {
    if (frame->hd.type == NGHTTP2_HEADERS && CallOf(handle, frame->hd.stream_id) != nullptr) {
      nghttp2_submit_rst_stream(handle, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                NGHTTP2_INTERNAL_ERROR);
    }
    return 0;
  });
}

nghttp2_session_callbacks* NewCallbacks() {
  nghttp2_session_callbacks* callbacks = nullptr;
  RAFTKV_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, OnBeginFrame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnDataChunk);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, OnFrameSent);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, OnFrameNotSent);
  return callbacks;
}

nghttp2_option* NewOptions(const Http2Limits& limits) {
  nghttp2_option* option = nullptr;
  RAFTKV_CHECK(nghttp2_option_new(&option) == 0);
  nghttp2_option_set_no_closed_streams(option, 1);
  // etcdctl's --cluster takes the URLs of members for addresses and sends them as :authority, which
  // etcd does not look at and nghttp2 would refuse. What a call needs of its headers is checked
  // when it opens (GrpcCall::Refusal).
  nghttp2_option_set_no_http_messaging(option, 1);
  // The session counts these itself: nghttp2's own bounds are below what a busy client needs, and
  // do not say why the connection ends.
  constexpr std::uint64_t kNoBound = std::uint64_t{1} << 31;
  nghttp2_option_set_stream_reset_rate_limit(option, kNoBound, kNoBound);
  nghttp2_option_set_max_outbound_ack(option, std::size_t{limits.max_pings} + limits.max_settings);
  return option;
}

}  // namespace

nghttp2_session* NewServerSession(const Http2Limits& limits, Http2Session& owner) {
  nghttp2_session_callbacks* const callbacks = NewCallbacks();
  nghttp2_option* const option = NewOptions(limits);
  nghttp2_session* session = nullptr;
  const int made = nghttp2_session_server_new2(&session, callbacks, &owner, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  RAFTKV_CHECK(made == 0, made);
  const std::array<nghttp2_settings_entry, 3> settings = {{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.max_streams},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
       static_cast<std::uint32_t>(limits.stream_window_bytes)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.max_header_bytes},
  }};
  const int submitted =
      nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  RAFTKV_CHECK(submitted == 0, submitted);
  const int window = nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                           limits.connection_window_bytes);
  RAFTKV_CHECK(window == 0, window);
  return session;
}

bool SubmitAnswer(nghttp2_session* session, std::int32_t stream, GrpcCall& call) {
  if (call.broken()) return false;
  if (call.head_sent()) {
    // It fails where the data waits for the client and not for us: that is as good.
    static_cast<void>(nghttp2_session_resume_data(session, stream));
    return true;
  }
  call.set_head_sent();
  std::vector<nghttp2_nv> headers = {
      NameValue(":status", HttpStatusText(call.http_status()), kLiteralHeader),
      NameValue("content-type", "application/grpc", kLiteralHeader)};
  if (call.ended() && call.queued_bytes() == 0) {
    std::string text;
    AddStatus(headers, call.outcome(), text);
    return nghttp2_submit_response(session, stream, headers.data(), headers.size(), nullptr) == 0;
  }
  nghttp2_data_provider provider{};
  provider.read_callback = ReadAnswer;
  return nghttp2_submit_response(session, stream, headers.data(), headers.size(), &provider) == 0;
}

}  // namespace raftkv::etcd
