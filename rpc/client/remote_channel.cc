#include "rpc/client/remote_channel.h"

#include <algorithm>
#include <limits>

#include "lib/base/check.h"
#include "lib/kv/parse.h"
#include "rpc/loop/sockets.h"

namespace raftkv::rpc {
namespace {

constexpr Duration kFollowPause = std::chrono::milliseconds(500);
/// If another cluster answered in place of the leader, it will answer again.
constexpr Duration kOtherClusterPause = std::chrono::seconds(5);
constexpr Duration kMovePause = std::chrono::milliseconds(200);
constexpr auto kMinAttempt = std::chrono::milliseconds(1000);
/// After the timeout sent to the server: it answers by itself, but late.
constexpr Duration kAnswerGrace = std::chrono::milliseconds(250);

}  // namespace

// One round over the endpoints.
struct RemoteChannel::Round {
  std::size_t first = 0;
  std::size_t tried = 0;
  std::string failures;
};

RemoteChannel::RemoteChannel(EventLoop& loop, RemoteChannelOptions options)
    : loop_(loop), options_(std::move(options)), tasks_(*this) {
  RAFTKV_CHECK(!options_.endpoints.empty());
  RAFTKV_CHECK(options_.pin != nullptr);
  StartRound();
}

RemoteChannel::~RemoteChannel() noexcept = default;

void RemoteChannel::taskFailed(kj::Exception&& exception) {
  RAFTKV_CHECK(false,
               "a client's task must handle its failures:", exception.getDescription().cStr());
}

void RemoteChannel::GetLink(MonoTime deadline, WithLink then) {
  if (link_ != nullptr && !link_->ended().empty()) MoveOn(link_);
  if (link_ != nullptr) return then(link_);
  // Whichever of the timeout and the new link is first takes it.
  const auto waiter = std::make_shared<WithLink>(std::move(then));
  waiters_.push_back(waiter);
  const Duration left = std::max(Duration::zero(), deadline - loop_.Now());
  tasks_.add(loop_.timer().afterDelay(ToKj(left)).then([this, waiter] {
    if (!*waiter) return;
    std::string why = "no member could be reached in time";
    if (!last_round_.ok()) why += "; before that, " + last_round_.message();
    (*waiter)(Status(Code::kUnavailable, std::move(why)));
  }));
  if (!in_round_) StartRound();
}

void RemoteChannel::StartRound() {
  in_round_ = true;
  auto round = std::make_shared<Round>();
  round->first = next_endpoint_;
  tasks_.add(kj::evalLater([this, round] { return TryNext(round); }));
}

kj::Promise<void> RemoteChannel::TryNext(std::shared_ptr<Round> round) {
  if (round->tried == options_.endpoints.size()) {
    EndRound(Status(Code::kUnavailable, "no endpoint could be reached: " + round->failures));
    return kj::READY_NOW;
  }
  const std::size_t at = (round->first + round->tried++) % options_.endpoints.size();
  const std::string& address = options_.endpoints[at];
  const auto failed = [this, round, &address](const std::string& why) {
    if (!round->failures.empty()) round->failures += ", ";
    round->failures += address + " (" + why + ')';
    return TryNext(round);
  };
  return ClientLink::Open(loop_, address, options_.pin, options_.connect_timeout, options_.tls)
      .then(
          [this, at, failed](LinkPtr&& link) {
            if (link->header().cluster == ClusterId{}) {
              return failed("its cluster has not formed yet");
            }
            next_endpoint_ = at;
            return GoToLeader(std::move(link));
          },
          [failed](kj::Exception&& exception) { return failed(ShortReason(exception)); });
}

kj::Promise<void> RemoteChannel::GoToLeader(LinkPtr link) {
  const std::string leader = link->header().leader_address;
  if (!options_.follow_leader || leader.empty() || leader == link->address()) {
    EndRound(std::move(link));
    return kj::READY_NOW;
  }
  return ClientLink::Open(loop_, leader, options_.pin, options_.connect_timeout, options_.tls)
      .then(
          [this, link, leader](LinkPtr&& to_leader) {
            if (to_leader->header().cluster != ClusterId{}) return EndRound(std::move(to_leader));
            PauseFollowing(leader);
            EndRound(link);
          },
          [this, link, leader](kj::Exception&&) {
            // A member forwards requests as well, once it knows the leader.
            PauseFollowing(leader);
            EndRound(link);
          });
}

void RemoteChannel::EndRound(Result<LinkPtr> result) {
  in_round_ = false;
  last_round_ = result.status();
  if (result.ok()) {
    link_ = *result;
    if (options_.on_header) options_.on_header(link_->header());
  }
  std::vector<std::shared_ptr<WithLink>> waiters;
  waiters.swap(waiters_);
  for (const auto& waiter : waiters) {
    if (*waiter) (*waiter)(result);
  }
}

void RemoteChannel::MoveOn(LinkPtr link) {
  if (link_ != link) return;
  link_ = nullptr;
  // Start after the one that failed; it may have been reached by a hint, not in turn.
  const auto& endpoints = options_.endpoints;
  const auto listed = std::find(endpoints.begin(), endpoints.end(), link->address());
  if (listed != endpoints.end()) {
    next_endpoint_ = static_cast<std::size_t>(listed - endpoints.begin());
  }
  next_endpoint_ = (next_endpoint_ + 1) % endpoints.size();
}

void RemoteChannel::Heard(const LinkPtr& link, const AnswerHeader& header) {
  link->Heard(header);
  if (options_.on_header) options_.on_header(header);
  if (options_.follow_leader && link == link_ && !header.leader_address.empty() &&
      header.leader_address != link->address()) {
    Follow(header.leader_address);
  }
}

void RemoteChannel::Follow(const std::string& leader) {
  if (following_ || loop_.Now() < follow_not_before_) return;
  following_ = true;
  tasks_.add(ClientLink::Open(loop_, leader, options_.pin, options_.connect_timeout, options_.tls)
                 .then(
                     [this, leader](LinkPtr&& link) {
                       following_ = false;
                       if (link->header().cluster == ClusterId{}) return PauseFollowing(leader);
                       link_ = std::move(link);
                     },
                     [this, leader](kj::Exception&&) {
                       following_ = false;
                       PauseFollowing(leader);
                     }));
}

void RemoteChannel::PauseFollowing(const std::string& leader) {
  const bool other = !options_.pin->OtherAt(leader).empty();
  follow_not_before_ = loop_.Now() + (other ? kOtherClusterPause : kFollowPause);
}

Status RemoteChannel::Explained(const LinkPtr& link, Status refusal) const {
  const std::string& leader = link->header().leader_address;
  const std::string other = leader.empty() ? leader : options_.pin->OtherAt(leader);
  if (other.empty()) return refusal;
  return {refusal.code(), refusal.message() + "; the leader's address " + leader +
                              " does not reach the leader from here: " + other};
}

std::uint32_t RemoteChannel::AttemptMs(MonoTime deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - loop_.Now());
  const auto attempt = std::min(left, std::max(left / 2, kMinAttempt));
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(attempt.count(), 1, std::int64_t{10} * 60 * 1000));
}

Duration RemoteChannel::LeftUntil(MonoTime deadline) {
  return std::max(Duration::zero(), deadline - loop_.Now());
}

Duration RemoteChannel::Patience(MonoTime deadline) {
  return std::min(LeftUntil(deadline),
                  std::chrono::milliseconds(AttemptMs(deadline)) + kAnswerGrace);
}

kj::Promise<void> RemoteChannel::UntilLate(const LinkPtr& link, Duration patience) {
  return loop_.timer().afterDelay(ToKj(patience)).then([this, link]() -> kj::Promise<void> {
    // A moving transfer is not started over; the session ends calls whose time is up.
    if (!link->Moves()) return kj::READY_NOW;
    return UntilLate(link, kAnswerGrace);
  });
}

template <class Results>
void RemoteChannel::Carry(const LinkPtr& link, Duration patience, Code lost_code,
                          capnp::RemotePromise<Results>&& answer,
                          OnceFunction<void(Status, typename Results::Reader*)> done) {
  link->CallBegan();
  // Whichever of the answer, the timeout and the lost connection is first takes it.
  const auto end =
      std::make_shared<OnceFunction<void(Status, typename Results::Reader*)>>(std::move(done));
  auto answered = answer.then([this, link, end, lost_code](capnp::Response<Results>&& response) {
    Heard(link, Decode(response.getHeader()));
    if (!link->ended().empty()) {
      MoveOn(link);
      return (*end)({lost_code, link->address() + ": " + link->ended()}, nullptr);
    }
    Status status = Decode(response.getOutcome());
    const bool refused = status.code() == Code::kUnavailable || status.code() == Code::kNotLeader;
    const bool knows_no_leader =
        !link->header().leads && link->header().leader_address.empty() && options_.follow_leader;
    if (refused && (knows_no_leader || options_.move_on_refusal) &&
        loop_.Now() >= move_not_before_) {
      // Another member may know a leader, or be able to serve.
      move_not_before_ = loop_.Now() + kMovePause;
      MoveOn(link);
    }
    if (refused) status = Explained(link, std::move(status));
    typename Results::Reader reader = response;
    (*end)(std::move(status), &reader);
  });
  auto late = UntilLate(link, patience).then([this, link, end, lost_code] {
    MoveOn(link);
    (*end)({lost_code, link->address() + " did not answer in time"}, nullptr);
  });
  tasks_.add(answered.exclusiveJoin(kj::mv(late))
                 .catch_([this, link, end, lost_code](kj::Exception&& exception) {
                   MoveOn(link);
                   if (!*end) return;  // it is what the callback threw
                   const std::string why =
                       link->ended().empty() ? ShortReason(exception) : link->ended();
                   (*end)({lost_code, "lost " + link->address() + ": " + why}, nullptr);
                 })
                 .attach(kj::defer([link] { link->CallEnded(); })));
}

void RemoteChannel::OpenSession(MonoTime deadline, node::Done<std::uint64_t> done) {
  GetLink(deadline, [this, deadline, done = std::move(done)](Result<LinkPtr> link) mutable {
    if (!link.ok()) return done(link.status());
    auto request = (*link)->service().openSessionRequest();
    request.setTimeoutMs(AttemptMs(deadline));
    Carry<wire::KvService::OpenSessionResults>(
        *link, Patience(deadline), Code::kUnavailable, request.send(),
        [done = std::move(done)](Status status,
                                 wire::KvService::OpenSessionResults::Reader* results) mutable {
          if (!status.ok()) return done(std::move(status));
          done(results->getReplicatedTimeMs());
        });
  });
}

void RemoteChannel::Submit(Bytes request, MonoTime deadline, node::SubmitDone done) {
  GetLink(deadline, [this, request = std::move(request), deadline,
                     done = std::move(done)](Result<LinkPtr> link) mutable {
    if (!link.ok()) return done({link.status(), {}});
    SubmitOn(*link, request, deadline, std::move(done));
  });
}

void RemoteChannel::SubmitOn(const LinkPtr& link, const Bytes& bytes, MonoTime deadline,
                             node::SubmitDone done) {
  auto request =
      link->service().submitRequest(capnp::MessageSize{bytes.size() / sizeof(capnp::word) + 16, 0});
  request.setRequest(AsData(bytes.view()));
  request.setTimeoutMs(AttemptMs(deadline));
  Carry<wire::KvService::SubmitResults>(
      link, Patience(deadline), Code::kUnknownOutcome, request.send(),
      [done = std::move(done)](Status status,
                               wire::KvService::SubmitResults::Reader* results) mutable {
        Bytes response = status.ok() ? ToBytes(results->getResponse()) : Bytes();
        done({std::move(status), std::move(response)});
      });
}

void RemoteChannel::Read(Bytes request, node::ReadPolicy policy, MonoTime deadline,
                         node::Done<Bytes> done) {
  if (policy.consistency == Consistency::kBounded && options_.follow_leader) {
    return Nearby().Read(std::move(request), policy, deadline, std::move(done));
  }
  GetLink(deadline, [this, request = std::move(request), policy, deadline,
                     done = std::move(done)](Result<LinkPtr> link) mutable {
    if (!link.ok()) return done(link.status());
    ReadOn(*link, request, policy, deadline, std::move(done));
  });
}

RemoteChannel& RemoteChannel::Nearby() {
  RAFTKV_CHECK(options_.follow_leader);
  if (nearby_ == nullptr) {
    RemoteChannelOptions nearby = options_;
    nearby.follow_leader = false;
    nearby.move_on_refusal = true;
    nearby_ = std::make_unique<RemoteChannel>(loop_, std::move(nearby));
  }
  return *nearby_;
}

void RemoteChannel::Watch(Bytes request, MonoTime deadline, node::Done<Bytes> done) {
  // Any member serves it, and what waits there for long takes no room from other calls.
  if (options_.follow_leader) {
    return Nearby().Watch(std::move(request), deadline, std::move(done));
  }
  GetLink(deadline, [this, request = std::move(request), deadline,
                     done = std::move(done)](Result<LinkPtr> link) mutable {
    if (!link.ok()) return done(link.status());
    WatchOn(*link, request, deadline, std::move(done));
  });
}

void RemoteChannel::WatchOn(const LinkPtr& link, const Bytes& bytes, MonoTime deadline,
                            node::Done<Bytes> done) {
  auto request =
      link->service().watchRequest(capnp::MessageSize{bytes.size() / sizeof(capnp::word) + 16, 0});
  request.setRequest(AsData(bytes.view()));
  // Nearly all of the time: a member that is gone is noticed by its connection.
  const Duration left = LeftUntil(deadline);
  const auto told = std::chrono::floor<std::chrono::milliseconds>(
      left > 2 * kAnswerGrace ? left - kAnswerGrace : left / 2);
  request.setTimeoutMs(static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(told.count(), 1, std::numeric_limits<std::int32_t>::max())));
  using Results = wire::KvService::WatchResults;
  Carry<Results>(link, left, Code::kUnavailable, request.send(),
                 [done = std::move(done)](Status status, Results::Reader* results) mutable {
                   if (!status.ok()) return done(std::move(status));
                   done(ToBytes(results->getResponse()));
                 });
}

void RemoteChannel::ReadOn(const LinkPtr& link, const Bytes& bytes, node::ReadPolicy policy,
                           MonoTime deadline, node::Done<Bytes> done) {
  auto request =
      link->service().readRequest(capnp::MessageSize{bytes.size() / sizeof(capnp::word) + 16, 0});
  request.setRequest(AsData(bytes.view()));
  request.setConsistency(ToWire(policy.consistency));
  request.setMaxStalenessMs(static_cast<std::uint32_t>(std::min<std::int64_t>(
      std::chrono::floor<std::chrono::milliseconds>(policy.max_staleness).count(), UINT32_MAX)));
  request.setTimeoutMs(AttemptMs(deadline));
  Carry<wire::KvService::ReadResults>(
      link, Patience(deadline), Code::kUnavailable, request.send(),
      [done = std::move(done)](Status status,
                               wire::KvService::ReadResults::Reader* results) mutable {
        if (!status.ok()) return done(std::move(status));
        done(ToBytes(results->getResponse()));
      });
}

void RemoteChannel::Members(MonoTime deadline, node::Done<std::vector<ClusterMember>> done) {
  GetLink(deadline, [this, deadline, done = std::move(done)](Result<LinkPtr> link) mutable {
    if (!link.ok()) return done(link.status());
    using Results = wire::KvService::MembersResults;
    Carry<Results>(*link, Patience(deadline), Code::kUnavailable,
                   (*link)->service().membersRequest().send(),
                   [done = std::move(done)](Status status, Results::Reader* results) mutable {
                     if (!status.ok()) return done(std::move(status));
                     std::vector<ClusterMember> members;
                     for (const auto member : results->getMembers()) {
                       members.push_back(Decode(member));
                     }
                     done(std::move(members));
                   });
  });
}

void RemoteChannel::ChangeMembers(const MemberChange& change, MonoTime deadline, ChangeDone done) {
  GetLink(deadline, [this, change, deadline, done = std::move(done)](Result<LinkPtr> link) mutable {
    if (!link.ok()) return done(link.status(), false);
    auto request = (*link)->service().changeMembersRequest();
    Encode(change, request);
    // The whole time: it is not retried once it may have happened.
    const Duration left = LeftUntil(deadline);
    const auto told = std::chrono::ceil<std::chrono::milliseconds>(
        left > 2 * kAnswerGrace ? left - kAnswerGrace : left / 2);
    request.setTimeoutMs(static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(told.count(), 1, std::numeric_limits<std::int32_t>::max())));
    using Results = wire::KvService::ChangeMembersResults;
    Carry<Results>(*link, left, Code::kUnknownOutcome, request.send(),
                   [done = std::move(done)](Status status, Results::Reader* results) mutable {
                     done(std::move(status), results != nullptr && results->getHeader().getLeads());
                   });
  });
}

}  // namespace raftkv::rpc
