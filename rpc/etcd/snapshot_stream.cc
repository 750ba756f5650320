#include "rpc/etcd/snapshot_stream.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <openssl/evp.h>

#include "lib/node/backup.h"
#include "rpc/etcd/errors.h"

namespace raftkv::etcd {

namespace {

constexpr std::uint64_t kBlobBytes = 256 << 10;
/// By this etcd's tools see that the checksum is there.
constexpr std::uint64_t kSectorBytes = 512;
/// After "not now".
constexpr Duration kBetweenReads = std::chrono::milliseconds(20);

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    is_ok_ = context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
  }
  void Add(std::string_view bytes) {
    is_ok_ = is_ok_ && EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1;
  }
  /// Empty: the library could not compute it.
  std::string Finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    is_ok_ = is_ok_ && EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1;
    return is_ok_ ? std::string(digest.begin(), digest.begin() + size) : "";
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
  bool is_ok_ = false;
};

class SnapshotStream : public std::enable_shared_from_this<SnapshotStream> {
 public:
  SnapshotStream(Backend& backend, const ServiceLife& life, StreamReplier<SnapshotResponse> reply)
      : backend_(backend), life_(life), reply_(std::move(reply)) {}

  void Begin() {
    if (std::exchange(begun_, true)) return;
    using Source = std::shared_ptr<node::BackupSource>;
    backend_.service.Backup(life_.Guard([weak = weak_from_this()](const Result<Source>& source) {
      const auto self = weak.lock();
      if (self != nullptr && !self->ended_) self->OnSource(source);
    }));
  }

  void OnDrained() {
    if (!ended_ && source_ != nullptr) Next();
  }

  void Close() {
    ended_ = true;
    source_ = nullptr;
  }

 private:
  void OnSource(const Result<std::shared_ptr<node::BackupSource>>& source) {
    if (!source.ok()) return End(ToOutcome(source.status()));
    source_ = *source;
    const std::uint64_t bytes = source_->head().stream_bytes;
    padding_ = (kSectorBytes - bytes % kSectorBytes) % kSectorBytes;
    Next();
  }

  /// One read at a time, and none while the client does not take what was sent.
  void Next() {
    if (reads_ || reply_.full()) return;
    const std::uint64_t left = source_->head().stream_bytes - offset_;
    if (left == 0) return Finish();
    reads_ = true;
    source_->Read(offset_, static_cast<std::size_t>(std::min(left, kBlobBytes)),
                  life_.Guard([weak = weak_from_this()](const Result<Bytes>& read) {
                    const auto self = weak.lock();
                    if (self != nullptr && !self->ended_) self->OnRead(read);
                  }));
  }

  void OnRead(const Result<Bytes>& read) {
    reads_ = false;
    if (read.code() == Code::kUnavailable) {
      reads_ = true;  // soon
      backend_.loop.At(backend_.loop.Now() + kBetweenReads, life_.Guard([weak = weak_from_this()] {
        const auto self = weak.lock();
        if (self == nullptr || self->ended_) return;
        self->reads_ = false;
        self->Next();
      }));
      return;
    }
    if (!read.ok()) return End(ToOutcome(read.status()));
    offset_ += read->size();
    std::string blob(read->view());
    const std::uint64_t left = source_->head().stream_bytes - offset_;
    if (left == 0) blob.append(padding_, '\0');
    Send(std::move(blob), left == 0 ? 0 : left + padding_);
    if (!ended_) Next();
  }

  void Send(std::string blob, std::uint64_t remaining) {
    checksum_.Add(blob);
    SnapshotResponse response;
    response.header = MakeHeader(backend_, 0);
    response.remaining_bytes = remaining;
    response.blob = std::move(blob);
    reply_.Send(response);
  }

  void Finish() {
    SnapshotResponse last;
    last.header = MakeHeader(backend_, 0);
    last.blob = checksum_.Finish();
    if (last.blob.empty()) return End({GrpcCode::kInternal, "the checksum could not be computed"});
    reply_.Send(last);
    End({});
  }

  void End(const Outcome& outcome) {
    if (std::exchange(ended_, true)) return;
    source_ = nullptr;
    reply_.Finish(outcome);
  }

  Backend& backend_;
  const ServiceLife& life_;
  const StreamReplier<SnapshotResponse> reply_;
  std::shared_ptr<node::BackupSource> source_;
  Sha256 checksum_;
  std::uint64_t offset_ = 0;
  std::uint64_t padding_ = 0;
  bool begun_ = false;
  bool reads_ = false;  ///< or is about to
  bool ended_ = false;
};

class SnapshotConversation final : public Conversation<SnapshotRequest> {
 public:
  explicit SnapshotConversation(std::shared_ptr<SnapshotStream> stream)
      : stream_(std::move(stream)) {}
  SnapshotConversation(const SnapshotConversation&) = delete;
  SnapshotConversation& operator=(const SnapshotConversation&) = delete;
  ~SnapshotConversation() override { stream_->Close(); }

  // Each may end the call, and this object with it.
  void OnRequest(SnapshotRequest) override {
    const auto stream = stream_;
    stream->Begin();
  }
  void OnDrained() override {
    const auto stream = stream_;
    stream->OnDrained();
  }
  void OnHalfClose() override {}

 private:
  const std::shared_ptr<SnapshotStream> stream_;
};

}  // namespace

std::unique_ptr<Conversation<SnapshotRequest>> SendSnapshot(Backend& backend,
                                                            const ServiceLife& life,
                                                            StreamReplier<SnapshotResponse> reply) {
  return std::make_unique<SnapshotConversation>(
      std::make_shared<SnapshotStream>(backend, life, std::move(reply)));
}

}  // namespace raftkv::etcd
