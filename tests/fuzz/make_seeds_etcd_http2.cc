// The seeds of the etcd door's connections: what clients send after the preface.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nghttp2/nghttp2.h>

#include "lib/base/check.h"
#include "rpc/etcd/grpc_framing.h"
#include "rpc/etcd/proto.h"
#include "tests/fuzz/make_seeds.h"

namespace raftkv::fuzz {
namespace {

using NameValues = std::vector<std::pair<std::string, std::string>>;

/// A client that only sends.
class Talker {
 public:
  Talker() {
    nghttp2_session_callbacks* callbacks = nullptr;
    RAFTKV_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    RAFTKV_CHECK(nghttp2_session_client_new(&session_, callbacks, this) == 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~Talker() { nghttp2_session_del(session_); }
  Talker(const Talker&) = delete;
  Talker& operator=(const Talker&) = delete;

  std::int32_t Call(const std::string& path, std::string body, bool end,
                    const NameValues& more = {}) {
    NameValues headers = {{":method", "POST"},
                          {":scheme", "http"},
                          {":path", path},
                          {":authority", "x"},
                          {"content-type", "application/grpc"},
                          {"te", "trailers"}};
    headers.insert(headers.end(), more.begin(), more.end());
    std::vector<nghttp2_nv> list;
    list.reserve(headers.size());
    for (auto& [name, value] : headers) {
      list.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                      reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE});
    }
    body_ = std::move(body);
    end_ = end;
    nghttp2_data_provider provider = {};
    provider.read_callback = ReadBody;
    const std::int32_t stream =
        nghttp2_submit_request(session_, nullptr, list.data(), list.size(), &provider, nullptr);
    RAFTKV_CHECK(stream > 0, stream);
    Collect();
    return stream;
  }
  void Reset(std::int32_t stream) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    Collect();
  }
  void Ping() {
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
    Collect();
  }
  void Goodbye() {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
    Collect();
  }
  /// Without the preface.
  [[nodiscard]] std::string said() const { return said_.substr(NGHTTP2_CLIENT_MAGIC_LEN); }

 private:
  static ssize_t ReadBody(nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t size,
                          std::uint32_t* flags, nghttp2_data_source*, void* user) {
    auto& talker = *static_cast<Talker*>(user);
    RAFTKV_CHECK(talker.body_.size() <= size, talker.body_.size());
    if (talker.body_.empty() && !talker.end_) return NGHTTP2_ERR_DEFERRED;
    if (talker.end_) *flags |= NGHTTP2_DATA_FLAG_EOF;
    const std::string body = std::exchange(talker.body_, {});
    body.copy(reinterpret_cast<char*>(to), body.size());
    return static_cast<ssize_t>(body.size());
  }

  void Collect() {
    const std::uint8_t* bytes = nullptr;
    for (ssize_t size = 0; (size = nghttp2_session_mem_send(session_, &bytes)) > 0;) {
      said_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    }
  }

  nghttp2_session* session_ = nullptr;
  std::string body_;
  bool end_ = false;
  std::string said_;
};

constexpr char kRangePath[] = "/etcdserverpb.KV/Range";
constexpr char kWatchPath[] = "/etcdserverpb.Watch/Watch";

std::string FramedRange(const std::string& key, std::int64_t limit = 0) {
  etcd::RangeRequest request;
  request.key = key;
  request.limit = limit;
  return etcd::FrameMessage(etcd::EncodeProto(request));
}

std::string FramedWatch() {
  etcd::WatchRequest request;
  request.create_request.emplace();
  request.create_request->key = "k";
  return etcd::FrameMessage(etcd::EncodeProto(request));
}

}  // namespace

void SeedEtcdHttp2() {
  constexpr unsigned char kWhole = 0;
  constexpr unsigned char kPieces = 1;
  constexpr unsigned char kStuck = 2;
  Talker unary;
  unary.Call(kRangePath, FramedRange("key"), /*end=*/true);
  unary.Call(kRangePath, FramedRange("gone", 1), /*end=*/true);
  unary.Call("/no.Such/Method", FramedRange("key"), /*end=*/true, {{"grpc-timeout", "5S"}});
  unary.Goodbye();
  Seed("etcd_http2", kWhole, "unary", unary.said());
  Seed("etcd_http2", kPieces, "unary-in-pieces", unary.said());
  Talker stream;
  const std::int32_t first = stream.Call(kWatchPath, FramedWatch() + FramedWatch(), /*end=*/false,
                                         {{"hasleader", "true"}});
  stream.Call(kWatchPath, FramedWatch(), /*end=*/true);
  stream.Ping();
  stream.Reset(first);
  Seed("etcd_http2", kWhole, "streams", stream.said());
  Seed("etcd_http2", kPieces, "streams-in-pieces", stream.said());
  Talker unread;
  for (int i = 0; i < 8; ++i) {
    unread.Call(kRangePath, FramedRange(std::string(200, 'k')), /*end=*/true);
  }
  Seed("etcd_http2", kStuck, "unread", unread.said());
  Talker partial;
  partial.Call(kRangePath, FramedRange("key").substr(0, 6), /*end=*/true);
  partial.Call(kRangePath, std::string("\1\0\0\0\1x", 6), /*end=*/true);
  partial.Call(kRangePath, std::string("\0\xff\xff\xff\xff", 5), /*end=*/false);
  Seed("etcd_http2", kWhole, "bad-messages", partial.said());
}

}  // namespace raftkv::fuzz
