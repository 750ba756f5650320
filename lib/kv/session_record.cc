// How is a session written down? (the format is in lib/kv/session.h)
#include "lib/base/check.h"
#include "lib/kv/record.h"
#include "lib/kv/session.h"

namespace raftkv::kv {
namespace {

void AppendAnswer(const Answer& answer, std::string& record) {
  AppendBigEndian64(record, answer.sequence);
  record.push_back(static_cast<char>(answer.kind));
  switch (answer.kind) {
    case Answer::Kind::kPlain: AppendBigEndian64(record, answer.revision); return;
    case Answer::Kind::kResponse:
      AppendBigEndian32(record, static_cast<std::uint32_t>(answer.response.size()));
      record.append(answer.response.view());
      return;
    case Answer::Kind::kLost: return;
  }
}

std::optional<Answer> TakeAnswer(std::string_view& record) {
  Answer answer;
  const auto sequence = TakeBigEndian64(record);
  if (!sequence || record.empty()) return std::nullopt;
  answer.sequence = *sequence;
  answer.kind = static_cast<Answer::Kind>(record.front());
  record.remove_prefix(1);
  switch (answer.kind) {
    case Answer::Kind::kPlain: {
      const auto revision = TakeBigEndian64(record);
      if (!revision) return std::nullopt;
      answer.revision = *revision;
      return answer;
    }
    case Answer::Kind::kResponse: {
      const auto size_bytes = TakeBigEndian32(record);
      if (!size_bytes || *size_bytes > record.size()) return std::nullopt;
      answer.response = Bytes(std::string(record.substr(0, *size_bytes)));
      record.remove_prefix(*size_bytes);
      return answer;
    }
    case Answer::Kind::kLost: return answer;
  }
  return std::nullopt;
}

}  // namespace

std::string EncodeSession(const Session& session) {
  constexpr std::size_t kFixedBytes = 1 + 4 * 8 + 4;
  constexpr std::size_t kEncodedAnswerBytes = 8 + 1 + 8;
  std::string record;
  record.reserve(kFixedBytes + session.answers.size() * kEncodedAnswerBytes +
                 session.response_bytes);
  record.push_back(static_cast<char>(kRecordFormatVersion));
  AppendBigEndian64(record, session.opened_at_ms);
  AppendBigEndian64(record, session.last_used_ms);
  AppendBigEndian64(record, session.last_used_index.value);
  AppendBigEndian64(record, session.acknowledged_below);
  AppendBigEndian32(record, static_cast<std::uint32_t>(session.answers.size()));
  for (const Answer& answer : session.answers) AppendAnswer(answer, record);
  return record;
}

Result<Session> DecodeSession(std::uint64_t id, std::string_view record) {
  const Status damaged(Code::kCorruption, "the record of a session is damaged");
  if (Status status = TakeFormatVersion(record, "a session"); !status.ok()) return status;
  const auto opened_at_ms = TakeBigEndian64(record);
  const auto last_used_ms = TakeBigEndian64(record);
  const auto last_used_index = TakeBigEndian64(record);
  const auto acknowledged_below = TakeBigEndian64(record);
  const auto count = TakeBigEndian32(record);
  if (!opened_at_ms || !last_used_ms || !last_used_index || !acknowledged_below || !count) {
    return damaged;
  }
  Session session;
  session.id = id;
  session.opened_at_ms = *opened_at_ms;
  session.last_used_ms = *last_used_ms;
  session.last_used_index = Index(*last_used_index);
  session.acknowledged_below = *acknowledged_below;
  for (std::uint32_t i = 0; i < *count; ++i) {
    std::optional<Answer> answer = TakeAnswer(record);
    if (!answer.has_value()) return damaged;
    if (!session.answers.empty() && session.answers.back().sequence >= answer->sequence) {
      return damaged;
    }
    session.response_bytes += answer->response.size();
    session.answers.push_back(*std::move(answer));
  }
  if (!record.empty()) return damaged;
  return session;
}

}  // namespace raftkv::kv
