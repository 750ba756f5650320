#include "rpc/client/remote_cluster.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "lib/base/host_code.h"
#include "lib/base/random.h"
#include "lib/session/backoff.h"

namespace raftkv::rpc {

namespace {

/// An attempt that begins later than this before the deadline may be cut off by it, and an outcome
/// that a refusal had made certain would be unknown again.
constexpr Duration kToAnswer = std::chrono::milliseconds(250);

}  // namespace

struct RemoteCluster::State {
  EventLoop& loop;
  RemoteChannel& channel;
  Random random;
};

struct RemoteCluster::Call {
  using AttemptDone = RemoteChannel::ChangeDone;

  ~Call() {
    if (done == nullptr) return;
    if (under_way && changes) {
      done({Code::kUnknownOutcome, "the client was closed before the change was answered"});
    } else {
      done({Code::kCancelled, "the client was closed"});
    }
  }

  std::function<void(RemoteChannel&, MonoTime, AttemptDone)> attempt;
  bool changes = true;
  MonoTime deadline{};
  StatusCallback done;
  bool under_way = false;
  node::Backoff backoff;
};

RemoteCluster::RemoteCluster(EventLoop& loop, RemoteChannel& channel, std::uint64_t seed)
    : loop_(loop), state_(std::make_shared<State>(State{loop, channel, Random(seed)})) {}

RemoteCluster::~RemoteCluster() = default;

void RemoteCluster::MembersAsync(Timeout timeout, Callback<std::vector<ClusterMember>> done) {
  auto members = std::make_shared<std::vector<ClusterMember>>();
  auto call = std::make_shared<Call>();
  call->changes = false;
  call->attempt = [members](RemoteChannel& channel, MonoTime deadline, Call::AttemptDone answer) {
    channel.Members(deadline, [members, answer = std::move(answer)](
                                  Result<std::vector<ClusterMember>> result) mutable {
      if (result.ok()) *members = *std::move(result);
      answer(result.status(), false);
    });
  };
  call->deadline = loop_.Now() + BoundedTimeout(timeout);
  call->done = [members, done = Contained(std::move(done), nullptr)](const Status& status) {
    if (!status.ok()) return done(status);
    done(std::move(*members));
  };
  Begin(std::move(call));
}

void RemoteCluster::AddMemberAsync(std::string name, std::string address, bool voter,
                                   Timeout timeout, StatusCallback done) {
  const auto kind = voter ? MemberChange::Kind::kAddVoter : MemberChange::Kind::kAddLearner;
  Change({.kind = kind, .name = std::move(name), .address = std::move(address)}, timeout,
         std::move(done));
}

void RemoteCluster::PromoteMemberAsync(std::string name, Timeout timeout, StatusCallback done) {
  Change({.kind = MemberChange::Kind::kPromote, .name = std::move(name), .address = {}}, timeout,
         std::move(done));
}

void RemoteCluster::RemoveMemberAsync(std::string name, Timeout timeout, StatusCallback done) {
  Change({.kind = MemberChange::Kind::kRemove, .name = std::move(name), .address = {}}, timeout,
         std::move(done));
}

void RemoteCluster::UpdateMemberAsync(std::string name, MemberUpdate update, Timeout timeout,
                                      StatusCallback done) {
  Change({.kind = MemberChange::Kind::kUpdate,
          .name = std::move(name),
          .address = std::move(update.address),
          .reset_boot = update.reset_boot},
         timeout, std::move(done));
}

void RemoteCluster::MoveLeaderAsync(std::string name, Timeout timeout, StatusCallback done) {
  Change({.kind = MemberChange::Kind::kMoveLeader, .name = std::move(name), .address = {}}, timeout,
         std::move(done));
}

void RemoteCluster::Change(MemberChange change, Timeout timeout, StatusCallback done) {
  auto call = std::make_shared<Call>();
  const Status checked = CheckAndSpell(change);
  call->attempt = [change = std::move(change), checked](RemoteChannel& channel, MonoTime deadline,
                                                        Call::AttemptDone answer) {
    if (!checked.ok()) return answer(checked, true);
    channel.ChangeMembers(change, deadline, std::move(answer));
  };
  call->deadline = loop_.Now() + BoundedTimeout(timeout);
  call->done = Contained(std::move(done), nullptr);
  Begin(std::move(call));
}

void RemoteCluster::Begin(std::shared_ptr<Call> call) {
  loop_.Post([weak = std::weak_ptr(state_), call = std::move(call)] {
    const auto state = weak.lock();
    if (state == nullptr) return;  // the call ends itself
    if (call->deadline > state->loop.Now()) return Attempt(state, call);
    std::exchange(call->done, nullptr)(
        Status(Code::kDeadlineExceeded, "the timeout expired before it was sent"));
  });
}

void RemoteCluster::Attempt(const std::shared_ptr<State>& state,
                            const std::shared_ptr<Call>& call) {
  call->under_way = true;
  call->attempt(state->channel, call->deadline,
                [weak = std::weak_ptr(state), call](const Status& status, bool by_leader) {
                  if (const auto open = weak.lock()) OnAnswer(open, call, status, by_leader);
                });
}

void RemoteCluster::OnAnswer(const std::shared_ptr<State>& state, const std::shared_ptr<Call>& call,
                             const Status& status, bool by_leader) {
  call->under_way = false;
  Status outcome = status;
  if (status.code() == Code::kNotLeader || status.code() == Code::kUnavailable) {
    const MonoTime again = state->loop.Now() + call->backoff.Next(state->random);
    if (again + kToAnswer < call->deadline) {
      state->loop.At(again, [weak = std::weak_ptr(state), call] {
        if (const auto open = weak.lock()) Attempt(open, call);
      });
      return;
    }
    outcome = by_leader
                  ? Status(Code::kUnavailable, status.message())
                  : Status(Code::kDeadlineExceeded,
                           "no leader was found in time; the last attempt: " + status.message());
  }
  std::exchange(call->done, nullptr)(outcome);
}

}  // namespace raftkv::rpc
