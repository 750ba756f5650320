// How do reads of one consistency become requests?
//
// Calls gather while a request is under way; a read may be asked again as often as it takes. On the
// loop only.
#pragma once

#include <memory>
#include <vector>

#include "lib/base/random.h"
#include "lib/node/backoff.h"
#include "lib/node/call_queue.h"
#include "lib/node/session_call.h"
#include "lib/node/session_kv.h"

namespace raftkv::node {

struct ReadRequest {
  std::vector<std::shared_ptr<ReadCall>> calls;
  std::size_t open_calls = 0;
  MonoTime deadline{};  ///< the latest of its calls
  Bytes bytes;
  Backoff backoff;
  Status last_failure;
};

class ReadStream : public std::enable_shared_from_this<ReadStream> {
 public:
  ReadStream(Loop& loop, Channel& channel, Consistency consistency,
             const SessionKvOptions& options);

  void Add(std::shared_ptr<ReadCall> call);
  /// Ends every open call; afterwards nothing happens any more.
  void Stop();

 private:
  using RequestPtr = std::shared_ptr<ReadRequest>;

  void Schedule();
  void Pump();
  RequestPtr Gather();
  void Send(const RequestPtr& request);
  void OnAnswer(const RequestPtr& request, const Result<Bytes>& answer);
  void Retry(const RequestPtr& request, const Status& why);
  void Deliver(const RequestPtr& request, std::vector<ScanResult> results);
  void Fail(const RequestPtr& request, const Status& status);
  void Expire(ReadCall& call);

  Loop& loop_;
  Channel& channel_;
  const Consistency consistency_;
  const Limits limits_;
  const bool coalesce_;
  const std::size_t max_active_;

  Random random_;
  bool stopped_ = false;
  bool pump_posted_ = false;
  CallQueue<ReadCall> queue_;
  std::size_t active_ = 0;
};

}  // namespace raftkv::node
