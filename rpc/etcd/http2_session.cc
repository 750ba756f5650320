#include "rpc/etcd/http2_session.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "rpc/etcd/http2_glue.h"
#include "rpc/loop/sockets.h"
#include "rpc/loop/tcp_progress.h"

namespace raftkv::etcd {
namespace {

/// One write collects about this much; then the socket is asked first.
constexpr std::size_t kMaxWriteBytes = 256 * 1024;
/// A quiet connection keeps a small buffer; a busy one reads more at a time.
constexpr std::size_t kQuietReadBytes = 4 * 1024;
constexpr std::size_t kBusyReadBytes = 64 * 1024;
/// Reads that fill the buffer, one after another. Then the other sockets have their turn: KJ looks
/// at them only when nothing is ready, which a client that sends without a pause could prevent.
constexpr std::uint32_t kMaxReadsInARow = 16;
/// Frames that wait in nghttp2 while the other side reads nothing. Above this nothing is read from
/// it either.
constexpr std::size_t kMaxWaitingFrames = 16 * 1024;

}  // namespace

Http2Session::Http2Session(SessionOwner& owner, kj::Own<kj::AsyncIoStream> stream,
                           std::string_view first)
    : owner_(owner),
      stream_(kj::mv(stream)),
      flood_(owner.limits()),
      buffer_(kj::heapArray<kj::byte>(kQuietReadBytes)),
      tasks_(*this) {
  auto paf = kj::newPromiseAndFulfiller<SessionEnd>();
  ended_ = kj::mv(paf.promise);
  end_ = kj::mv(paf.fulfiller);
  session_ = NewServerSession(owner.limits(), *this);
  ScheduleFlush();
  // Not from within the constructor: what arrives may already be the end.
  tasks_.add(kj::evalLater([this, first = std::string(first)]() -> kj::Promise<void> {
    if (!Receive(reinterpret_cast<const kj::byte*>(first.data()), first.size())) {
      return kj::READY_NOW;
    }
    return Read();
  }));
}

Http2Session::~Http2Session() noexcept {
  over_ = true;  // what the methods do while they are destroyed is of no interest
  calls_.clear();
  nghttp2_session_del(session_);
}

// --- Bytes that arrive.

kj::Promise<void> Http2Session::Read() {
  return stream_->tryRead(buffer_.begin(), 1, buffer_.size())
      .then([this](std::size_t size) -> kj::Promise<void> {
        if (size == 0) {
          End({});
          return kj::READY_NOW;
        }
        if (!Receive(buffer_.begin(), size)) return kj::READY_NOW;
        full_reads_ = size == buffer_.size() ? full_reads_ + 1 : 0;
        if (size == buffer_.size() && size < kBusyReadBytes) {
          buffer_ = kj::heapArray<kj::byte>(kBusyReadBytes);
        } else if (size < kQuietReadBytes / 2 && buffer_.size() > kQuietReadBytes && idle()) {
          buffer_ = kj::heapArray<kj::byte>(kQuietReadBytes);
        }
        return MayRead().then([this] { return Read(); });
      });
}

bool Http2Session::Receive(const kj::byte* bytes, std::size_t size) {
  if (over_) return false;
  received_ += size;
  const ssize_t used = nghttp2_session_mem_recv(session_, bytes, size);
  if (used < 0) {
    Failed(std::string("HTTP/2: ") + nghttp2_strerror(static_cast<int>(used)), /*offence=*/true);
    SendLast(NGHTTP2_PROTOCOL_ERROR);
    End(why_);
    return false;
  }
  ScheduleFlush();
  return true;
}

/// Frames that answer what arrives must not pile up while the other side does not read.
kj::Promise<void> Http2Session::MayRead() {
  if (full_reads_ >= kMaxReadsInARow) {
    full_reads_ = 0;
    return owner_.timer().afterDelay(0 * kj::NANOSECONDS).then([this] { return MayRead(); });
  }
  if (!writing_ || nghttp2_session_get_outbound_queue_size(session_) <= kMaxWaitingFrames) {
    return kj::READY_NOW;
  }
  auto paf = kj::newPromiseAndFulfiller<void>();
  paused_ = kj::mv(paf.fulfiller);
  return kj::mv(paf.promise);
}

// --- Bytes to be sent.

void Http2Session::Wake(std::int32_t stream) {
  if (over_) return;
  if (ready_.empty() || ready_.back() != stream) ready_.push_back(stream);
  ScheduleFlush();
}

void Http2Session::ScheduleFlush() {
  if (flush_scheduled_ || writing_ || over_) return;
  flush_scheduled_ = true;
  // After everything that is ready: what becomes ready together leaves in one write.
  tasks_.add(kj::evalLast([this] { Flush(); }));
}

void Http2Session::Flush() {
  if (over_) return;
  std::vector<std::int32_t> ready;
  ready.swap(ready_);
  for (const std::int32_t stream : ready) {
    const auto found = calls_.find(stream);
    if (found != calls_.end()) Submit(*found->second, stream);
  }
  if (!Collect()) return;
  TellDrained();
  flush_scheduled_ = false;
  if (!out_.empty()) return Write();
  if (!ready_.empty()) return ScheduleFlush();
  const bool done = nghttp2_session_want_read(session_) == 0;
  if (done && nghttp2_session_want_write(session_) == 0) End(why_);
}

void Http2Session::Submit(GrpcCall& call, std::int32_t stream) {
  if (call.ended()) call.ReleaseHandler();
  if (SubmitAnswer(session_, stream, call)) return;
  static_cast<void>(
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_INTERNAL_ERROR));
}

bool Http2Session::Collect() {
  while (out_.size() < kMaxWriteBytes) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    if (size < 0) {
      End({std::string("HTTP/2: ") + nghttp2_strerror(static_cast<int>(size))});
      return false;
    }
    if (size == 0) return true;
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  }
  return true;
}

void Http2Session::Write() {
  RAFTKV_CHECK(!writing_);
  writing_ = true;
  tasks_.add(stream_->write(out_.data(), out_.size()).then([this] {
    writing_ = false;
    sent_ += out_.size();
    if (out_.capacity() > kBusyReadBytes && idle()) {
      std::string().swap(out_);
    } else {
      out_.clear();
    }
    KJ_IF_MAYBE (paused, paused_) {
      auto fulfiller = kj::mv(*paused);
      paused_ = nullptr;
      fulfiller->fulfill();
    }
    ScheduleFlush();
  }));
}

void Http2Session::TellDrained() {
  std::vector<std::int32_t> drained;
  drained.swap(drained_);
  for (const std::int32_t stream : drained) {
    const auto found = calls_.find(stream);
    if (found != calls_.end()) found->second->TellDrained();
  }
}

// --- What waits, of this connection and of all of them.

bool Http2Session::HasRoomForAnswer(std::size_t bytes) const {
  if (queued_bytes_ == 0) return owner_.queued().HasRoom();
  const std::size_t most = owner_.limits().max_queued_bytes;
  if (queued_bytes_ > most || bytes > most - queued_bytes_) return false;
  return owner_.queued().HasRoom(bytes);
}

bool Http2Session::HasRoomForUnfinished(bool small) const {
  if (unfinished_bytes_ > owner_.limits().max_unfinished_bytes) return false;
  const SharedBytes& all = owner_.unfinished();
  return small ? all.HasRoom() : all.HasRoomForLarge();
}

void Http2Session::CountQueued(std::size_t before, std::size_t after) {
  queued_bytes_ = queued_bytes_ - before + after;
  owner_.queued().Remove(before);
  owner_.queued().Add(after);
}

void Http2Session::CountUnfinished(std::size_t before, std::size_t after) {
  unfinished_bytes_ = unfinished_bytes_ - before + after;
  owner_.unfinished().Remove(before);
  owner_.unfinished().Add(after);
}

// --- Looks at even intervals.

void Http2Session::Tick() {
  if (over_) return;
  const ConnectionTicks& ticks = owner_.ticks();
  if (handshake_.Look(!settled_) >= ticks.handshake) {
    return End({"it did not complete its handshake in time", true});
  }
  const std::uint64_t acknowledged = writing_ ? rpc::ProgressOf(*stream_).acknowledged : 0;
  const bool moved =
      taken_ != taken_at_tick_ ||
      (writing_ && (sent_ != sent_at_tick_ || acknowledged != acknowledged_at_tick_));
  taken_at_tick_ = taken_;
  sent_at_tick_ = sent_;
  acknowledged_at_tick_ = acknowledged;
  const bool waits = writing_ || queued_bytes_ > 0;
  if (stuck_.Look(waits && !moved) >= ticks.stuck) {
    return End({"it does not read the answers that it asked for", true});
  }
  const std::uint32_t silent = silent_.Look(received_ == received_at_tick_);
  received_at_tick_ = received_;
  if (silent == 0) pinged_ = false;
  if (silent >= ticks.silent + ticks.answer) return End({"it gave no sign of life", true});
  if (silent >= ticks.silent && !std::exchange(pinged_, true)) {
    static_cast<void>(nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr));
    ScheduleFlush();
  }
  if (unfinished_bytes_ > 0) TickMessages();
}

void Http2Session::TickMessages() {
  const ConnectionTicks& ticks = owner_.ticks();
  for (const auto& [stream, call] : calls_) {
    if (call->CountUnfinishedTicks(ticks.unfinished, ticks.interval)) {
      call->Abort({GrpcCode::kDeadlineExceeded, "the request's message did not arrive in time"});
    }
  }
}

// --- Deadlines of calls.

void Http2Session::ArmDeadline() {
  if (deadlines_.empty() || deadlines_.begin()->first >= armed_for_) return;
  armed_for_ = deadlines_.begin()->first;
  const Duration wait = std::max(armed_for_ - owner_.Now(), Duration::zero());
  deadline_wait_ = owner_.timer()
                       .afterDelay(wait.count() * kj::NANOSECONDS)
                       .then([this] {
                         // Not from inside the promise that FireDeadlines may replace.
                         armed_for_ = kNever;
                         tasks_.add(kj::evalLater([this] { FireDeadlines(); }));
                       })
                       .eagerlyEvaluate(nullptr);
}

void Http2Session::FireDeadlines() {
  const MonoTime now = owner_.Now();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const std::int32_t stream = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    const auto found = calls_.find(stream);
    if (found == calls_.end()) continue;
    found->second->Abort({GrpcCode::kDeadlineExceeded, "context deadline exceeded"});
  }
  ArmDeadline();
}

// --- Calls come and go.

GrpcCall& Http2Session::NewCall(std::int32_t stream) {
  auto& call = calls_[stream];
  call = std::make_unique<GrpcCall>(static_cast<CallOwner&>(*this), stream,
                                    owner_.limits().max_message_bytes);
  header_bytes_ = 0;
  return *call;
}

void Http2Session::OpenCall(GrpcCall& call, std::int32_t stream) {
  call.Open(owner_.methods(), owner_.Now());
  if (call.deadline() == kNever) return;
  deadlines_.emplace(call.deadline(), stream);
  ArmDeadline();
}

bool Http2Session::CountHeader(std::size_t bytes) {
  header_bytes_ += bytes;
  return header_bytes_ <= owner_.limits().max_header_bytes;
}

void Http2Session::CloseCall(std::int32_t stream) {
  const auto node = calls_.extract(stream);
  if (node.empty()) return;
  deadlines_.erase({node.mapped()->deadline(), stream});
}

void Http2Session::CountTaken(GrpcCall& call, std::int32_t stream, std::size_t bytes) {
  taken_ += bytes;
  if (call.TakeDrained()) drained_.push_back(stream);
}

bool Http2Session::CountFrame(FloodGuard::Kind kind) {
  if (flood_.Count(kind, owner_.Now())) return true;
  Failed(std::string("it sent too many ") + FloodGuard::NameOf(kind) + " in one second",
         /*offence=*/true);
  static_cast<void>(nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM));
  return false;
}

void Http2Session::Failed(std::string why, bool offence) {
  if (why_.reason.empty()) why_ = {std::move(why), offence};
}

// --- The end.

void Http2Session::End(SessionEnd end) {
  if (std::exchange(over_, true)) return;
  end_->fulfill(std::move(end));
}

void Http2Session::taskFailed(kj::Exception&& exception) { End({rpc::ShortReason(exception)}); }

void Http2Session::SayGoodbye() {
  if (over_) return;
  static_cast<void>(nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                                          nghttp2_session_get_last_proc_stream_id(session_),
                                          NGHTTP2_NO_ERROR, nullptr, 0));
  ScheduleFlush();
}

void Http2Session::Stop(const Outcome& outcome) {
  if (over_) return;
  std::vector<std::int32_t> open;
  for (const auto& [stream, call] : calls_) {
    call->Abort(outcome);
    open.push_back(stream);
  }
  if (!writing_) {
    for (const std::int32_t stream : open) {
      const auto found = calls_.find(stream);
      if (found != calls_.end()) Submit(*found->second, stream);
    }
    // Before the goodbye, after which nghttp2 sends nothing more.
    if (!Collect()) return;
  }
  SendLast(NGHTTP2_NO_ERROR);
  End({});
}

void Http2Session::SendLast(std::uint32_t error) {
  // A write that waits for the other side cannot be followed by another one.
  if (writing_) return;
  static_cast<void>(nghttp2_session_terminate_session(session_, error));
  if (!Collect() || out_.empty()) return;
  auto ignored = kj::runCatchingExceptions([this] {
    // What the socket does not take at once is dropped, with the promise.
    auto dropped = stream_->write(out_.data(), out_.size());
  });
  static_cast<void>(ignored);
}

}  // namespace raftkv::etcd
