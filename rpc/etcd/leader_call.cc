#include "rpc/etcd/leader_call.h"

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "rpc/client/remote_channel.h"

namespace raftkv::etcd {

namespace {

constexpr Duration kBetweenLeaders = std::chrono::milliseconds(50);
/// An attempt that begins later than this before the deadline may be cut off by it.
constexpr Duration kToAnswer = std::chrono::milliseconds(250);

/// Over a connection of its own: changes are rare. Connections end with this.
class LeaderConnections {
 public:
  explicit LeaderConnections(Backend& backend) : backend_(backend) {}

  void Ask(const std::string& address, const rpc::MemberChange& change, MonoTime deadline,
           LeaderCall::Done done) {
    rpc::RemoteChannelOptions options;
    options.endpoints = {address};
    options.pin = std::make_shared<rpc::ClusterPin>(ClusterId(backend_.status().cluster_id));
    options.tls = backend_.dialer;
    const std::uint64_t number = next_++;
    auto& channel = channels_[number];
    channel = std::make_unique<rpc::RemoteChannel>(backend_.loop, std::move(options));
    channel->ChangeMembers(
        change, deadline,
        [this, number, done = std::move(done)](const Status& status, bool by_leader) mutable {
          // Not inside a call of its own.
          backend_.loop.RunLater(life_.Guard([this, number] { channels_.erase(number); }));
          done(status, by_leader);
        });
  }

 private:
  Backend& backend_;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, std::unique_ptr<rpc::RemoteChannel>> channels_;
  const ServiceLife life_;
};

LeaderCall::Ask AskByConnection(Backend& backend) {
  return
      [connections = std::make_shared<LeaderConnections>(backend)](
          const std::string& address, const rpc::MemberChange& change, MonoTime deadline,
          LeaderCall::Done done) { connections->Ask(address, change, deadline, std::move(done)); };
}

}  // namespace

struct LeaderCall::Call {
  rpc::MemberChange change;
  MonoTime deadline;
  Done done;
};

LeaderCall::LeaderCall(Backend& backend, Ask ask)
    : backend_(backend), ask_(ask ? std::move(ask) : AskByConnection(backend)) {}

void LeaderCall::Change(rpc::MemberChange change, MonoTime deadline, Done done) {
  Attempt(std::make_shared<Call>(Call{std::move(change), deadline, std::move(done)}));
}

void LeaderCall::Attempt(const std::shared_ptr<Call>& call) {
  backend_.service.ChangeMembers(call->change, call->deadline,
                                 life_.Guard([this, call](const Status& status) {
                                   if (status.code() == Code::kNotLeader) return AskLeader(call);
                                   OnAnswer(call, status, true);
                                 }));
}

void LeaderCall::AskLeader(const std::shared_ptr<Call>& call) {
  const std::string address = backend_.service.Header().leader_address;
  if (address.empty()) {
    return OnAnswer(call, Status(Code::kNotLeader, "no leader is known"), false);
  }
  ask_(address, call->change, call->deadline,
       life_.Guard([this, call](const Status& status, bool by_leader) {
         OnAnswer(call, status, by_leader);
       }));
}

void LeaderCall::OnAnswer(const std::shared_ptr<Call>& call, const Status& status, bool by_leader) {
  const bool not_made =
      status.code() == Code::kNotLeader || (status.code() == Code::kUnavailable && !by_leader);
  const MonoTime again = backend_.loop.Now() + kBetweenLeaders;
  if (!not_made || again + kToAnswer >= call->deadline) return call->done(status, by_leader);
  backend_.loop.At(again, life_.Guard([this, call] { Attempt(call); }));
}

}  // namespace raftkv::etcd
