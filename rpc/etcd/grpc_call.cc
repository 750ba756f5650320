#include "rpc/etcd/grpc_call.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/base/check.h"

namespace raftkv::etcd {
namespace {

constexpr int kHttpMethodNotAllowed = 405;
constexpr int kHttpUnsupportedMediaType = 415;

bool IsGrpc(std::string_view content_type) {
  constexpr std::string_view kGrpc = "application/grpc";
  if (!content_type.starts_with(kGrpc)) return false;
  content_type.remove_prefix(kGrpc.size());
  return content_type.empty() || content_type[0] == '+' || content_type[0] == ';';
}

/// Of a path without a method: what grpc-go says, which people search for.
Outcome NoSuchMethod(const Methods& methods, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (path.empty() || path[0] != '/' || slash == 0) {
    return {GrpcCode::kUnimplemented, "malformed method name: \"" + path + '"'};
  }
  const std::string service = path.substr(1, slash - 1);
  // Sorted by path, so a service's methods follow its name.
  const std::string prefix = path.substr(0, slash + 1);
  const auto first = methods.all().lower_bound(prefix);
  const bool known = first != methods.all().end() && first->first.starts_with(prefix);
  if (!known) return {GrpcCode::kUnimplemented, "unknown service " + service};
  return {GrpcCode::kUnimplemented,
          "unknown method " + path.substr(slash + 1) + " for service " + service};
}

}  // namespace

/// What methods hold of a call.
class GrpcCall::Answers final : public Sink {
 public:
  explicit Answers(GrpcCall& call) : call_(&call) {}
  void Forget() { call_ = nullptr; }

  void Send(std::string encoded) override {
    if (call_ != nullptr) call_->Send(std::move(encoded));
  }
  void Finish(Outcome outcome) override {
    if (call_ != nullptr) call_->Finish(std::move(outcome));
  }
  [[nodiscard]] std::size_t queued_bytes() const override {
    return call_ == nullptr ? 0 : call_->queued_bytes_;
  }

 private:
  GrpcCall* call_;  ///< null once the call is gone
};

GrpcCall::GrpcCall(CallOwner& owner, std::int32_t stream, std::size_t max_message_bytes)
    : owner_(owner),
      stream_(stream),
      answers_(std::make_shared<Answers>(*this)),
      reader_(max_message_bytes) {}

GrpcCall::~GrpcCall() {
  answers_->Forget();
  handler_.reset();
  reader_.Drop();
  CountUnfinished();
  SetQueued(0);
}

// --- What arrives.

Outcome GrpcCall::Refusal(const Methods* methods, const Method*& method) {
  if (head.method != "POST") {
    http_status_ = kHttpMethodNotAllowed;
    return {GrpcCode::kInternal, "a gRPC call is a POST, not a " + head.method};
  }
  if (!IsGrpc(head.content_type)) {
    http_status_ = kHttpUnsupportedMediaType;
    return {GrpcCode::kInvalidArgument,
            "invalid gRPC request content-type \"" + head.content_type + '"'};
  }
  if (!head.timeout.empty()) {
    if (!ParseGrpcTimeout(head.timeout)) {
      return {GrpcCode::kInternal, "malformed grpc-timeout \"" + head.timeout + '"'};
    }
  }
  if (methods == nullptr) {
    return {GrpcCode::kUnavailable, "the member is starting; try again"};
  }
  method = methods->FindGrpc(head.path);
  return method == nullptr ? NoSuchMethod(*methods, head.path) : Outcome{};
}

void GrpcCall::Open(const Methods* methods, MonoTime now) {
  if (ended()) return;
  const Method* method = nullptr;
  if (Outcome refusal = Refusal(methods, method); !refusal.ok()) return Finish(std::move(refusal));
  RAFTKV_CHECK(method != nullptr, head.path);
  CallContext context{
      .encoding = Encoding::kProto, .deadline = kNever, .needs_leader = head.needs_leader};
  if (!head.timeout.empty()) context.deadline = now + *ParseGrpcTimeout(head.timeout);
  deadline_ = context.deadline;
  handler_ = method->open(context, answers_);
}

void GrpcCall::OnData(std::string_view bytes) {
  if (ended() || handler_ == nullptr) return;
  Outcome read = reader_.Read(bytes, [this](std::string_view message) {
    ++messages_;
    handler_->OnMessage(message);
    return !ended();
  });
  if (ended() || !read.ok()) reader_.Drop();
  const std::size_t before = unfinished_bytes_;
  CountUnfinished();
  if (!read.ok()) return Finish(std::move(read));
  if (unfinished_bytes_ <= before) return;
  const bool small = unfinished_bytes_ <= kSmallMessageBytes;
  if (owner_.HasRoomForUnfinished(small)) return;
  Abort({GrpcCode::kResourceExhausted, "etcdserver: too many requests"});
}

void GrpcCall::OnHalfClose() {
  if (ended() || handler_ == nullptr) return;
  if (reader_.unfinished_bytes() > 0) {
    return Finish({GrpcCode::kInternal, "grpc: the stream ended within a message"});
  }
  handler_->OnHalfClose();
}

void GrpcCall::CountUnfinished() {
  const std::size_t now = reader_.unfinished_bytes();
  if (now == unfinished_bytes_) return;
  owner_.CountUnfinished(std::exchange(unfinished_bytes_, now), now);
}

bool GrpcCall::CountUnfinishedTicks(std::uint32_t looks, Duration interval) {
  const bool same = unfinished_bytes_ > 0 && messages_ == messages_at_tick_;
  unfinished_ticks_ = same ? unfinished_ticks_ + 1 : 0;
  messages_at_tick_ = messages_;
  if (unfinished_ticks_ < looks) return false;
  const Duration needed = std::chrono::nanoseconds(std::chrono::seconds(1)) *
                          static_cast<std::int64_t>(unfinished_bytes_ / kSlowestBytesPerSecond);
  return static_cast<std::int64_t>(unfinished_ticks_ - looks) >= needed / interval;
}

// --- What is to be sent.

void GrpcCall::Send(std::string encoded) {
  if (ended()) return;
  std::string framed = FrameMessage(encoded);
  const std::size_t size = framed.size();
  if (size > kSmallMessageBytes && !owner_.HasRoomForAnswer(size)) {
    return Abort({GrpcCode::kResourceExhausted,
                  "etcdserver: too many requests: the answers on this connection are not read"});
  }
  queue_.push_back(std::move(framed));
  SetQueued(queued_bytes_ + size);
  if (queued_bytes_ >= Sink::kMaxQueuedBytes) full_ = true;
  owner_.Wake(stream_);
}

void GrpcCall::Finish(Outcome outcome) {
  if (ended()) return;
  outcome_ = std::move(outcome);
  owner_.Wake(stream_);
}

void GrpcCall::Abort(Outcome outcome) {
  if (ended() && queued_bytes_ == 0) return;
  // A message that was sent in part cannot be followed by anything.
  broken_ = taken_ > 0;
  queue_.clear();
  next_ = taken_ = 0;
  SetQueued(0);
  reader_.Drop();
  CountUnfinished();
  outcome_ = std::move(outcome);
  owner_.Wake(stream_);
}

void GrpcCall::SetQueued(std::size_t bytes) {
  if (bytes == queued_bytes_) return;
  owner_.CountQueued(std::exchange(queued_bytes_, bytes), bytes);
}

std::size_t GrpcCall::Take(char* to, std::size_t size) {
  std::size_t moved = 0;
  while (moved < size && next_ < queue_.size()) {
    const std::string& first = queue_[next_];
    const std::size_t part = std::min(size - moved, first.size() - taken_);
    std::memcpy(to + moved, first.data() + taken_, part);
    moved += part;
    taken_ += part;
    if (taken_ == first.size()) PopFront();
  }
  SetQueued(queued_bytes_ - moved);
  if (full_ && queued_bytes_ < Sink::kMaxQueuedBytes) {
    full_ = false;
    drained_ = true;
  }
  return moved;
}

void GrpcCall::PopFront() {
  constexpr std::size_t kMostTaken = 64;
  std::string().swap(queue_[next_]);
  taken_ = 0;
  if (++next_ == queue_.size()) {
    queue_.clear();
    next_ = 0;
  } else if (next_ == kMostTaken) {
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(next_));
    next_ = 0;
  }
}

void GrpcCall::TellDrained() {
  if (handler_ != nullptr && !ended()) handler_->OnDrained();
}

void GrpcCall::ReleaseHandler() {
  RAFTKV_CHECK(ended());
  handler_.reset();
}

}  // namespace raftkv::etcd
