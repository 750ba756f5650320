// Was this request carried out before? (DESIGN: exactly once)
//
// The sessions of all clients, as part of the replicated state: in memory, and one record each in
// the engine ('s' session):
//
//   format version u8, opened_at_ms u64, last_used_ms u64, last_used_index u64,
//   acknowledged_below u64, number of answers u32, and for each answer by ascending sequence:
//     sequence u64, kind u8, then
//     kind 0 (all operations have changed something, and have no more to say): the store's
//       revision before the request, u64
//     kind 1: size u32, the encoded Response
//     kind 2 (the answer was too large to be kept): nothing
//
// 'f' holds, after a format version byte, the eviction floor: the largest opened_at_ms of a session
// that was dropped to make room: for another session, or for answers where those of all sessions
// together are too large. All numbers are big-endian.
//
// Why a request is never carried out twice: its session is found, then its sequence is either below
// acknowledged_below, or among the answers, or new. Or the session is gone: by age, then its
// opened_at_ms is older than a session's life as well; or evicted, then opened_at_ms is not above
// the floor. Either way it cannot be opened again. The session that an entry belongs to is never
// evicted by that entry: it is the most recently used one, and the last one stays.
//
// Why all members agree: who is dropped, and when, follows from the records (what they hold, and
// last_used_index, which no two share) and the entry at hand. A restart counts anew from the
// records and drops nobody by itself.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <raftkv/status.h>

#include "lib/base/bytes.h"
#include "lib/base/ids.h"
#include "lib/kv/engine.h"
#include "lib/kv/request.h"
#include "lib/kv/store.h"

namespace raftkv::kv {

class PendingWrite;

struct Answer {
  enum class Kind : std::uint8_t { kPlain = 0, kResponse = 1, kLost = 2 };
  std::uint64_t sequence = 0;
  Kind kind = Kind::kPlain;
  std::uint64_t revision = 0;  ///< kPlain
  Bytes response;              ///< kResponse
};

struct Session {
  std::uint64_t id = 0;
  std::uint64_t opened_at_ms = 0;
  std::uint64_t last_used_ms = 0;
  Index last_used_index;
  std::uint64_t acknowledged_below = 0;
  std::vector<Answer> answers;  ///< by ascending sequence
  std::size_t response_bytes = 0;
  bool touched = false;  ///< differs from its record
};

/// What the answers of `session` count for. An answer without bytes takes memory as well.
inline constexpr std::size_t kAnswerBytes = 64;
inline std::size_t StoredBytes(const Session& session) {
  return session.answers.size() * kAnswerBytes + session.response_bytes;
}

std::string EncodeSession(const Session& session);
Result<Session> DecodeSession(std::uint64_t id, std::string_view record);

class SessionTable {
 public:
  explicit SessionTable(const StoreOptions& options) : options_(options) {}

  Status Load(View& view);

  /// Forgets sessions that were not used for a session's life; a bounded number a call.
  void Expire(std::uint64_t now_ms);

  /// Either `execute` is set: carry the request out and Remember its answer; or `response` is the
  /// answer and nothing is carried out.
  struct Admission {
    Session* execute = nullptr;
    Bytes response;
  };
  /// The request `header` in entry `index`, at replicated time `now_ms`; `revision` is the store's.
  Admission Admit(const RequestHeader& header, Index index, std::uint64_t now_ms,
                  std::uint64_t revision);
  void Remember(Session& session, Answer answer);

  /// Adds what changed since the last call to `pending`.
  void Save(PendingWrite& pending);

  [[nodiscard]] std::size_t size() const { return by_id_.size(); }
  /// Of all sessions together.
  [[nodiscard]] std::size_t stored_bytes() const { return stored_bytes_; }

 private:
  using List = std::list<Session>;

  [[nodiscard]] bool Expired(const Session& session, std::uint64_t now_ms) const;
  [[nodiscard]] Status MayOpen(const RequestHeader& header, std::uint64_t now_ms) const;
  Result<Session*> FindOrOpen(const RequestHeader& header, std::uint64_t now_ms);
  void EvictLeastRecentlyUsed();
  void EvictWhileTooMuchIsStored();
  void Touch(Session& session);
  void Remove(List::iterator session);

  const StoreOptions options_;
  List by_use_;  ///< the least recently used first
  std::unordered_map<std::uint64_t, List::iterator> by_id_;
  std::size_t stored_bytes_ = 0;
  std::optional<std::uint64_t> floor_ms_;
  bool floor_touched_ = false;
  /// Sessions that were changed or removed since the last Save; some may stand here twice.
  std::vector<std::uint64_t> touched_;
};

}  // namespace raftkv::kv
