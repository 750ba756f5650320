#include "lib/kv/session.h"

#include <algorithm>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/kv/layout.h"
#include "lib/kv/pending_write.h"
#include "lib/kv/record.h"
#include "lib/kv/response.h"

namespace raftkv::kv {
namespace {

/// More than can be opened in one entry, so that a crowd of expired sessions always shrinks.
constexpr int kExpiredPerEntry = 16;

constexpr std::string_view kFloorKey(&kSessionFloorPrefix, 1);

std::string SessionKey(std::uint64_t id) {
  std::string key(1, kSessionPrefix);
  AppendBigEndian64(key, id);
  return key;
}

Bytes Refusal(Code code, std::string message, std::uint64_t revision) {
  return EncodeResponse({code, std::move(message), revision, {}});
}

Bytes StoredResponse(const Answer& answer, std::uint64_t revision) {
  switch (answer.kind) {
    case Answer::Kind::kPlain: return EncodeResponse({Code::kOk, {}, answer.revision, {}});
    case Answer::Kind::kResponse: return answer.response;
    case Answer::Kind::kLost: break;
  }
  return Refusal(Code::kUnknownOutcome,
                 "the request was carried out before, but its answer was too large to be kept",
                 revision);
}

auto FindSequence(std::vector<Answer>& answers, std::uint64_t sequence) {
  return std::lower_bound(
      answers.begin(), answers.end(), sequence,
      [](const Answer& answer, std::uint64_t wanted) { return answer.sequence < wanted; });
}

void Acknowledge(Session& session, std::uint64_t below) {
  if (below <= session.acknowledged_below) return;
  session.acknowledged_below = below;
  const auto end = FindSequence(session.answers, below);
  for (auto it = session.answers.begin(); it != end; ++it) {
    session.response_bytes -= it->response.size();
  }
  session.answers.erase(session.answers.begin(), end);
}

}  // namespace

Status SessionTable::Load(View& view) {
  std::vector<Session> sessions;
  Status damage;
  Status status =
      view.Scan(std::string(1, kSessionPrefix), std::string(1, kSessionPrefix + 1),
                [&](std::string_view key, std::string_view record) {
                  key.remove_prefix(1);
                  const auto id = TakeBigEndian64(key);
                  if (!id.has_value() || !key.empty()) {
                    damage = {Code::kCorruption, "the key of a session has a wrong length"};
                    return false;
                  }
                  Result<Session> session = DecodeSession(*id, record);
                  if (!session.ok()) damage = session.status();
                  if (session.ok()) sessions.push_back(*std::move(session));
                  return damage.ok();
                });
  if (!status.ok()) return status;
  if (!damage.ok()) return damage;
  std::sort(sessions.begin(), sessions.end(), [](const Session& a, const Session& b) {
    return a.last_used_index < b.last_used_index;
  });
  for (Session& session : sessions) {
    const std::uint64_t id = session.id;
    stored_bytes_ += StoredBytes(session);
    by_id_[id] = by_use_.insert(by_use_.end(), std::move(session));
  }
  const auto floor = view.Get(kFloorKey);
  if (!floor.ok()) return floor.status();
  if (!floor->has_value()) return Status::Ok();
  std::string_view record = **floor;
  if (Status bad = TakeFormatVersion(record, "the session floor"); !bad.ok()) return bad;
  floor_ms_ = TakeBigEndian64(record);
  if (floor_ms_.has_value() && record.empty()) return Status::Ok();
  return {Code::kCorruption, "the record of the session floor has a wrong length"};
}

bool SessionTable::Expired(const Session& session, std::uint64_t now_ms) const {
  RAFTKV_CHECK(session.last_used_ms <= now_ms, session.last_used_ms, now_ms);
  return now_ms - session.last_used_ms >= options_.session_life_ms;
}

void SessionTable::Remove(List::iterator session) {
  RAFTKV_CHECK(stored_bytes_ >= StoredBytes(*session), stored_bytes_, StoredBytes(*session));
  stored_bytes_ -= StoredBytes(*session);
  if (!session->touched) touched_.push_back(session->id);
  by_id_.erase(session->id);
  by_use_.erase(session);
  RAFTKV_CHECK(by_id_.size() == by_use_.size());
}

void SessionTable::Expire(std::uint64_t now_ms) {
  for (int i = 0; i < kExpiredPerEntry && !by_use_.empty(); ++i) {
    if (!Expired(by_use_.front(), now_ms)) return;
    Remove(by_use_.begin());
  }
}

void SessionTable::EvictLeastRecentlyUsed() {
  RAFTKV_CHECK(!by_use_.empty());
  const Session& victim = by_use_.front();
  floor_ms_ = std::max(floor_ms_.value_or(0), victim.opened_at_ms);
  floor_touched_ = true;
  Remove(by_use_.begin());
}

void SessionTable::EvictWhileTooMuchIsStored() {
  while (stored_bytes_ > options_.max_stored_bytes && by_use_.size() > 1) EvictLeastRecentlyUsed();
}

void SessionTable::Touch(Session& session) {
  if (session.touched) return;
  session.touched = true;
  touched_.push_back(session.id);
}

Status SessionTable::MayOpen(const RequestHeader& header, std::uint64_t now_ms) const {
  if (header.opened_at_ms > now_ms) {
    return {Code::kSessionExpired, "the session says that it was opened in the future"};
  }
  // The first request of a session, and a later one: rows of their own in docs/testing.md.
  if (header.sequence == 1 && RAFTKV_MUTANT(kDoubledFirstRequest)) return Status::Ok();
  if (header.sequence > 1 && RAFTKV_MUTANT(kExpiredSessionReopens)) return Status::Ok();
  if (now_ms - header.opened_at_ms >= options_.session_life_ms) {
    return {Code::kSessionExpired, "the session was not used for too long"};
  }
  if (floor_ms_.has_value() && header.opened_at_ms <= *floor_ms_) {
    return {Code::kSessionExpired, "the session may have been dropped to make room for newer ones"};
  }
  return Status::Ok();
}

Result<Session*> SessionTable::FindOrOpen(const RequestHeader& header, std::uint64_t now_ms) {
  auto found = by_id_.find(header.session);
  if (found != by_id_.end() && Expired(*found->second, now_ms)) {
    Remove(found->second);
    found = by_id_.end();
  }
  if (found != by_id_.end()) {
    if (found->second->opened_at_ms == header.opened_at_ms) return &*found->second;
    return Status(Code::kSessionExpired, "another session has the same id");
  }
  if (Status status = MayOpen(header, now_ms); !status.ok()) return status;
  if (by_id_.size() >= options_.max_sessions) EvictLeastRecentlyUsed();
  Session session;
  session.id = header.session;
  session.opened_at_ms = header.opened_at_ms;
  const auto opened = by_use_.insert(by_use_.end(), std::move(session));
  by_id_[header.session] = opened;
  return &*opened;
}

SessionTable::Admission SessionTable::Admit(const RequestHeader& header, Index index,
                                            std::uint64_t now_ms, std::uint64_t revision) {
  const auto refuse = [revision](Code code, std::string message) {
    return Admission{nullptr, Refusal(code, std::move(message), revision)};
  };
  if (header.session == 0 || header.sequence == 0 || header.acknowledged_below > header.sequence) {
    return refuse(Code::kInvalidArgument, "the request's session or sequence is no valid number");
  }
  const Result<Session*> found = FindOrOpen(header, now_ms);
  if (!found.ok()) return refuse(found.code(), found.status().message());
  Session& session = **found;
  RAFTKV_CHECK(session.last_used_index < index, session.last_used_index.value, index.value);
  session.last_used_ms = now_ms;
  session.last_used_index = index;
  by_use_.splice(by_use_.end(), by_use_, by_id_.at(session.id));
  Touch(session);
  stored_bytes_ -= StoredBytes(session);
  Acknowledge(session, header.acknowledged_below);
  stored_bytes_ += StoredBytes(session);
  if (header.sequence < session.acknowledged_below) {
    return refuse(Code::kSessionExpired, "the answer to this request was acknowledged already");
  }
  if (RAFTKV_MUTANT(kRetryAppliedTwice)) {
    std::erase_if(session.answers,
                  [&](const Answer& known) { return known.sequence == header.sequence; });
  }
  const auto answer = FindSequence(session.answers, header.sequence);
  if (answer != session.answers.end() && answer->sequence == header.sequence) {
    return {nullptr, StoredResponse(*answer, revision)};
  }
  if (session.answers.size() >= options_.max_outstanding) {
    return refuse(Code::kUnavailable, "the session has too many requests under way: " +
                                          std::to_string(session.answers.size()));
  }
  return {&session, {}};
}

void SessionTable::Remember(Session& session, Answer answer) {
  RAFTKV_CHECK(&session == &by_use_.back());
  stored_bytes_ -= StoredBytes(session);
  session.response_bytes += answer.response.size();
  const auto at = FindSequence(session.answers, answer.sequence);
  RAFTKV_CHECK(at == session.answers.end() || at->sequence != answer.sequence, answer.sequence);
  session.answers.insert(at, std::move(answer));
  for (Answer& oldest : session.answers) {
    if (session.response_bytes <= options_.max_response_bytes) break;
    if (oldest.kind != Answer::Kind::kResponse) continue;
    session.response_bytes -= oldest.response.size();
    oldest.kind = Answer::Kind::kLost;
    oldest.response = Bytes();
  }
  stored_bytes_ += StoredBytes(session);
  EvictWhileTooMuchIsStored();
}

void SessionTable::Save(PendingWrite& pending) {
  for (const std::uint64_t id : touched_) {
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) {
      pending.DeleteRecord(SessionKey(id));
    } else {
      found->second->touched = false;
      pending.PutRecord(SessionKey(id), EncodeSession(*found->second));
    }
  }
  touched_.clear();
  if (!floor_touched_) return;
  std::string record(1, static_cast<char>(kRecordFormatVersion));
  AppendBigEndian64(record, *floor_ms_);
  pending.PutRecord(kFloorKey, record);
  floor_touched_ = false;
}

}  // namespace raftkv::kv
