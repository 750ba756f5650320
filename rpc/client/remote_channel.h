// How do a client's requests reach the cluster, whichever members are up and whichever leads?
//
// One connection at a time, to the leader if it is known. When it fails, the next call connects
// again, starting with the next endpoint. Nothing is retried here: the session does that.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/session/session_kv.h"
#include "rpc/client/client_link.h"

namespace raftkv::rpc {

struct RemoteChannelOptions {
  std::vector<std::string> endpoints;
  /// Nothing is sent to members of other clusters, nor to one whose cluster has not formed yet,
  /// since its id is not known. Never null.
  std::shared_ptr<ClusterPin> pin = std::make_shared<ClusterPin>();
  /// Null: plain text.
  std::shared_ptr<const TlsDialer> tls = nullptr;
  bool follow_leader = true;
  /// Continue with the next endpoint if one says that it cannot serve (and not which one can).
  bool move_on_refusal = false;
  /// For each endpoint, including name lookup and handshake.
  Duration connect_timeout = std::chrono::milliseconds(750);
  /// Called with the header of every answer.
  std::function<void(const AnswerHeader&)> on_header;
};

/// Lives on the loop. Destroy it after the KV that uses it; open calls are dropped.
class RemoteChannel final : public node::Channel, private kj::TaskSet::ErrorHandler {
 public:
  RemoteChannel(EventLoop& loop, RemoteChannelOptions options);
  ~RemoteChannel() noexcept override;

  void OpenSession(MonoTime deadline, node::Done<std::uint64_t> done) override;
  void Submit(Bytes request, MonoTime deadline, node::SubmitDone done) override;
  void Read(Bytes request, node::ReadPolicy policy, MonoTime deadline,
            node::Done<Bytes> done) override;
  void Watch(Bytes request, MonoTime deadline, node::Done<Bytes> done) override;

  // --- Membership; one attempt each.
  void Members(MonoTime deadline, node::Done<std::vector<ClusterMember>> done);
  /// `by_leader`: the leader answered.
  using ChangeDone = OnceFunction<void(Status, bool by_leader)>;
  void ChangeMembers(const MemberChange& change, MonoTime deadline, ChangeDone done);

 private:
  using LinkPtr = std::shared_ptr<ClientLink>;
  using WithLink = OnceFunction<void(Result<LinkPtr>)>;
  struct Round;

  void GetLink(MonoTime deadline, WithLink then);
  void StartRound();
  kj::Promise<void> TryNext(std::shared_ptr<Round> round);
  kj::Promise<void> GoToLeader(LinkPtr link);
  void EndRound(Result<LinkPtr> result);
  void Heard(const LinkPtr& link, const AnswerHeader& header);
  void Follow(const std::string& leader);
  /// The leader could not be reached: when to try it again.
  void PauseFollowing(const std::string& leader);
  /// A refusal by a member that is not the leader, and why the leader was not asked instead.
  [[nodiscard]] Status Explained(const LinkPtr& link, Status refusal) const;
  /// New calls go elsewhere; those in progress on `link` may still complete.
  /// By value: `link` may be `link_`, which ends here.
  void MoveOn(LinkPtr link);
  /// The timeout sent to the server: part of the time, so that some is left for another member.
  [[nodiscard]] std::uint32_t AttemptMs(MonoTime deadline);
  /// `lost_code`: the result if no answer arrives within `patience`, which is extended while its
  /// bytes, or those before it, are still moving.
  template <class Results>
  void Carry(const LinkPtr& link, Duration patience, Code lost_code,
             capnp::RemotePromise<Results>&& answer,
             OnceFunction<void(Status, typename Results::Reader*)> done);
  kj::Promise<void> UntilLate(const LinkPtr& link, Duration patience);
  void SubmitOn(const LinkPtr& link, const Bytes& request, MonoTime deadline,
                node::SubmitDone done);
  void ReadOn(const LinkPtr& link, const Bytes& request, node::ReadPolicy policy, MonoTime deadline,
              node::Done<Bytes> done);
  void WatchOn(const LinkPtr& link, const Bytes& request, MonoTime deadline,
               node::Done<Bytes> done);
  /// Whom to ask what needs no leader.
  RemoteChannel& Nearby();
  [[nodiscard]] Duration LeftUntil(MonoTime deadline);
  /// For one attempt: the timeout sent to the server, and a little more.
  [[nodiscard]] Duration Patience(MonoTime deadline);
  void taskFailed(kj::Exception&& exception) override;

  EventLoop& loop_;
  const RemoteChannelOptions options_;
  LinkPtr link_;  // null, or the link for new calls
  std::size_t next_endpoint_ = 0;
  bool in_round_ = false;
  Status last_round_;  ///< what came of the last one that has ended
  bool following_ = false;
  MonoTime follow_not_before_{};
  MonoTime move_not_before_{};
  std::vector<std::shared_ptr<WithLink>> waiters_;
  /// For bounded reads and watches, which need no leader; created with the first.
  std::unique_ptr<RemoteChannel> nearby_;
  kj::TaskSet tasks_;  // last: goes first
};

}  // namespace raftkv::rpc
