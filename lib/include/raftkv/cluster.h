// How does a program list and change the members of a cluster?
//
// Members are identified by name. A new member is invited first (AddMember); it becomes a learner
// when it joins under that name (`raftkv serve --join`), and a voter when it is promoted. All calls
// are safe from any thread; each has an asynchronous twin. The rules for callbacks and timeouts are
// those of <raftkv/kv.h>.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <raftkv/kv.h>
#include <raftkv/status.h>

namespace raftkv {

enum class MemberRole : unsigned char {
  kVoter,
  kLearner,  ///< receives the log, does not vote
  kInvited,  ///< added, has not joined yet
};
/// "voter", "learner" or "invited".
std::string_view MemberRoleName(MemberRole role);

struct ClusterMember {
  std::uint64_t id = 0;  ///< of its data folder; 0: invited only
  std::string name;
  std::string address;
  std::string zone;
  MemberRole role = MemberRole::kVoter;
  bool leads = false;
  /// Where it serves clients of etcd's API, as it announced to the member that answered; empty: it
  /// does not, or has not said so yet.
  std::string client_url = {};
};

/// A change of an existing member.
struct MemberUpdate {
  /// Address that the other members connect to from now on ("host:port"); empty: unchanged.
  std::string address;
  /// Accept the next start of the member whatever boot counter it shows. Members refuse one that
  /// shows a lower counter than they have seen, since a data folder that was rolled back or copied
  /// may have forgotten what it acknowledged: this may lose acknowledged writes unless the folder
  /// is known to be the latest.
  bool reset_boot = false;
};

/// Errors of every change: InvalidArgument (the change is invalid; the message says why),
/// NotFound (no such member), Unavailable (the leader refused it until the timeout: a learner is
/// lagging, the live members would not be a quorum, another change is in progress),
/// DeadlineExceeded (no leader was found in time); none of these changed anything. UnknownOutcome:
/// the change may or may not have been made, and is not retried; list the members to find out.
class Cluster {
 public:
  using StatusCallback = std::function<void(Status)>;
  using Timeout = std::chrono::milliseconds;
  static constexpr Timeout kTimeout{5000};

  virtual ~Cluster() = default;

  /// As the leader knows them or, if no leader is found, as the member that answered does.
  virtual void MembersAsync(Timeout timeout, Callback<std::vector<ClusterMember>> done) = 0;
  /// Invites the member `name`, which the others connect to at `address` ("host:port"). With
  /// `voter` it is promoted as soon as it has caught up.
  virtual void AddMemberAsync(std::string name, std::string address, bool voter, Timeout timeout,
                              StatusCallback done) = 0;
  /// Promotes a learner that has caught up to voter.
  virtual void PromoteMemberAsync(std::string name, Timeout timeout, StatusCallback done) = 0;
  /// Removes a member of any role; its data folder is never admitted again. A leader that is
  /// removed hands over first.
  virtual void RemoveMemberAsync(std::string name, Timeout timeout, StatusCallback done) = 0;
  /// A member that only runs under another address needs no update: the others find it.
  virtual void UpdateMemberAsync(std::string name, MemberUpdate update, Timeout timeout,
                                 StatusCallback done) = 0;
  /// Transfers the leadership to `name`; empty: to the best candidate.
  virtual void MoveLeaderAsync(std::string name, Timeout timeout, StatusCallback done) = 0;

  Result<std::vector<ClusterMember>> Members(Timeout timeout = kTimeout);
  Status AddMember(std::string name, std::string address, bool voter, Timeout timeout = kTimeout);
  Status PromoteMember(std::string name, Timeout timeout = kTimeout);
  Status RemoveMember(std::string name, Timeout timeout = kTimeout);
  Status UpdateMember(std::string name, MemberUpdate update, Timeout timeout = kTimeout);
  Status MoveLeader(std::string name, Timeout timeout = kTimeout);
};

}  // namespace raftkv
