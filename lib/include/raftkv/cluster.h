// How does a program see and change who takes part in a cluster that runs elsewhere?
//
// Members are called by their names. A new one is invited first (AddMember); it is taken in as a
// learner when it comes with that name (`raftkv serve --join`), and is a voter once it was
// promoted. All calls are safe from any thread; each has an asynchronous twin, whose callback runs
// exactly once, on an internal thread, and must not block.
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
  kLearner,  ///< gets everything and has no vote
  kInvited,  ///< was added and has not come yet
};
/// "voter", "learner" or "invited".
std::string_view MemberRoleName(MemberRole role);

struct ClusterMember {
  std::uint64_t id = 0;  ///< of its data folder; 0: only invited
  std::string name;
  std::string address;
  std::string zone;
  MemberRole role = MemberRole::kVoter;
  bool leads = false;
};

/// What becomes of a member that is there already.
struct MemberUpdate {
  /// Where others reach it from now on ("host:port"); empty: where they did.
  std::string address;
  /// The next start of the member counts, whatever boot it shows. Members refuse one that shows a
  /// lower boot than they have seen, since a data folder that was rolled back or copied may have
  /// forgotten what it acknowledged: this may lose acknowledged writes unless the folder is known
  /// to be the latest.
  bool reset_boot = false;
};

/// Errors of every change: InvalidArgument (it makes no sense, the message says why), NotFound (no
/// such member), Unavailable (the leader refused it until the time was over: a learner is behind,
/// the live members would be no quorum, another change is under way), DeadlineExceeded (no leader
/// was found in time); in all of these nothing was changed. UnknownOutcome: it may have been, and
/// is not tried again; the member list shows it.
class Cluster {
 public:
  using StatusCallback = std::function<void(Status)>;
  using Timeout = std::chrono::milliseconds;
  static constexpr Timeout kTimeout{5000};

  virtual ~Cluster() = default;

  /// As the leader knows it, or, where none is found, the member that answered.
  virtual void MembersAsync(Timeout timeout, Callback<std::vector<ClusterMember>> done) = 0;
  /// Invites `name`, which others reach at `address` ("host:port"). With `voter` it is promoted as
  /// soon as it has caught up.
  virtual void AddMemberAsync(std::string name, std::string address, bool voter, Timeout timeout,
                              StatusCallback done) = 0;
  /// Makes a learner that has caught up a voter.
  virtual void PromoteMemberAsync(std::string name, Timeout timeout, StatusCallback done) = 0;
  /// A member of any role; its data folder is never admitted again. A leader that is removed hands
  /// over.
  virtual void RemoveMemberAsync(std::string name, Timeout timeout, StatusCallback done) = 0;
  /// A member that runs under another address needs no update: the others find it.
  virtual void UpdateMemberAsync(std::string name, MemberUpdate update, Timeout timeout,
                                 StatusCallback done) = 0;
  /// Hands the leadership to `name`; empty: to who is best.
  virtual void MoveLeaderAsync(std::string name, Timeout timeout, StatusCallback done) = 0;

  Result<std::vector<ClusterMember>> Members(Timeout timeout = kTimeout);
  Status AddMember(std::string name, std::string address, bool voter, Timeout timeout = kTimeout);
  Status PromoteMember(std::string name, Timeout timeout = kTimeout);
  Status RemoveMember(std::string name, Timeout timeout = kTimeout);
  Status UpdateMember(std::string name, MemberUpdate update, Timeout timeout = kTimeout);
  Status MoveLeader(std::string name, Timeout timeout = kTimeout);
};

}  // namespace raftkv
