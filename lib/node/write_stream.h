// How do writes become requests that are carried out exactly once?
//
// Calls gather while a request is under way. A request is one (session, sequence) with bytes that
// never change; it is sent again until it is answered or all its calls have ended. Then its
// sequence counts as acknowledged, so that a late copy of it is refused. On the loop only.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

#include "lib/base/random.h"
#include "lib/node/backoff.h"
#include "lib/node/call_queue.h"
#include "lib/node/session_call.h"
#include "lib/node/session_kv.h"

namespace raftkv::node {

/// A session as its client sees it.
struct ClientSession {
  std::uint64_t id = 0;
  std::uint64_t opened_at_ms = 0;
  std::uint64_t next_sequence = 1;
  std::set<std::uint64_t> outstanding;  ///< sequences whose answer somebody waits for
};

struct WriteRequest {
  std::vector<std::shared_ptr<WriteCall>> calls;
  std::size_t open_calls = 0;
  std::vector<kv::Operation> operations;
  MonoTime deadline{};  ///< the latest of its calls
  std::shared_ptr<ClientSession> session;
  std::uint64_t sequence = 0;
  Bytes bytes;
  bool under_way = false;          ///< an attempt is not answered yet
  bool maybe_carried_out = false;  ///< by an attempt that ended without saying so
  bool reopened = false;           ///< its session had expired before
  Backoff backoff;
  Status last_failure;
};

class WriteStream : public std::enable_shared_from_this<WriteStream> {
 public:
  WriteStream(Loop& loop, Channel& channel, const SessionKvOptions& options);

  void Add(std::shared_ptr<WriteCall> call);
  /// Ends every open call; afterwards nothing happens any more.
  void Stop();

 private:
  using RequestPtr = std::shared_ptr<WriteRequest>;

  void Schedule();
  void Pump();
  RequestPtr Gather();
  void OpenSession();
  void OnSession(const Result<std::uint64_t>& opened_at_ms);
  void FailUnsent(const Status& status);
  /// Under the session; opens one first where there is none.
  void StartAnew(const RequestPtr& request);
  void Start(const RequestPtr& request);
  void Send(const RequestPtr& request);
  void OnOutcome(const RequestPtr& request, const SubmitOutcome& outcome);
  void OnResponse(const RequestPtr& request, const kv::Response& response);
  void OnSessionExpired(const RequestPtr& request, const Status& status);
  void Retry(const RequestPtr& request, Status why);
  /// The request left the stream: answered, failed, or nobody waits for it.
  void Release(const WriteRequest& request);
  void Finish(const RequestPtr& request, const Status& status, const kv::Response& response);
  void Expire(WriteCall& call);

  Loop& loop_;
  Channel& channel_;
  const Limits limits_;
  const bool coalesce_;
  const std::size_t max_active_;

  Random random_;
  bool stopped_ = false;
  bool pump_posted_ = false;
  CallQueue<WriteCall> queue_;
  std::vector<RequestPtr> active_;
  std::shared_ptr<ClientSession> session_;  ///< null: to be opened
  bool opening_ = false;
  Backoff opening_backoff_;
  Status opening_failure_;
};

}  // namespace raftkv::node
