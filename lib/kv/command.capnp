# What a client asks for, and what it is answered: the specification of requests and responses.
#
# A `Request` of writes is encoded once, by the client library. Those bytes travel to the leader, are
# the payload of one log entry (kind `command`), travel to the followers inside AppendEntries and are
# read by every member's state machine: nothing in between encodes them again.
#
# Atomicity: all operations of a request are one log entry: applied in order, and all or none survive
# a crash. Each operation has its own outcome (a failed compare does not undo its neighbours).
#
# Calls and revisions: a request holds one call, or several that were gathered. The store has a
# revision, which starts at 1. Each call that changes a key takes the next one, and everything that
# the call changes is at that revision. A delete that finds nothing, a compare that fails, an
# increment that is refused, and a request that is refused take none.
#
# Exactly once: a request is known by (session, sequence). A retry carries identical bytes. Its
# answer is kept in the replicated state until `acknowledgedBelow` of a later request of the session
# passes its sequence. `openedAtMs` is the replicated time that the client was told when it opened
# the session: only a session younger than a session's life is opened at apply; any other unknown
# one is answered sessionExpired and nothing is applied. Session 0 is refused.
#
# Work: a request deletes, compares, counts or sorts at most 16 ranges, since each of them
# may visit every key; a request with more is refused with invalidArgument before it enters the log.
# So is one with more than 4,096 operations, where a transaction counts for its compares and the
# operations of both branches, nested ones included; one whose transactions are nested deeper than
# 8; and one that writes a key twice in a branch, other than by deletes only.
#
# Answers: a call returns keys and values of at most 1 MiB (one pair it always may), or is refused
# with invalidArgument and changes nothing; all calls of a request together 8 MiB, and a call beyond
# that is answered unavailable, has changed nothing, and goes into another request.
#
# Compatibility: fields and union members are only added. A state machine that meets a formatVersion
# above its own, or an operation that it does not know, halts before it: it never skips. Version 1,
# which had no calls and used log indexes as revisions, is refused.
@0xf2b5c8d0a7e94311;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("raftkv::kv::wire");

struct Request {
  formatVersion @0 :UInt16;      # 2
  session @1 :UInt64;            # random, chosen by the client
  openedAtMs @2 :UInt64;
  sequence @3 :UInt64;           # from 1, never used twice for different bytes
  acknowledgedBelow @4 :UInt64;  # the client has the answers of all sequences below this one
  operations @5 :List(Operation);
}

struct Operation {
  union {
    put :group {
      putKey @0 :Data;
      putValue @1 :Data;
      putLease @10 :UInt64;      # attaches the key to it; 0: to none
    }
    deleteRange :group {
      range @2 :KeyRange;
    }
    compareAndSwap :group {
      casKey @3 :Data;
      expected @4 :Data;
      expectAbsent @5 :Bool;     # instead of `expected`: create only
      desired @6 :Data;
      casLease @16 :UInt64;      # as putLease
    }
    increment :group {
      incrementKey @7 :Data;
      delta @8 :Int64;
      incrementLease @17 :UInt64;  # as putLease
    }
    txn @11 :Txn;
    lease @12 :LeaseOperation;
    compact @13 :UInt64;         # raises the lowest revision that can be read to this one
    setting @14 :Setting;
    update :group {              # a put that keeps something of what the key has, which must exist:
      updateKey @18 :Data;       # otherwise notFound. One of the last two is true
      updateValue @19 :Data;     # empty with keepValue
      updateLease @20 :UInt64;   # as putLease; 0 with keepLease
      keepValue @21 :Bool;
      keepLease @22 :Bool;
    }
  }
  sameCall @9 :Bool;             # of the same call as the operation before it; the first has none
  returnPrevious @15 :Bool;      # put, update, deleteRange: the result has what was there before;
                                 # compareAndSwap that fails: what the key has
}

struct Txn {                     # atomic: `success` if all compares hold, else `failure`; in order,
  compares @0 :List(Compare);    # each operation sees the ones before it. Compares, those of nested
                                 # transactions included, see the state before the outermost one
  success @1 :List(TxnOperation);
  failure @2 :List(TxnOperation);
}

struct Compare {                 # of every key in the range; a key that does not exist has 0
  range @0 :KeyRange;            # everywhere, and a compare of its value does not hold; a range
                                 # without keys is like a key that does not exist
  operator @1 :Operator;
  union {
    value @2 :Data;
    modRevision @3 :UInt64;
    createRevision @4 :UInt64;
    version @5 :UInt64;
    lease @6 :UInt64;
  }

  enum Operator {
    equal @0;
    notEqual @1;
    less @2;
    greater @3;
  }
}

struct TxnOperation {
  union {
    write @0 :Operation;         # put, update, deleteRange, increment or txn
    read @1 :Read;               # of keys, without a `revision`
  }
}

struct LeaseOperation {
  union {
    grant :group {
      grantId @0 :UInt64;        # 0: the store chooses one
      ttlMs @1 :UInt64;
    }
    renew @2 :List(UInt64);
    revoke @3 :UInt64;
    expire @4 :Void;             # proposed by the leader only, of no session: the leases whose
                                 # deadlines have passed by the clock of the entry go, the first
                                 # to end first, as many as one entry may end
  }
}

struct Setting {                 # of the cluster
  name @0 :Text;
  value @1 :Text;
}

struct LeaseInfo {
  id @0 :UInt64;
  ttlMs @1 :UInt64;              # as granted; 0: there is no such lease
  remainingMs @2 :UInt64;
  keys @3 :List(Data);           # that are attached to it, where they were asked for; ascending
}

struct KeyRange {
  begin @0 :Data;
  union {
    single @1 :Void;             # just the key `begin`
    end @2 :Data;                # begin <= key < end
    unbounded @3 :Void;          # begin <= key
  }
}

struct Response {
  formatVersion @0 :UInt16;      # 2
  code @1 :UInt16;               # of the whole request, raftkv::Code; not ok: nothing was applied
  message @2 :Text;
  revision @3 :UInt64;           # of the store before the request. The first call that changed
                                 # something took the next one, and so on; a call that changed
                                 # nothing saw the revision of the last call before it that did
  results @4 :List(OperationResult);  # one per operation, in order; empty: every one is ok, has
                                 # changed something and returns nothing else (puts only)
}

struct OperationResult {
  code @0 :UInt16;               # raftkv::Code
  message @1 :Text;
  number @2 :Int64;              # deleteRange: how many keys went; increment: the new value
  changed @3 :Bool;              # it has changed something, so its call took a revision
  previous @4 :List(KeyValue);   # where it was asked for: what was there before; of a failed
                                 # compareAndSwap: what the key has
  txn @5 :TxnResult;             # of a transaction that was not refused
  leases @6 :List(LeaseInfo);    # grant: the new one; renew: one for each that was named
}

struct TxnResult {
  succeeded @0 :Bool;            # the compares held
  results @1 :List(TxnOperationResult);  # one an operation of the branch that was taken
}

struct TxnOperationResult {
  union {
    write @0 :OperationResult;
    read @1 :ReadResult;
  }
}

struct ReadRequest {
  formatVersion @0 :UInt16;      # 2
  reads @1 :List(Read);          # all are answered from one point in the log
}

struct Read {
  range @0 :KeyRange;
  limit @1 :UInt64;              # 0: none but the size of the answer
  keysOnly @2 :Bool;
  countOnly @3 :Bool;
  union {
    keys :group {                # those in `range`
      revision @4 :UInt64;       # as they were right after it; 0: the latest
      order @5 :Order;           # null: ascending by key, all of them
    }
    lease @6 :UInt64;            # that lease and, unless `countOnly`, those of its keys that are in
                                 # `range`: as many as fit
    leases @7 :UInt64;           # the leases from this number on, by number: as many as fit
    settings @8 :Void;           # all settings of the cluster
  }
  uncounted @9 :Bool;            # the result's `count` is the number of its kvs, so that the rest
                                 # of the range need not be visited
  maxBytes @10 :UInt32;          # of the kvs, but never less than one; 0: as many as fit into the
                                 # answer. Of no meaning where the order is not by key
}

struct Order {                   # the limit is taken after filter and order. Equal ones are ascending
  by @0 :By;                     # by key. Not by key: all or nothing, see Read() in lib/kv/store.h
  descending @1 :Bool;
  minModRevision @2 :UInt64;     # what lies outside of these bounds is left out; 0: no bound
  maxModRevision @3 :UInt64;
  minCreateRevision @4 :UInt64;
  maxCreateRevision @5 :UInt64;

  enum By {
    key @0;
    modRevision @1;
    createRevision @2;
    version @3;
    value @4;
  }
}

struct ReadResponse {
  formatVersion @0 :UInt16;      # 2
  code @1 :UInt16;
  message @2 :Text;
  revision @3 :UInt64;           # that the store has come to; a read that names one is of that one
  results @4 :List(ReadResult);  # one a read, in order
  index @5 :UInt64;              # the last log entry that is reflected
}

struct ReadResult {
  kvs @0 :List(KeyValue);        # ascending by key unless another order was asked for
  count @1 :UInt64;              # keys in the range, whatever limit and filters, unless `uncounted`
  more @2 :Bool;                 # the answer's limit, its size or the work that one request may
                                 # cause ended it; with count 0: this read was left out, ask it
                                 # again (the first read of a request never is)
  leases @3 :List(LeaseInfo);
  settings @4 :List(Setting);
}

struct KeyValue {
  key @0 :Data;
  value @1 :Data;
  modRevision @2 :UInt64;        # of the call that wrote this value
  createRevision @3 :UInt64;     # of the call that created the key, since it was last absent
  version @4 :UInt64;            # how often it has been written since then
  lease @5 :UInt64;              # that it is attached to; 0: none
}

struct WatchRequest {            # one page of a watch: a member answers as soon as there is an event
  formatVersion @0 :UInt16;      # 2
  range @1 :KeyRange;
  next @2 :UInt64;               # the first revision whose events are wanted; 0: the one after those
                                 # that the cluster has come to, which is answered at once
  delivered @3 :UInt64;          # this many of its events were delivered, of those that pass
  resumes @4 :Bool;              # `next` is from an answer: what is still in memory may be compacted
  noPuts @5 :Bool;
  noDeletes @6 :Bool;
  previous @7 :Bool;             # with what each key was before
  maxBytes @8 :UInt32;           # of the events, but never less than one; 0: 1 MiB
}

struct WatchEvent {
  kv @0 :KeyValue;               # modRevision: of the event; of a delete nothing else but the key
  deleted @1 :Bool;
  previous @2 :KeyValue;         # null: not asked for, or absent, or compacted
}

struct WatchResponse {
  formatVersion @0 :UInt16;      # 2
  events @1 :List(WatchEvent);   # by ascending revision; empty: there were none up to `next`
  next @2 :UInt64;               # these two belong into the next request: everything before them was
  delivered @3 :UInt64;          # delivered. Never lower than in the request
  revision @4 :UInt64;           # that this member has come to
}
