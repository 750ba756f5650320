// How do writes become requests that are carried out exactly once?
//
// A request is one (session, sequence) with bytes that never change; it is sent again until it is
// answered or all its calls have ended. Then its sequence counts as acknowledged, so that a late
// copy of it is refused. On the loop only.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "lib/session/call_stream.h"

namespace raftkv::node {

/// A session as its client sees it.
struct ClientSession {
  std::uint64_t id = 0;
  std::uint64_t opened_at_ms = 0;
  std::uint64_t next_sequence = 1;
  std::set<std::uint64_t> outstanding;  ///< sequences whose answer somebody waits for
};

struct WriteRequest : CallRequest<WriteCall> {
  std::vector<kv::Operation> operations;
  std::vector<std::size_t> call_sizes;
  std::shared_ptr<ClientSession> session;
  std::uint64_t sequence = 0;
  bool under_way = false;          ///< an attempt is not answered yet
  bool maybe_carried_out = false;  ///< by an attempt that ended without saying so
  bool reopened = false;           ///< its session had expired before
};

class WriteStream final : public CallStream<WriteCall, WriteRequest> {
 public:
  WriteStream(Loop& loop, Channel& channel, const SessionKvOptions& options)
      : CallStream(loop, channel, options) {}

  /// Ends every open call; afterwards nothing happens any more.
  void Stop();

 private:
  /// Opens a session where there is none.
  bool MayBegin() override;
  void Begin(const RequestPtr& request) override;
  void Send(const RequestPtr& request) override;
  /// Its sequence counts as acknowledged.
  void OnReleased(const WriteRequest& request) override;
  void Expire(WriteCall& call) override;

  void OpenSession();
  void OnSession(const Result<std::uint64_t>& opened_at_ms);
  void FailUnsent(const Status& status);
  /// Under the session; opens one first where there is none.
  void StartAnew(const RequestPtr& request);
  void Start(const RequestPtr& request);
  void OnOutcome(const RequestPtr& request, const SubmitOutcome& outcome);
  void OnResponse(const RequestPtr& request, const kv::Response& response);
  void OnSessionExpired(const RequestPtr& request, const Status& status);
  void Finish(const RequestPtr& request, const Status& status, const kv::Response& response);

  std::shared_ptr<ClientSession> session_;  ///< null: to be opened
  bool opening_ = false;
  AttemptTime opening_time_;
  Backoff opening_backoff_;
  Status opening_failure_;
};

}  // namespace raftkv::node
