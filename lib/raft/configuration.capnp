# Who takes part in a cluster? The payload of a log entry of kind `configuration`.
#
# Ordering and loss: as a log entry. Compatibility: fields are only added; a reader that meets a
# formatVersion above its own refuses the entry (it would misjudge quorums otherwise). The first
# entry of every log (index 1, term 1) is a configuration: it is the record of how the cluster was
# formed, and carries the cluster's id.
@0xd0f1c27e8a3b6541;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("raftkv::raft::wire");

struct Configuration {
  formatVersion @0 :UInt16;  # 1
  clusterId @1 :UInt64;
  members @2 :List(Member);  # ascending by id
}

struct Member {
  id @0 :UInt64;             # random, never 0, never used again once removed
  name @1 :Text;             # a label
  address @2 :Text;          # host:port, resolved anew at each connection
  zone @3 :Text;
  incarnation @4 :UInt64;    # 1 for a new member
  role @5 :Role;
}

enum Role {
  voter @0;
  learner @1;
}
