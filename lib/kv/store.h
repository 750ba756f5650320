// What does a committed entry do to the keys, and what is its answer? Deterministic: the same
// entries give the same bytes and answers on every member.
//
// Owned by the apply thread. Reads go through Read(), which is safe from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <raftkv/node.h>
#include <raftkv/status.h>

#include "lib/base/bytes.h"
#include "lib/base/cancel_token.h"
#include "lib/base/ids.h"
#include "lib/kv/change_set.h"
#include "lib/kv/engine.h"
#include "lib/kv/lease_table.h"
#include "lib/kv/revisions.h"
#include "lib/kv/settings.h"
#include "lib/raft/types.h"

namespace raftkv::kv {

/// These decide what an entry does: they are constants of the format, equal on all members and
/// never options of a node. Only tests make them smaller.
struct StoreOptions {
  /// A session that was not used for so long, in replicated time, is forgotten.
  std::uint64_t session_life_ms = 15 * 60 * 1000;
  std::size_t max_sessions = 64 * 1024;
  /// Stored answers of one session; beyond it the oldest is replaced by a mark (see session.h).
  std::size_t max_response_bytes = 1 << 20;
  /// Stored answers of all sessions, see StoredBytes (session.h); beyond it the least recently used
  /// sessions are dropped. Far more than one session may hold.
  std::size_t max_stored_bytes = 64 << 20;
  /// Sequences of one session that are not acknowledged; a request beyond it is refused.
  std::size_t max_outstanding = 128;
  // The following may differ from member to member: the records that are left are the same.
  /// For the counts of keys that were used lately: a put of another key reads its old record.
  std::size_t counts_cache_bytes = 64 << 20;
};

class SessionTable;

class Store {
 public:
  /// Loads sessions and the applied index. VersionMismatch: written by a newer version.
  static Result<std::unique_ptr<Store>> Open(Engine& engine, StoreOptions options);
  ~Store();

  struct AppliedEntry {
    Index index;
    /// An encoded Response (command.capnp); empty for entries that are no commands.
    Bytes response;
    /// Null: nothing.
    ChangesPtr changes = nullptr;
  };
  /// See EntryChanges::PastBytes.
  static std::size_t PastBytes(const std::vector<AppliedEntry>& applied);

  /// Applies `entries` in order (contiguous from applied + 1). One Engine::Write may cover several
  /// entries, but none is ever split over two. On an error nothing of the failing write is applied
  /// and the node must halt: VersionMismatch (a command of an unknown version), IOError,
  /// Corruption.
  Result<std::vector<AppliedEntry>> Apply(const std::vector<raft::Entry>& entries);

  /// Whether applying `entries` now needs no read of the disk and is short work: puts, of at most
  /// `max_bytes` together, of keys whose counts are in memory (from now on).
  [[nodiscard]] bool IsQuick(const std::vector<raft::Entry>& entries, std::size_t max_bytes);

  [[nodiscard]] Index applied() const;
  [[nodiscard]] Revisions revisions() const;
  [[nodiscard]] Settings settings() const;
  [[nodiscard]] LeaseStatus leases() const;
  /// Keys that were deleted as part of a range, since the open.
  [[nodiscard]] std::uint64_t range_deleted_keys() const;
  /// The largest time stamp of the entries applied so far, in ms since 1970; never goes back.
  [[nodiscard]] std::uint64_t replicated_time_ms() const;

 private:
  Store(Engine& engine, StoreOptions options);
  struct State;
  std::unique_ptr<State> state_;
};

/// At most some 260,000 records: a reader thread is busy with one request for a fraction of a
/// second.
inline constexpr std::size_t kMaxVisitedBytes = 64 << 20;

/// Answers an encoded ReadRequest from one view of the engine with an encoded ReadResponse of at
/// most about `max_bytes`, having visited records of at most about `max_visited_bytes`, or one
/// range to count: what did not fit is left out and says `more` (command.capnp). Unavailable: tier
/// kMemory was not enough, or a range was asked for, which may be long; ask again with kAll.
/// InvalidArgument: malformed, or what the first read has to sort takes more than `max_bytes` (a
/// later one is left out, so ask for it alone), or a read names a revision that the store has not
/// come to. Compacted: it names one that is not kept any more.
/// `clock_ms`: the cluster clock as it is known by now, which may be beyond what is applied.
Result<Bytes> Read(Engine& engine, ReadTier tier, std::string_view request, std::size_t max_bytes,
                   std::size_t max_visited_bytes = kMaxVisitedBytes, std::uint64_t clock_ms = 0);

/// XXH3 over all data records, in order, and the applied index they reflect: equal on members at an
/// equal index.
struct ContentHash {
  std::uint64_t hash = 0;
  Index index;
  std::uint64_t keys = 0;
};
/// Cancelled once `token` is.
Result<ContentHash> HashContent(Engine& engine, const CancelToken& token = {});

}  // namespace raftkv::kv
