#include "lib/kv/store.h"

#include <limits>
#include <string>

#include "lib/base/check.h"
#include "lib/base/mutants.h"
#include "lib/kv/change_set.h"
#include "lib/kv/execute.h"
#include "lib/kv/layout.h"
#include "lib/kv/parse.h"
#include "lib/kv/pending_write.h"
#include "lib/kv/record.h"
#include "lib/kv/response.h"
#include "lib/kv/session.h"
#include "lib/kv/settings.h"

namespace raftkv::kv {
namespace {

/// A write is closed after the entry that takes it beyond this.
constexpr std::size_t kWriteBytes = 8 << 20;

constexpr std::string_view kAppliedKey(&kAppliedPrefix, 1);

}  // namespace

struct Store::State {
  State(Engine& engine, const StoreOptions& options)
      : sessions(options), pending(engine, options.counts_cache_bytes) {}

  Status ParseCommand(const raft::Entry& entry);
  Status Command(const raft::Entry& entry, AppliedEntry& applied);
  Status Carry(const Bytes& payload, AppliedEntry& applied);
  bool EvaluatesAgain(const Bytes& payload, AppliedEntry& applied);
  OperationResult Upkeep(const ParsedOperation& operation);
  OperationResult Compact(std::uint64_t revision);
  OperationResult Set(const ParsedOperation& operation);
  Status Write();

  SessionTable sessions;
  PendingWrite pending;
  Position written;  ///< as the engine has it
  Position reached;  ///< with what is pending
  Settings settings;
  /// Not ok: memory may be ahead of the engine, so nothing more is applied.
  Status failure;
  /// Of the entry at hand; kept for their memory.
  MessageBytes message;
  ParsedRequest request;
  Response response;
};

/// Nothing is changed before a command is understood as a whole: the node can halt before it.
Status Store::State::ParseCommand(const raft::Entry& entry) {
  constexpr auto kNoLimit = std::numeric_limits<std::size_t>::max();
  Status status = ParseRequest(entry.payload.view(), kNoLimit, message, request);
  if (status.ok() && request.header.session == 0) {
    const bool of_leader = request.operations.size() == 1 &&
                           (request.operations.front().kind == ParsedOperation::Kind::kCompact ||
                            request.operations.front().kind == ParsedOperation::Kind::kExpire);
    if (!of_leader) status = {Code::kInvalidArgument, "a request without a session"};
  }
  if (status.ok()) return status;
  // What is malformed was refused where it entered: here it is damage.
  const Code code = status.code() == Code::kInvalidArgument ? Code::kCorruption : status.code();
  return {code, "log entry " + std::to_string(entry.index.value) + ": " + status.message()};
}

OperationResult Store::State::Compact(std::uint64_t revision) {
  if (revision > reached.revision) {
    return {.code = Code::kInvalidArgument,
            .message = FutureRevision(revision, reached.revision).message()};
  }
  if (revision <= reached.compacted) {
    return {.code = Code::kCompacted,
            .message = "revision " + std::to_string(revision) +
                       " has been compacted already, up to " + std::to_string(reached.compacted)};
  }
  reached.compacted = revision;
  return {};
}

OperationResult Store::State::Set(const ParsedOperation& operation) {
  const auto value = ChangeSetting(operation.range.begin, operation.value, settings);
  if (!value.ok()) return {.code = value.code(), .message = value.status().message()};
  const char version = static_cast<char>(kRecordFormatVersion);
  pending.PutRecord(SettingKey(operation.range.begin), version + *value);
  return {};
}

/// It takes no revision, and nobody watches it.
OperationResult Store::State::Upkeep(const ParsedOperation& operation) {
  return operation.kind == ParsedOperation::Kind::kCompact ? Compact(operation.revision)
                                                           : Set(operation);
}

/// Carries out the operations, and writes with them what they changed.
Status Store::State::Carry(const Bytes& payload, AppliedEntry& applied) {
  if (!request.operations.empty() && request.operations.front().IsUpkeep()) {
    response.results.assign(1, Upkeep(request.operations.front()));
    return Status::Ok();
  }
  const auto changes = std::make_shared<EntryChanges>(payload);
  pending.ReportTo(changes.get());
  const bool ends_leases = !request.operations.empty() &&
                           request.operations.front().kind == ParsedOperation::Kind::kExpire;
  Status status = ends_leases
                      ? ExpireLeases(reached.revision, pending)
                      : Execute(request.operations, reached.revision, pending, response.results);
  pending.ReportTo(nullptr);
  if (!status.ok() || changes->changes().empty()) return status;
  changes->Finish();
  for (const ChangeSetRow& row : EncodeChangeSets(*changes)) pending.PutRecord(row.key, row.value);
  applied.changes = changes;
  return status;
}

/// Planted bug: transactions that were answered are carried out again.
bool Store::State::EvaluatesAgain(const Bytes& payload, AppliedEntry& applied) {
  const auto before = DecodeResponse(applied.response.view(), request.operations.size());
  if (!before.ok() || before->code != Code::kOk) return false;
  std::erase_if(request.operations, [](const auto& operation) { return operation.txn == nullptr; });
  if (request.operations.size() != before->results.size()) return false;
  response.revision = reached.revision;
  if (!Carry(payload, applied).ok()) return false;
  applied.response = EncodeResponse(response);
  return true;
}

Status Store::State::Command(const raft::Entry& entry, AppliedEntry& applied) {
  if (request.header.session == 0) {
    // Of the leader itself: nobody waits for an answer, and to carry it out twice does no harm.
    return Carry(entry.payload, applied);
  }
  SessionTable::Admission admission =
      sessions.Admit(request.header, entry.index, reached.time_ms, reached.revision);
  if (admission.execute == nullptr) {
    applied.response = std::move(admission.response);
    if (RAFTKV_MUTANT(kTxnRetryEvaluates)) EvaluatesAgain(entry.payload, applied);
    return Status::Ok();
  }
  response.revision = reached.revision;
  if (Status status = Carry(entry.payload, applied); !status.ok()) return status;
  applied.response = EncodeResponse(response);
  Answer answer;
  answer.sequence = request.header.sequence;
  answer.revision = response.revision;
  if (!response.results.empty()) {
    answer.kind = Answer::Kind::kResponse;
    answer.response = applied.response;
  }
  sessions.Remember(*admission.execute, std::move(answer));
  return Status::Ok();
}

Status Store::State::Write() {
  if (reached.index == written.index) return Status::Ok();
  if (RAFTKV_MUTANT(kAppliedIndexApart)) {
    if (Status status = pending.Write(); !status.ok()) return status;
  }
  sessions.Save(pending);
  Position position = reached;
  if (RAFTKV_MUTANT(kBoundNotPersisted)) position.compacted = 0;
  pending.PutRecord(kAppliedKey, EncodePosition(position));
  if (Status status = pending.Write(); !status.ok()) return status;
  written = reached;
  return Status::Ok();
}

Store::Store(Engine& engine, StoreOptions options)
    : state_(std::make_unique<State>(engine, options)) {}

Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(Engine& engine, StoreOptions options) {
  std::unique_ptr<Store> store(new Store(engine, options));
  State& state = *store->state_;
  const std::unique_ptr<View> view = engine.NewView(ReadTier::kAll);
  const auto record = view->Get(kAppliedKey);
  if (!record.ok()) return record.status();
  if (record->has_value()) {
    const auto position = DecodePosition(**record);
    if (!position.ok()) return position.status();
    state.written = state.reached = *position;
  }
  if (Status status = state.sessions.Load(*view); !status.ok()) return status;
  if (Status status = state.pending.leases().Load(*view); !status.ok()) return status;
  state.pending.leases().BeginEntry(state.written.index, state.written.clock_ms);
  const auto settings = LoadSettings(*view);
  if (!settings.ok()) return settings.status();
  state.settings = *settings;
  return store;
}

Result<std::vector<Store::AppliedEntry>> Store::Apply(const std::vector<raft::Entry>& entries) {
  State& state = *state_;
  if (!state.failure.ok()) return state.failure;
  std::vector<AppliedEntry> applied;
  applied.reserve(entries.size());
  for (const raft::Entry& entry : entries) {
    RAFTKV_CHECK(entry.index == state.reached.index.Next(), entry.index.value,
                 state.reached.index.value);
    RAFTKV_CHECK(entry.term >= state.reached.term, entry.term.value, state.reached.term.value);
    const bool is_command = entry.kind == raft::EntryKind::kCommand;
    if (is_command) {
      if (Status status = state.ParseCommand(entry); !status.ok()) {
        state.failure = state.Write();
        if (state.failure.ok()) state.failure = std::move(status);
        return state.failure;
      }
    }
    state.reached.index = entry.index;
    state.reached.term = entry.term;
    state.reached.time_ms = std::max(state.reached.time_ms, entry.time_ms);
    state.reached.clock_ms = std::max(state.reached.clock_ms, entry.clock_ms);
    state.pending.leases().BeginEntry(entry.index, state.reached.clock_ms);
    if (entry.kind == raft::EntryKind::kNoop && RAFTKV_MUTANT(kLeasesRenewedByElection)) {
      state.pending.leases().RenewAll();
    }
    state.sessions.Expire(state.reached.time_ms);
    applied.push_back({entry.index, {}});
    if (is_command) {
      if (Status status = state.Command(entry, applied.back()); !status.ok()) {
        return state.failure = std::move(status);
      }
    }
    if (state.pending.size_bytes() < kWriteBytes) continue;
    if (state.failure = state.Write(); !state.failure.ok()) return state.failure;
  }
  if (state.failure = state.Write(); !state.failure.ok()) return state.failure;
  return applied;
}

bool Store::IsQuick(const std::vector<raft::Entry>& entries, std::size_t max_bytes) {
  constexpr auto kNoLimit = std::numeric_limits<std::size_t>::max();
  std::size_t bytes = 0;
  for (const raft::Entry& entry : entries) bytes += entry.Footprint();
  if (bytes > max_bytes) return false;
  State& state = *state_;
  MessageBytes& storage = state.message;
  ParsedRequest& request = state.request;
  std::unique_ptr<View> memory;
  for (const raft::Entry& entry : entries) {
    if (entry.kind != raft::EntryKind::kCommand) continue;
    if (!ParseRequest(entry.payload.view(), kNoLimit, storage, request).ok()) return false;
    for (const ParsedOperation& operation : request.operations) {
      const bool is_put = operation.kind == ParsedOperation::Kind::kPut;
      // The value that is kept is read from the disk.
      if (!is_put || operation.return_previous || operation.keep_value) return false;
      if (!state.pending.HasCountsInMemory(operation.range.begin, memory)) return false;
    }
  }
  return true;
}

Index Store::applied() const { return state_->written.index; }

Revisions Store::revisions() const { return {state_->written.revision, state_->written.compacted}; }

std::size_t Store::PastBytes(const std::vector<AppliedEntry>& applied) {
  std::size_t bytes = 0;
  for (const AppliedEntry& entry : applied) {
    if (entry.changes != nullptr) bytes += entry.changes->PastBytes();
  }
  return bytes;
}

Settings Store::settings() const { return state_->settings; }

LeaseStatus Store::leases() const { return state_->pending.leases().status(); }

std::uint64_t Store::range_deleted_keys() const { return state_->pending.range_deleted_keys(); }

std::uint64_t Store::replicated_time_ms() const { return state_->written.time_ms; }

}  // namespace raftkv::kv
