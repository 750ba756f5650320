# What do members and clients send to each other? This file is the specification of the protocol.
#
# Transport: one TCP connection, Cap'n Proto RPC, level 1, two parties; the listening side offers
# `Bootstrap`. Peers and clients use the same port. The connecting side speaks first and must
# complete a handshake (`connect` or `peer`) within 5 s. Until then messages are limited to 256 KiB,
# afterwards to the request limit plus slack. Anything that exceeds a limit or is not a message ends
# the connection. So does a client that reads none of its answers for 10 s; while more than 16 MiB
# of them are waiting, its further calls are not read, and open ones are answered unavailable
# (reads) or unknownOutcome (writes). Some connections are reserved for peers: beyond the others a
# client is refused in its handshake.
#
# Ordering: calls on one connection are started in the order in which they were sent; answers may
# come in any order. Two connections have no order between them.
# Loss: a connection that ends leaves every open call without an answer; it is unknown whether the
# other side executed it. Each method says what to do then.
#
# Compatibility: `protocolMin`..`protocolMax` of both ends must overlap; the highest common number
# is used, which is 2 now. Within a protocol version fields, union members, enumerants and methods
# are only added; a receiver ignores fields that it does not know, and a peer message of an unknown
# kind is dropped like a lost one. Requests, responses and log entries are opaque here; their own
# formats (lib/kv/command.capnp) carry their own versions.
@0x9d1f7c53ba6e2084;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("raftkv::rpc::wire");

interface Bootstrap {
  connect @0 (hello :ClientHello) -> (answer :ClientAnswer, service :KvService);
  # A client introduces itself. `service` is null if `answer.refusal` is not empty.
  # Ordering: first call of a client. Loss: connect again. Duplication: harmless, but a connection
  # is either a client's or a peer's. Retry: at once at another member, with a pause at the same
  # one.

  peer @1 (hello :PeerHello) -> (answer :PeerAnswer, peer :Peer);
  # A member introduces itself on the connection that it made. It only sends on this connection, and
  # receives on the one that the other member makes. Accepted once the answering member has sent a
  # hello to the caller itself, was answered under the same boot, and that boot is durable there.
  # `peer` is null after a refusal, and while either of the two has not formed.
  # Ordering: first call of a peer; repeated every 50 ms while a cluster is forming or the answering
  # member verifies; also when another one sends a hello under the same id, to see which is still
  # there. Loss and duplication: harmless. Retry: with back-off from 10 ms to 500 ms; if refused, no
  # faster than 500 ms.
}

struct ClientHello {
  protocolMin @0 :UInt32;
  protocolMax @1 :UInt32;
  cluster @2 :UInt64;         # the cluster that the client talks to; others refuse it. 0: not
                              # decided yet; the first member that accepts it decides
}

struct ClientAnswer {
  refusal @0 :Text;           # empty: accepted; otherwise one line: what is wrong, how to fix it
  protocol @1 :UInt32;        # spoken from now on
  header @2 :AnswerHeader;
  name @3 :Text;              # of the member
  version @4 :Text;           # of its program
  maxRequestBytes @5 :UInt32; # larger requests end the connection: check before sending
}

# The answering member's view at the time of the answer; with every answer to a client.
struct AnswerHeader {
  cluster @0 :UInt64;         # 0: not formed
  member @1 :UInt64;
  term @2 :UInt64;
  leads @3 :Bool;
  leader @4 :Text;            # address of the leader if another member is known to lead, else empty
}

# The outcome of a call; `code` is raftkv::Code, `message` one line, empty if ok.
struct Outcome {
  code @0 :UInt16;
  message @1 :Text;
}

enum Consistency {
  linearizable @0;
  local @1;
  lease @2;                   # as linearizable, and the leader's lease is enough
  bounded @3;                 # sees what was committed maxStalenessMs before the call
}

# A change of a member, by its name.
enum MemberChange {
  addLearner @0;              # invites it: it becomes a learner when it joins
  addVoter @1;                # and a voter once it has caught up
  promote @2;
  remove @3;                  # a member, or one that is only invited
  moveLeader @4;              # to it; an empty name: to the best candidate
  update @5;                  # where it is reached (unless `address` is empty), and with `resetBoot`
                              # the next start of it counts, even one that seems to be an older one
}

interface KvService {
  openSession @0 (timeoutMs :UInt32) -> (header :AnswerHeader, outcome :Outcome, replicatedTimeMs :UInt64);
  # The replicated time that a new session starts from. Nothing is written: the session begins with
  # its first request. Loss, duplication, retry: harmless.

  submit @1 (request :Data, timeoutMs :UInt32)
      -> (header :AnswerHeader, outcome :Outcome, response :Data);
  # Executes a request with writes (kv Request): at this member if it leads, otherwise it is
  # forwarded to the leader. `response` (kv Response) is set if the outcome is ok.
  # Ordering: none between calls; a client that needs one waits for the answer.
  # Loss: the outcome is unknown. Duplication: answered from the replicated answers, never applied
  # twice. Retry: the identical bytes, at any member, as long as the caller waits.
  # notLeader, unavailable, invalidArgument: it was not applied by this attempt.
  # unknownOutcome: perhaps; only a retry can tell.

  read @2 (request :Data, consistency :Consistency, timeoutMs :UInt32, maxStalenessMs :UInt32)
      -> (header :AnswerHeader, outcome :Outcome, response :Data);
  # Answers a kv ReadRequest with a kv ReadResponse. Loss, duplication, retry: harmless; a
  # linearizable answer reflects every write that was acknowledged before the call was sent. An
  # unknown consistency is treated as linearizable.

  status @3 (withHash :Bool, timeoutMs :UInt32)
      -> (header :AnswerHeader, outcome :Outcome, status :MemberStatus);
  # This member's own status. With hash it reads all data. Retry: harmless.

  ping @4 () -> (header :AnswerHeader);
  # Is the member's loop alive, and which member leads? Sent by a client that waits for a slow
  # answer. Retry: harmless.

  members @5 () -> (header :AnswerHeader, outcome :Outcome, members :List(ClusterMember));
  # The members, as this member knows them; the leader knows them first. Loss, duplication, retry:
  # harmless.

  changeMembers @6 (change :MemberChange, name :Text, address :Text, timeoutMs :UInt32,
                    resetBoot :Bool)
      -> (header :AnswerHeader, outcome :Outcome);
  # Executed by the leader only. Answered once the change is committed and the joint phase, if any,
  # is over, or another member leads. `address` (HOST:PORT) only where a member is added or
  # updated, `resetBoot` only where it is updated.
  # notLeader, unavailable, invalidArgument, notFound: nothing changed; the message says why.
  # unknownOutcome: perhaps.
  # Ordering: none between calls. Loss: the outcome is unknown; list the members. Duplication: the
  # second one is refused. Retry: only if nothing changed.

  backup @7 () -> (header :AnswerHeader, outcome :Outcome, head :BackupHead, backup :Backup);
  # Begins a backup of this member's state at the time of the call, leader or not. Answered when its
  # first byte can be read, which may take as long as reading all of it once. Loss: the backup ends
  # with the connection. Duplication: another backup. Retry: at any member.
  # unavailable: this member already serves as many as it may, or has nothing yet.

  watch @8 (request :Data, timeoutMs :UInt32)
      -> (header :AnswerHeader, outcome :Outcome, response :Data);
  # Answers a kv WatchRequest with a kv WatchResponse, from what this member has applied, leader or
  # not: once there are events, at the latest after `timeoutMs` (at most 10 s). Does not count as one
  # of the calls that a connection may have waiting; 2,048 of these may wait besides.
  # Loss, duplication, retry: harmless, at any member, since the position is in the request.
  # compacted: events at the position may be gone; the message names the lowest revision.
  # unavailable: this member may be cut off from the cluster, or waits for too many; ask another.
}

# Known when a backup begins; cluster and member are in the header.
struct BackupHead {
  index @0 :UInt64;           # the last log entry contained in it
  term @1 :UInt64;            # of that entry
  name @2 :Text;              # of the member
  members @3 :List(ClusterMember);
  streamBytes @4 :UInt64;
}

interface Backup {
  # Held by the client; dropped with the connection, or after a minute without a call (then:
  # notFound).

  read @0 (offset :UInt64, bytes :UInt32) -> (outcome :Outcome, data :Data);
  # Exactly this many bytes of the stream (a snapshot's: docs/disk-format.md) from `offset` on, at
  # most 1 MiB; several calls may be open, at most 32. Ordering: none. Loss, duplication, retry:
  # harmless, while the connection lasts. unavailable: answers are waiting to be read; ask again.

  content @1 () -> (outcome :Outcome, contentHash :UInt64, keys :UInt64);
  # Of everything in the stream, as in MemberStatus; answered once it is known. Only once.
}

struct ClusterMember {
  id @0 :UInt64;              # 0: only invited, has not joined yet
  name @1 :Text;
  address @2 :Text;
  zone @3 :Text;
  role @4 :MemberRole;
  leads @5 :Bool;
  clientUrl @6 :Text;         # where it serves clients of etcd's API; empty: not, or not known
}

enum MemberRole {
  voter @0;
  learner @1;
  invited @2;
}

struct MemberStatus {
  name @0 :Text;
  version @1 :Text;
  role @2 :Role;
  leader @3 :Text;            # name of the leader; empty: none is known
  commitIndex @4 :UInt64;
  appliedIndex @5 :UInt64;
  logFirstIndex @6 :UInt64;
  logLastIndex @7 :UInt64;
  snapshotIndex @8 :UInt64;
  dbBytes @9 :UInt64;
  suspect @10 :Bool;
  members @11 :List(Member);
  errors @12 :List(Text);
  contentHash @13 :UInt64;    # if requested: of all keys, values and revisions at hashIndex
  hashIndex @14 :UInt64;
  revision @15 :UInt64;       # of the store, as of appliedIndex or a little later
  compactedRevision @16 :UInt64;
  noSpace @17 :Bool;

  struct Member {
    id @0 :UInt64;
    name @1 :Text;
    address @2 :Text;
    voter @3 :Bool;
  }
}

enum Role {
  forming @0;
  follower @1;
  preCandidate @2;
  candidate @3;
  leader @4;
}

# How a member introduces itself, and to which one it believes it talks (lib/node/member.h, Hello).
struct PeerHello {
  protocolMin @0 :UInt32;
  protocolMax @1 :UInt32;
  cluster @2 :UInt64;         # 0: not formed
  member @3 :UInt64;
  name @4 :Text;
  bootCounter @5 :UInt64;
  bootNonce @6 :UInt64;
  expectedMember @7 :UInt64;  # 0: the caller only knows the name
  expectedName @8 :Text;
  formation @9 :Text;         # "n1=host:port,n2=...", sorted by name; empty if formed
  zone @10 :Text;
  joins @11 :Bool;            # it waits to be added to an existing cluster
  address @12 :Text;          # where it can be reached, for members that do not know it yet
  clientUrl @13 :Text;        # where it serves clients of etcd's API; empty: it does not
}

struct PeerAnswer {
  refusal @0 :Text;           # empty: accepted
  permanent @1 :Bool;         # with a refusal: holds for as long as the caller is as it is
  self @2 :PeerHello;         # of the answering member; expected* and formation as it knows them
  formed @3 :Data;            # for a caller that has not formed: payload of the first log entry
  removed @4 :Bool;           # with a refusal: the caller is a former member, and was removed
  verifying @5 :Bool;         # with a refusal: the answerer has to reach the caller under this boot
                              # first; the caller says hello again after 50 ms
}

interface Peer {
  deliver @0 (messages :List(PeerMessage)) -> (answers :List(PeerMessage));
  # Messages from the member that sent its hello on this connection to the one that answered; their
  # sender and receiver are those two. Returns shortly after the messages were received, which says
  # nothing about their outcome: the answers bound what is in flight (16 calls).
  # `answers`: the called member's answers to the caller by then, to these or to earlier messages
  # (acknowledgements, votes, outcomes; never entries, parts of snapshots or anything else whose
  # order matters, or that asks for work). It uses this way only while the caller has accepted its
  # hello, and the caller counts them only if the boot in the answer to its own hello is the one
  # that it has made durable.
  # Ordering: in the order sent, on one connection; across a reconnect messages may be reordered.
  # Loss: each message may be lost or duplicated; Raft asks again. Retry: never, the sender of the
  # message decides.
}

struct PeerMessage {
  union {
    unknown @0 :Void;
    requestVote @1 :RequestVote;
    requestVoteReply @2 :RequestVoteReply;
    appendEntries @3 :AppendEntries;
    appendEntriesReply @4 :AppendEntriesReply;
    readIndex @5 :ReadIndex;
    readIndexReply @6 :ReadIndexReply;
    forwardSubmit @7 :ForwardSubmit;
    forwardSubmitReply @8 :ForwardSubmitReply;
    timeoutNow @9 :TimeoutNow;
    forwardJoin @10 :ForwardJoin;
    snapshotChunk @11 :SnapshotChunk;
    snapshotChunkReply @12 :SnapshotChunkReply;
    knownBoots @13 :KnownBoots;
  }
}

# The Raft messages: lib/raft/message.h says what each field means.
struct RequestVote {
  term @0 :UInt64;
  lastLogIndex @1 :UInt64;
  lastLogTerm @2 :UInt64;
  preVote @3 :Bool;
  transfer @4 :Bool;          # the leader itself asked for this election
}

struct RequestVoteReply {
  term @0 :UInt64;
  granted @1 :Bool;
  preVote @2 :Bool;
}

struct AppendEntries {
  term @0 :UInt64;
  prevLogIndex @1 :UInt64;
  prevLogTerm @2 :UInt64;
  leaderCommit @3 :UInt64;
  readRound @4 :UInt64;
  entries @5 :List(Entry);    # the i-th, from 0, has the index prevLogIndex + 1 + i; terms from
                              # prevLogTerm to term, never decreasing
  refilled @6 :UInt64;        # to a suspect member: the nonce that it announced
  clockMs @7 :UInt64;         # the leader's cluster clock (lib/raft/cluster_clock.h)
}

struct Entry {
  term @0 :UInt64;
  kind @1 :UInt8;             # raft::EntryKind
  timeMs @2 :UInt64;
  payload @3 :Data;
  clockMs @4 :UInt64;         # the cluster clock when it was appended
}

struct AppendEntriesReply {
  term @0 :UInt64;
  success @1 :Bool;
  index @2 :UInt64;
  hintIndex @3 :UInt64;
  hintTerm @4 :UInt64;
  readRound @5 :UInt64;
  suspect @6 :UInt64;         # not 0: the sender's disk has lost something; the nonce of this open
  promiseNs @7 :UInt64;       # for this long by its own clock, from when it heard readRound, the
                              # sender grants no vote; 0: it promises nothing
  space @8 :UInt8;            # the sender's disk has space for 0: all; 1: requests that only delete;
                              # 2 and above: nothing
  applied @9 :UInt64;         # what the sender's state machine has applied; 0: not reported
}

struct ReadIndex {
  term @0 :UInt64;
  context @1 :UInt64;
  lease @2 :Bool;             # the leader's lease is enough
}

struct ReadIndexReply {
  term @0 :UInt64;
  context @1 :UInt64;
  confirmed @2 :Bool;
  index @3 :UInt64;
}

# A request that a member forwards to the leader for its client or host; `id` is chosen by the
# sender. Lost: the sender answers its client unknownOutcome after a while. Duplicated: as in
# `submit`.
struct ForwardSubmit {
  id @0 :UInt64;
  request @1 :Data;
}

struct ForwardSubmitReply {
  id @0 :UInt64;
  outcome @1 :Outcome;
  response @2 :Data;
}

# The leader transfers its leadership: campaign at once. Lost: the leader continues after an
# election timeout. Duplicated or late: no effect, its term is over.
struct TimeoutNow {
  term @0 :UInt64;
}

# To the leader: an invited member sent a hello here; with an address: the member answers there, and
# not at its configured address. Lost: it is sent again. Duplicated: no effect.
struct ForwardJoin {
  name @0 :Text;
  id @1 :UInt64;
  zone @2 :Text;
  address @3 :Text;
}

# The boot of each other member that counts at the sender. If others have seen another boot with the
# same counter, there are two disks of that member, and neither counts any more.
struct KnownBoots {
  boots @0 :List(Boot);

  struct Boot {
    member @0 :UInt64;
    counter @1 :UInt64;
    nonce @2 :UInt64;         # 0: two were seen
    incarnation @3 :UInt64;   # the member's in the configuration when it was confirmed
  }
}

# What a snapshot replaces, and what must be known about it.
struct SnapshotMeta {
  index @0 :UInt64;           # of the last entry that it replaces
  term @1 :UInt64;
  configuration @2 :Data;     # in force there: lib/raft/configuration.capnp, a message of its own
  configurationIndex @3 :UInt64;
}

# A part of a snapshot, from the leader; one at a time to each member. Ordering: the receiver takes
# parts in order and refuses others by answering which byte it wants next. Lost: sent again after a
# while. Duplicated: refused in the same way.
struct SnapshotChunk {
  term @0 :UInt64;            # of the leader
  snapshot @1 :SnapshotMeta;
  offset @2 :UInt64;
  data @3 :Data;
  last @4 :Bool;
  id @5 :UInt64;              # of the snapshot's bytes: equal ids, equal bytes
}

struct SnapshotChunkReply {
  term @0 :UInt64;
  index @1 :UInt64;           # which snapshot
  snapshotTerm @2 :UInt64;
  nextOffset @3 :UInt64;
  installed @4 :Bool;         # it is installed, or no longer needed
  snapshotId @5 :UInt64;
}

# What a frame of the host's own transport (<raftkv/transport.h>) holds: a flat message of its own,
# from one member to another. Frames may be lost, duplicated, delayed and reordered, and there is no
# connection that could break; a *link* takes its place. A member opens a link to each of the others
# with a hello, and sends to that member on this link only. A link is identified by its opener, the
# nonce of the boot that opened it, and a number that increases with each link that this boot opens.
struct PeerFrame {
  opener @0 :UInt64;
  number @1 :UInt64;
  union {
    unknown @2 :Void;

    hello @3 :PeerHello;
    # Opens the link; `bootNonce` is the opener. Loss: the same bytes are sent again, from 100 ms to
    # 500 ms apart, until an answer arrives. Duplicated or late: ignored if a hello of this boot
    # with a higher number is known; one with the same number is answered as before.

    answer @4 :PeerAnswer;
    # As that of Bootstrap.peer. The link is open if there is no refusal and both have formed;
    # otherwise the opener tries again with another number.

    deliver :group {
      accepter @5 :UInt64;    # nonce of the boot that answered: no other boot has this link
      sequence @6 :UInt64;    # from 1; a number seen before, or 4,096 below the highest, is a copy
      messages @7 :List(PeerMessage);
    }
    # Ordering: none. Loss and retry: as in Peer.deliver. Doubled: ignored.

    closed @8 :Void;
    # In answer to `deliver`: there is no such link here (any more). The opener opens another one.
    # Loss: the next `deliver` gets the same answer. Late: it does not refer to a link with another
    # number.
  }
}
