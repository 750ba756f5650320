// What is a member, from its creation to its end: its identity, the formation of its cluster, the
// peers that it admits, and the node that runs consensus once the cluster has formed?
//
// The RPC server passes everything that arrives from outside to this class. Pumped by the loop
// thread; owns no thread. The ports are borrowed and outlive it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <raftkv/node.h>
#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "lib/node/watch_hub.h"
#include "lib/raft/raft.h"

namespace raftkv::node {

inline constexpr std::uint32_t kProtocolMin = 2;
inline constexpr std::uint32_t kProtocolMax = 2;

/// How a member introduces itself when it connects to another one.
struct Hello {
  std::uint32_t protocol_min = kProtocolMin;
  std::uint32_t protocol_max = kProtocolMax;
  ClusterId cluster;  ///< 0: not formed
  NodeId member;
  std::string name;
  Boot boot;
  /// The member that the caller expects to reach; kNobody: it only knows the name.
  NodeId expected_member;
  std::string expected_name;
  std::string zone;
  std::string address;  ///< address at which the caller can be reached
  /// Where it serves clients of etcd's API ("http://host:port"); empty: it does not.
  std::string client_url = {};
  /// The caller's list of members for a new cluster: "n1=host:port,n2=...", sorted by name; empty
  /// if formed.
  std::string formation;
  /// It waits to be added to an existing cluster (MemberOptions::join).
  bool joins = false;
};

struct HelloAnswer {
  /// Empty: accepted. Otherwise one line that says what is wrong and how to fix it.
  std::string refusal;
  /// With a refusal: it holds for as long as the caller is as it is (other cluster, copied disk,
  /// ...), so the caller should report it instead of just retrying.
  bool permanent = false;
  /// With a refusal: the caller was a member once, and was removed.
  bool removed = false;
  /// With a refusal: the answering member has to reach the caller first; send another hello soon.
  bool verifying = false;
  /// The answering member's introduction; set with a refusal as well.
  Hello self;
  /// If the answering member has formed and the caller, a member, has not: the payload of the first
  /// log entry.
  Bytes formed;
};
using HelloDone = OnceFunction<void(HelloAnswer)>;

/// The intended receiver of a hello of ours, and where it was answered.
struct Dialled {
  NodeId expected;  ///< kNobody: only the name is known
  std::string name;
  std::string address;
};

/// What was found in the data folder.
struct Birth {
  std::string name;
  NodeId member;
  ClusterId cluster;  ///< 0: not formed
  Boot boot;          ///< of this open, durable
  Bytes formation;    ///< payload of the first entry ever; empty if not formed, or lost
  std::map<NodeId, PeerBoot> peer_boots;
  raft::InitialState raft;
};

struct Ports {
  Clock& clock;
  LogStore& log;
  StateMachine& machine;
  Transport& transport;
  MetaStore& meta;
  Observer& observer;
  LogSink log_sink;
  Snapshots* snapshots = nullptr;  ///< see NodePorts
};

struct MemberOptions {
  std::string name;
  std::string advertise;  ///< address at which others reach this member
  /// Only the transport knows what an address is; otherwise it is HOST:PORT.
  bool opaque_addresses = false;
  std::string zone;
  /// What the others are told as Hello::client_url.
  std::string etcd_url;
  std::vector<MemberAddress> cluster;  ///< as in --cluster; empty: a cluster of one
  /// The cluster exists already and this member was added to it (`raftkv member add`).
  bool join = false;
  raft::QuorumRule quorum;  ///< of a new cluster
  Limits limits;
  Duration election_timeout = std::chrono::milliseconds(300);
  Duration heartbeat = std::chrono::milliseconds(100);
  /// For election timeouts, and for the cluster id if this member creates it; from the system's
  /// entropy in production.
  std::uint64_t seed = 1;
  std::size_t max_pending_bytes = 64 << 20;  ///< requests that wait at this member
  /// The bounds of the core; id, timeouts and gathering are set by the member.
  raft::Options core;
  std::uint64_t log_keep_entries = 100'000;  ///< see NodeConfig
  std::uint64_t log_keep_bytes = 256 << 20;
  std::uint64_t snapshot_bytes_per_second = 0;  ///< see SnapshotSender::Options
  WatchHubOptions watches;                      ///< see NodeConfig
  bool messages_may_be_lost = false;            ///< see NodeConfig
};

class Node;
class Formation;

class Member {
 public:
  /// `replicated_time_ms` is what the state machine has applied at the open.
  Member(MemberOptions options, Birth birth, std::uint64_t replicated_time_ms, Ports ports);
  ~Member();

  /// `wakeup` is called, on the loop, whenever an input made a Pump() necessary (perhaps many
  /// times). The loop runs Pump once after all inputs that are ready, so that their effects are
  /// sent together.
  void SetWakeup(std::function<void()> wakeup);
  /// Sets the transport's peers, and forms the cluster or takes part in it.
  void Start();
  /// Carries out the effects of the inputs below, and whatever has become due.
  void Pump();
  /// When Pump() is due if there is no input before.
  [[nodiscard]] MonoTime NextDeadline() const;
  /// Ends all waiting requests and accepts no more.
  void Stop();

  // --- From peers.
  /// The hello for the member that a connection was made to; `expected_member` is kNobody while the
  /// cluster is forming.
  [[nodiscard]] Hello MakeHello(NodeId expected_member, const std::string& expected_name) const;
  /// A peer introduced itself on a connection that it made. With an empty refusal its messages may
  /// be passed to Receive(). Refused and `verifying`: send a hello to it, wherever it may be.
  void OnHello(const Hello& hello, HelloDone done);
  /// The answer to our hello. Ok: messages may be sent. Unavailable: not yet, one of the two is
  /// still forming, or has not verified the other's boot or made it durable; repeat the hello after
  /// kFormationPoll. Otherwise: refused, for the reason given; retry with back-off, and at other
  /// addresses.
  Status OnHelloAnswer(const HelloAnswer& answer, const Dialled& dialled);
  /// A message on a connection whose hello was accepted, from `peer`. Safety: dropped unless
  /// KnowsBoot().
  void Receive(NodeId peer, Boot boot, PeerMessage message);
  /// Whether `boot` is the boot of `peer` that is durable here: messages of an older one may
  /// promise what a newer one has forgotten.
  [[nodiscard]] bool KnowsBoot(NodeId peer, Boot boot) const;
  /// The connection from `peer` was closed.
  void PeerDisconnected(NodeId peer);
  /// Messages to `peer` were dropped.
  void PeerUnreachable(NodeId peer);

  /// The health of this member's disk, whenever it changes.
  void OnDisk(const DiskHealth& health);

  // --- From clients and the host.
  /// `request`: encoded kv Request, not checked yet. `deadline`: when the caller stops waiting.
  void Submit(Bytes request, MonoTime deadline, SubmitDone done);
  /// `request`: encoded kv ReadRequest, not checked yet.
  void Read(Bytes request, ReadPolicy policy, MonoTime deadline, Done<Bytes> done);
  /// `request`: encoded kv WatchRequest, not checked yet. Answered once there are events, at the
  /// latest at `deadline`.
  void Watch(const Bytes& request, MonoTime deadline, Done<Bytes> done);

  // --- Membership; members other than the leader answer NotLeader. See Node for the outcomes.
  /// Invites `name`: it becomes a learner when it joins, and with `voter` a voter once it has
  /// caught up.
  void AddMember(const std::string& name, const std::string& address, bool voter, MonoTime deadline,
                 DoneStatus done);
  void PromoteMember(const std::string& name, MonoTime deadline, DoneStatus done);
  /// A member, or an invitation.
  void RemoveMember(const std::string& name, MonoTime deadline, DoneStatus done);
  /// Changes the address of `name` (empty: unchanged); with `reset_boot` the next boot of it that
  /// answers there counts, even if it appears to be an older one.
  void UpdateMember(const std::string& name, const std::string& address, bool reset_boot,
                    MonoTime deadline, DoneStatus done);
  /// Transfers the leadership to `name`; empty: to the best candidate.
  void MoveLeader(const std::string& name, MonoTime deadline, DoneStatus done);
  /// The replicated time that a new session starts from: that of everything committed by now, as
  /// confirmed by a leader. Unavailable: no leader confirmed it before the deadline.
  void OpenSession(MonoTime deadline, Done<std::uint64_t> done);
  /// The index applied here.
  [[nodiscard]] std::uint64_t replicated_time_ms() const;

  [[nodiscard]] NodeStatus status() const;
  [[nodiscard]] NodeId leader() const;
  /// The leader's address, empty if none is known.
  [[nodiscard]] std::string leader_address() const;
  [[nodiscard]] std::vector<raft::Member> members() const;
  [[nodiscard]] std::vector<raft::Invitation> invited() const;
  /// Whether a leader is known that has committed in its term, as far as this member can tell.
  [[nodiscard]] bool HasSettledLeader() const;
  /// Where `id`, this member or another one, serves clients of etcd's API; empty: it does not, or
  /// has not said so yet.
  [[nodiscard]] std::string client_url(NodeId id) const;
  /// The addresses at which `id` does not answer, as the end of "not connected to 'n3'"; empty if
  /// only the configured address is known.
  [[nodiscard]] std::string Whereabouts(NodeId id) const;
  /// The core, for metrics; null while forming.
  [[nodiscard]] const raft::Raft* core() const;
  /// As Node::MayAnswerAlone; Unavailable also while it does not serve.
  [[nodiscard]] Status MayAnswerAlone() const;
  /// Not ok: the member stopped for good, and why.
  [[nodiscard]] const Status& failure() const { return failure_; }

  static constexpr Duration kFormationPoll = std::chrono::milliseconds(50);

 private:
  void BecomeFormed(ClusterId cluster, Bytes formation, raft::InitialState initial);
  void SaveFormation(const raft::Configuration& configuration, Bytes payload);
  void TryToForm();
  void SetPeers();
  void AddStrangers(std::vector<Transport::Peer>& peers) const;
  void SayForWhomItWaits();
  void Fail(const Status& why);
  void Wake();
  void JudgeHello(const Hello& hello, HelloAnswer& answer) const;
  std::string JudgeIntroduction(const Hello& hello) const;
  void JudgeForming(const Hello& hello, HelloAnswer& answer) const;
  void JudgeMembership(const Hello& hello, HelloAnswer& answer) const;
  void JudgeNewcomer(const Hello& hello, HelloAnswer& answer) const;
  [[nodiscard]] Status NotServing() const;
  [[nodiscard]] Result<NodeId> IdOf(const std::string& name) const;
  void NoteStranger(const Hello& hello);
  [[nodiscard]] bool IsMember(NodeId id) const;
  void LogRefusal(const std::string& name, const std::string& why);
  void RecordRefusal(const std::string& by, const HelloAnswer& answer);

  // --- Which boots count (boots.cc).
  [[nodiscard]] std::string JudgeBoot(const Hello& hello) const;
  [[nodiscard]] static std::string JudgeBootOf(const std::string& name, const Boot& boot,
                                               const Boot& seen);
  void TellBoots();
  void OnKnownBoots(NodeId from, const KnownBoots& known);
  void NoteTwinOfThis(NodeId from, const PeerBoot& theirs);
  [[nodiscard]] std::uint64_t IncarnationOf(NodeId id) const;
  [[nodiscard]] bool BootWasReset(NodeId id) const;
  void AskBack(const Hello& hello, HelloAnswer& answer);
  Status Confirm(const Hello& self, const Dialled& dialled);
  Status ConfirmBoot(const Hello& self);
  void NoteStrangersBoot(NodeId id, Boot boot);
  void SaveBoot(NodeId id, PeerBoot boot);

  // --- Addresses of members (whereabouts.cc).
  void NoteAddress(const Hello& hello);
  void NotePlace(const Hello& self, const std::string& address);
  void NoteClientUrl(const Hello& hello);
  void OnFound(const ForwardJoin& join);
  void TryAt(const raft::Member& member, const std::string& address);
  void NoteOwnAddress();
  void EnterAddresses();
  void LogMoves(const raft::Configuration& before, const raft::MembershipChange& change);
  void NoteUnheard(const std::string& by, const std::string& why);
  [[nodiscard]] std::vector<std::string> WhyCutOff() const;
  void SayWhyCutOff();
  [[nodiscard]] Transport::Peer PeerOf(const raft::Member& member) const;
  [[nodiscard]] std::string AddressOf(const raft::Member& member) const;

  // --- Constant after construction.
  const MemberOptions options_;
  Ports ports_;

  // --- Identity; cluster and formation are set once.
  Birth birth_;
  const std::uint64_t replicated_time_at_open_ms_;
  std::function<void()> wakeup_;
  Status failure_;
  DiskHealth disk_;

  // --- While forming; null afterwards.
  std::unique_ptr<Formation> formation_;
  bool saving_formation_ = false;
  MonoTime next_waiting_line_{};

  // --- Once formed.
  std::unique_ptr<Node> node_;
  std::uint64_t peers_of_version_ =
      0;  ///< version of the configuration that the transport's peers are from
  /// Members of the previous configuration are still among the transport's peers.
  bool peers_linger_ = false;
  bool had_leader_ = false;
  /// Members that refused this one for good, with their reasons; only until it first has a leader.
  std::map<std::string, std::string> refused_by_;
  /// Members of this cluster that are not in the configuration known here: this member is behind,
  /// and one of them may lead. Kept until the configuration has them, or others in their place.
  std::map<NodeId, Transport::Peer> strangers_;
  /// Boots of those, and of others that claim to belong to the cluster. Not durable: anyone can
  /// invent members, and their records would never be removed. Their messages do not count as a
  /// member's until their boot is durable.
  std::map<NodeId, Boot> stranger_boots_;
  /// Members whose boots are being written to disk; one each, so that hellos cannot fill its queue.
  std::set<NodeId> saving_boots_;
  MonoTime next_boots_told_{};
  /// Members that sent a hello under an unconfirmed boot, and since when.
  std::map<NodeId, MonoTime> unconfirmed_;
  /// Where a member is, or may be, other than at its configured address.
  struct Place {
    std::string says = {};        ///< in its last hello
    MonoTime said_at{};           ///< since when
    std::string answers_at = {};  ///< where it last answered ours
    bool calls_it_own = false;    ///< `answers_at`, in that answer
    Boot boot = {};               ///< of that answer
  };
  std::map<NodeId, Place> places_;  ///< members of the configuration only
  MonoTime next_move_{};
  /// Of members of the configuration only, as they said in their last hello.
  std::map<NodeId, std::string> client_urls_;
  /// Peers that answer our hello but do not accept our messages yet, by name, and why.
  struct Unheard {
    MonoTime since{};
    MonoTime last{};
    std::string why = {};
  };
  std::map<std::string, Unheard> unheard_by_;
  MonoTime next_cut_off_line_{};
  /// When each refusal of another member was last logged.
  std::map<std::string, MonoTime> logged_refusals_;
};

}  // namespace raftkv::node
