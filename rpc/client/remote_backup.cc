#include "rpc/client/remote_backup.h"

#include <algorithm>
#include <future>
#include <utility>

#include "rpc/client/backup_feed.h"
#include "rpc/loop/sockets.h"

namespace raftkv::rpc {
namespace {

using Source = std::shared_ptr<node::BackupSource>;
using SourcePromise = std::shared_ptr<std::promise<Result<Source>>>;

/// For each endpoint, including name lookup and handshake.
constexpr Duration kConnectTimeout = std::chrono::milliseconds(1500);
/// After a round over all of them without success.
constexpr Duration kPause = std::chrono::milliseconds(200);

/// A backup that a member holds for us. On the loop.
class RemoteBackup final : public node::BackupSource, private kj::TaskSet::ErrorHandler {
 public:
  RemoteBackup(std::shared_ptr<ClientLink> link, wire::Backup::Client backup, node::BackupHead head)
      : link_(std::move(link)), backup_(kj::mv(backup)), head_(std::move(head)), tasks_(*this) {}

  ~RemoteBackup() noexcept override = default;

  [[nodiscard]] const node::BackupHead& head() const override { return head_; }

  void Read(std::uint64_t offset, std::size_t bytes, node::Done<Bytes> done) override {
    auto request = backup_.readRequest();
    request.setOffset(offset);
    request.setBytes(static_cast<std::uint32_t>(bytes));
    Carry<wire::Backup::ReadResults, Bytes>(
        request.send(), std::move(done),
        [](wire::Backup::ReadResults::Reader results) { return ToBytes(results.getData()); });
  }

  void Content(node::Done<node::BackupContent> done) override {
    Carry<wire::Backup::ContentResults, node::BackupContent>(
        backup_.contentRequest().send(), std::move(done),
        [](wire::Backup::ContentResults::Reader results) {
          return node::BackupContent{results.getContentHash(), results.getKeys()};
        });
  }

 private:
  template <class Results, class T, class Take>
  void Carry(capnp::RemotePromise<Results>&& answer, node::Done<T> done, const Take& take) {
    link_->CallBegan();
    // Whichever of the answer and the lost connection is first takes it.
    const auto end = std::make_shared<node::Done<T>>(std::move(done));
    tasks_.add(answer
                   .then([this, end, take](capnp::Response<Results>&& response) {
                     // Any answer shows that it is alive.
                     link_->Heard(link_->header());
                     const Status outcome = Decode(response.getOutcome());
                     if (outcome.ok()) return (*end)(take(response));
                     (*end)(OfMember(outcome));
                   })
                   .catch_([this, end](kj::Exception&& exception) {
                     if (!*end) return;  // it is what the callback threw
                     const std::string& ended = link_->ended();
                     (*end)(Status(Code::kCancelled,
                                   "lost " + link_->address() + " during the backup: " +
                                       (ended.empty() ? ShortReason(exception) : ended)));
                   })
                   .attach(kj::defer([link = link_] { link->CallEnded(); })));
  }

  /// A failure there is not a failure of a file here.
  Status OfMember(const Status& outcome) const {
    if (outcome.code() == Code::kUnavailable) return outcome;
    return {Code::kCancelled, link_->address() + " failed: " + outcome.message()};
  }

  void taskFailed(kj::Exception&&) override {}  // none does: each ends with a catch_

  const std::shared_ptr<ClientLink> link_;
  wire::Backup::Client backup_;
  const node::BackupHead head_;
  kj::TaskSet tasks_;  // goes first
};

Result<Source> SourceOf(const std::shared_ptr<ClientLink>& link,
                        wire::KvService::BackupResults::Reader answer) {
  link->Heard(Decode(answer.getHeader()));
  if (!link->ended().empty()) return Status(Code::kDeadlineExceeded, link->ended());
  Status outcome = Decode(answer.getOutcome());
  if (!outcome.ok()) return Status(Code::kUnavailable, outcome.message());
  node::BackupHead head = Decode(answer.getHead());
  head.cluster = link->header().cluster;
  head.member = link->header().member;
  return Source(std::make_shared<RemoteBackup>(link, answer.getBackup(), std::move(head)));
}

kj::Promise<void> Ask(EventLoop& loop, const std::string& endpoint,
                      const std::shared_ptr<ClusterPin>& pin, Duration timeout,
                      const std::shared_ptr<const TlsDialer>& tls, const SourcePromise& result) {
  return ClientLink::Open(loop, endpoint, pin, timeout, tls)
      .then([result](std::shared_ptr<ClientLink>&& link) {
        link->CallBegan();
        return link->service()
            .backupRequest()
            .send()
            .then([link, result](capnp::Response<wire::KvService::BackupResults>&& answer) {
              result->set_value(SourceOf(link, answer));
            })
            .attach(kj::defer([link] { link->CallEnded(); }));
      })
      .catch_([result](kj::Exception&& exception) {
        result->set_value(Status(Code::kDeadlineExceeded, ShortReason(exception)));
      });
}

Result<Source> AskAndWait(EventLoop& loop, const std::string& endpoint,
                          const std::shared_ptr<ClusterPin>& pin, Duration timeout,
                          const std::shared_ptr<const TlsDialer>& tls) {
  auto result = std::make_shared<std::promise<Result<Source>>>();
  auto future = result->get_future();
  loop.Post([&loop, endpoint, pin, timeout, tls, result = std::move(result)] {
    loop.Spawn(Ask(loop, endpoint, pin, timeout, tls, result));
  });
  try {
    return future.get();
  } catch (const std::future_error&) {
    return Status(Code::kCancelled, "the client was closed");
  }
}

}  // namespace

Result<std::shared_ptr<node::BackupFeed>> BeginRemoteBackup(
    EventLoop& loop, const std::vector<std::string>& endpoints,
    const std::shared_ptr<ClusterPin>& pin, std::chrono::milliseconds timeout,
    const std::shared_ptr<const TlsDialer>& tls) {
  const MonoTime deadline = loop.Now() + BoundedTimeout(timeout);
  if (BoundedTimeout(timeout) == timeout.zero()) {
    return Status(Code::kDeadlineExceeded, "the timeout leaves no time to find a member");
  }
  while (true) {
    std::string failures;
    Code code = Code::kDeadlineExceeded;
    for (const std::string& endpoint : endpoints) {
      const Duration left = std::max<Duration>(deadline - loop.Now(), std::chrono::milliseconds(1));
      Result<Source> source = AskAndWait(loop, endpoint, pin, std::min(left, kConnectTimeout), tls);
      if (source.ok()) {
        return std::shared_ptr<node::BackupFeed>(
            std::make_shared<LoopBackupFeed>(loop, *std::move(source)));
      }
      if (source.code() != Code::kDeadlineExceeded) code = source.code();
      failures +=
          (failures.empty() ? "" : ", ") + endpoint + " (" + source.status().message() + ')';
    }
    if (code == Code::kCancelled || loop.Now() + kPause >= deadline) {
      return Status(code, "no endpoint can give a backup: " + failures);
    }
    auto rested = std::make_shared<std::promise<void>>();
    const auto rest = rested->get_future();
    loop.Post([&loop, rested] { loop.At(loop.Now() + kPause, [rested] { rested->set_value(); }); });
    rest.wait_for(2 * kPause);
  }
}

}  // namespace raftkv::rpc
