# Who takes part in a cluster, and how many of them decide? The payload of a log entry of kind
# `configuration`.
#
# Ordering and loss: as a log entry. Compatibility: fields are only added; a reader that meets a
# formatVersion above its own refuses the entry (it would misjudge quorums otherwise). The first
# entry of every log (index 1, term 1) is a configuration: it is the record of how the cluster was
# formed, and carries the cluster's id.
#
# Version 1 had neither rules nor joint configurations: every quorum is a majority of the voters.
# Version 2 is written today; version 1 is still read, and then nothing of version 2 may be set.
@0xd0f1c27e8a3b6541;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("raftkv::raft::wire");

struct Configuration {
  formatVersion @0 :UInt16;       # 2
  clusterId @1 :UInt64;           # never 0
  members @2 :List(Member);       # ascending by id; 1 to 64
  # From version 2 on:
  quorum @3 :QuorumRule;          # absent: majority
  joint @4 :Bool;                 # the old voters decide too, by the old rule (Raft §6)
  oldQuorum @5 :QuorumRule;       # joint only
  invited @6 :List(Invitation);   # at most 64
  removed @7 :List(UInt64);       # ids of former members, ascending, none of a member; at most 4096
}

struct Member {
  id @0 :UInt64;                  # random, never 0, never used again once removed
  name @1 :Text;                  # a label
  address @2 :Text;               # host:port, resolved anew at each connection
  zone @3 :Text;                  # empty: in no zone
  incarnation @4 :UInt64;         # 1 for a new member; raised to let a lower boot of it count
  role @5 :Role;                  # in the new half of a joint configuration
  # From version 2 on, the first two in a joint configuration only:
  oldVoter @6 :Bool;              # has a vote in the old half
  leaves @7 :Bool;                # is gone with the old half: a learner with oldVoter
  promote @8 :Bool;               # a learner that is made a voter once it has caught up
}

enum Role {
  voter @0;
  learner @1;
}

struct QuorumRule {
  kind @0 :QuorumKind;
  commit @1 :UInt32;              # flexible only: how many voters commit
  election @2 :UInt32;            # flexible only: how many voters elect
}

enum QuorumKind {
  majority @0;
  zones @1;
  flexible @2;
}

struct Invitation {               # a member that was added and has not come with its id yet
  name @0 :Text;
  address @1 :Text;
  voter @2 :Bool;                 # is promoted once it has caught up
}
