// How do a client's requests reach the cluster, whichever member lives or leads?
//
// One connection at a time, to the leader if it is known. When it fails, the next call connects
// anew, starting with the next endpoint. Nothing is retried here: the session does that. Only the
// next page of a scan is asked of the member that keeps its state, whoever leads by then.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lib/session/session_kv.h"
#include "rpc/client/client_link.h"

namespace raftkv::rpc {

struct RemoteChannelOptions {
  std::vector<std::string> endpoints;
  /// Nothing is sent to members of other clusters, nor to one whose cluster is not formed yet:
  /// which one that will be nobody knows. Never null.
  std::shared_ptr<ClusterPin> pin = std::make_shared<ClusterPin>();
  bool follow_leader = true;
  /// Go on to the next endpoint where one says that it cannot serve (and does not say who can).
  bool move_on_refusal = false;
  /// For each endpoint, name look-up and handshake included.
  Duration connect_timeout = std::chrono::milliseconds(750);
  /// Sees the header of every answer.
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

  // --- Who takes part; one attempt each.
  void Members(MonoTime deadline, node::Done<std::vector<ClusterMember>> done);
  /// `by_leader`: it was the leader who answered.
  using ChangeDone = OnceFunction<void(Status, bool by_leader)>;
  void ChangeMembers(const MemberChange& change, MonoTime deadline, ChangeDone done);

 private:
  using LinkPtr = std::shared_ptr<ClientLink>;
  using WithLink = OnceFunction<void(Result<LinkPtr>)>;
  struct Round;
  /// The connection to the member that keeps states for scans, and when it last was of use.
  struct Keeper {
    LinkPtr link;
    MonoTime used{};
  };

  void GetLink(MonoTime deadline, WithLink then);
  void StartRound();
  kj::Promise<void> TryNext(std::shared_ptr<Round> round);
  kj::Promise<void> GoToLeader(LinkPtr link);
  void EndRound(Result<LinkPtr> result);
  void Heard(const LinkPtr& link, const AnswerHeader& header);
  void Follow(const std::string& leader);
  /// The leader could not be reached: says when to try it again.
  void PauseFollowing(const std::string& leader);
  /// A refusal by a member that is not the leader, and why the leader was not asked instead.
  [[nodiscard]] Status Explained(const LinkPtr& link, Status refusal) const;
  /// New calls go elsewhere; those that are under way on `link` may still end.
  /// By value: `link` may be `link_`, which ends here.
  void MoveOn(LinkPtr link);
  /// What the server is told: a part of the time, so that there is some left for another member.
  [[nodiscard]] std::uint32_t AttemptMs(MonoTime deadline);
  /// `lost_code`: what it means if no answer comes within `patience`, or while bytes of it, or of
  /// what came before it, are still on their way.
  template <class Results>
  void Carry(const LinkPtr& link, Duration patience, Code lost_code,
             capnp::RemotePromise<Results>&& answer,
             OnceFunction<void(Status, typename Results::Reader*)> done);
  kj::Promise<void> UntilLate(const LinkPtr& link, Duration patience);
  void SubmitOn(const LinkPtr& link, const Bytes& request, MonoTime deadline,
                node::SubmitDone done);
  void ReadOn(const LinkPtr& link, const Bytes& request, node::ReadPolicy policy, MonoTime deadline,
              node::Done<Bytes> done);
  void ReadAnywhere(Bytes request, node::ReadPolicy policy, MonoTime deadline,
                    node::Done<Bytes> done);
  /// From the state of `table`, at the member that keeps it; if that is gone, wherever: the answer
  /// says that the state is gone as well.
  void ReadAtKeeper(std::uint64_t table, Bytes request, node::ReadPolicy policy, MonoTime deadline,
                    node::Done<Bytes> done);
  /// The member at `link` keeps the states of `table` (kv::ViewId); 0: of none.
  void NoteKeeper(std::uint64_t table, const LinkPtr& link);
  kj::Promise<void> ForgetKeepers();
  [[nodiscard]] Duration LeftUntil(MonoTime deadline);
  /// Of one attempt: what the server is told, and a little more.
  [[nodiscard]] Duration Patience(MonoTime deadline);
  void taskFailed(kj::Exception&& exception) override;

  EventLoop& loop_;
  const RemoteChannelOptions options_;
  LinkPtr link_;  // null, or where new calls go
  std::size_t next_endpoint_ = 0;
  bool in_round_ = false;
  Status last_round_;  ///< what came of the last one that has ended
  bool following_ = false;
  MonoTime follow_not_before_{};
  MonoTime move_not_before_{};
  std::vector<std::shared_ptr<WithLink>> waiters_;
  /// By kv::ViewId::table: one a start of a member.
  std::map<std::uint64_t, Keeper> keepers_;
  bool forgetting_ = false;
  /// For bounded reads, which need no leader; made with the first.
  std::unique_ptr<RemoteChannel> nearby_;
  kj::TaskSet tasks_;  // last: goes first
};

}  // namespace raftkv::rpc
