#include "rpc/server/backup_service.h"

#include <kj/debug.h>

#include "rpc/loop/outbound.h"
#include "rpc/loop/pending.h"

namespace raftkv::rpc {
namespace {

using raftkv::Status;

class BackupServer final : public wire::Backup::Server {
 public:
  BackupServer(EventLoop& loop, std::shared_ptr<node::BackupSource> source,
               std::shared_ptr<const bool> alive, HasRoom has_room, Duration idle)
      : loop_(loop),
        alive_(std::move(alive)),
        has_room_(std::move(has_room)),
        idle_(idle),
        source_(std::move(source)),
        watch_(Watch().eagerlyEvaluate(nullptr)) {}

 private:
  kj::Promise<void> read(ReadContext context) override {
    const std::uint32_t bytes = context.getParams().getBytes();
    Status refused = Admit();
    if (refused.ok() && (bytes == 0 || bytes > kMaxBackupReadBytes)) {
      refused = {Code::kInvalidArgument,
                 "1 to " + std::to_string(kMaxBackupReadBytes) + " bytes can be read at once"};
    }
    if (!refused.ok()) {
      Encode(refused, context.getResults().initOutcome());
      return kj::READY_NOW;
    }
    auto pending = NewPending<Result<Bytes>>();
    source_->Read(context.getParams().getOffset(), bytes, std::move(pending.done));
    context.releaseParams();
    context.allowCancellation();
    return pending.promise.attach(Count()).then([this, context](Result<Bytes>&& read) mutable {
      RequireAlive();
      if (read.ok() && !has_room_(read->size())) {
        read = Status(Code::kUnavailable, "answers on this connection are waiting to be read");
      }
      const std::size_t bytes = read.ok() ? read->size() : read.status().message().size();
      auto results = context.getResults(capnp::MessageSize{bytes / sizeof(capnp::word) + 32, 0});
      Encode(read.status(), results.initOutcome());
      if (read.ok()) results.setData(AsData(read->view()));
    });
  }

  kj::Promise<void> content(ContentContext context) override {
    Status refused = Admit();
    if (refused.ok() && std::exchange(content_asked_, true)) {
      refused = {Code::kInvalidArgument, "the content of a backup is reported only once"};
    }
    if (!refused.ok()) {
      Encode(refused, context.getResults().initOutcome());
      return kj::READY_NOW;
    }
    using Content = Result<node::BackupContent>;
    auto pending = NewPending<Content>();
    source_->Content(std::move(pending.done));
    context.allowCancellation();
    return pending.promise.attach(Count()).then([this, context](Content&& content) mutable {
      RequireAlive();
      auto results = context.getResults();
      Encode(content.status(), results.initOutcome());
      if (!content.ok()) return;
      results.setContentHash(content->hash);
      results.setKeys(content->keys);
    });
  }

  void RequireAlive() const {
    if (!*alive_) kj::throwFatalException(KJ_EXCEPTION(DISCONNECTED, "the connection is closed"));
  }

  Status Admit() const {
    RequireAlive();
    if (source_ == nullptr) {
      return {Code::kNotFound, "the backup was not read for too long: start again"};
    }
    if (*calls_ >= kMaxBackupReads)
      return {Code::kUnavailable, "too many reads of a backup are waiting"};
    return Status::Ok();
  }

  // Counts a call for as long as the returned object lives; that may be longer than this server.
  kj::Own<std::shared_ptr<std::uint32_t>> Count() {
    ++*calls_;
    ++calls_begun_;
    return kj::heap<std::shared_ptr<std::uint32_t>>(
        std::shared_ptr<std::uint32_t>(calls_.get(), [calls = calls_](auto*) { --*calls; }));
  }

  /// Checks now and then whether there was a call since.
  kj::Promise<void> Watch() {
    return loop_.timer()
        .afterDelay(ToKj(idle_))
        .then([this, begun = calls_begun_]() -> kj::Promise<void> {
          if (*calls_ > 0 || calls_begun_ != begun) return Watch();
          source_ = nullptr;
          return kj::READY_NOW;
        });
  }

  EventLoop& loop_;
  const std::shared_ptr<const bool> alive_;
  const HasRoom has_room_;
  const Duration idle_;
  std::shared_ptr<node::BackupSource> source_;  // null: it was dropped
  const std::shared_ptr<std::uint32_t> calls_ = std::make_shared<std::uint32_t>(0);
  std::uint64_t calls_begun_ = 0;
  bool content_asked_ = false;
  kj::Promise<void> watch_;  // last: it uses the rest
};

}  // namespace

wire::Backup::Client NewBackup(EventLoop& loop, std::shared_ptr<node::BackupSource> source,
                               std::shared_ptr<const bool> alive, HasRoom has_room, Duration idle) {
  return kj::heap<BackupServer>(loop, std::move(source), std::move(alive), std::move(has_room),
                                idle);
}

}  // namespace raftkv::rpc
