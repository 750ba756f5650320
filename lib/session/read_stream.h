// How do reads of one consistency become requests?
//
// A read may be asked again as often as it takes. On the loop only.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "lib/session/call_stream.h"

namespace raftkv::node {

struct ReadRequest : CallRequest<ReadCall> {
  ReadPolicy policy;
  std::size_t reads = 0;  ///< of its calls
};

class ReadStream final : public CallStream<ReadCall, ReadRequest> {
 public:
  ReadStream(Loop& loop, Channel& channel, Consistency consistency, const SessionKvOptions& options)
      : CallStream(loop, channel, options), consistency_(consistency) {}

  /// Ends every open call; afterwards nothing happens any more.
  void Stop();

 private:
  void Begin(const RequestPtr& request) override;
  void Send(const RequestPtr& request) override;
  void Expire(ReadCall& call) override;

  void OnAnswer(const RequestPtr& request, const Result<Bytes>& answer);
  void Deliver(const RequestPtr& request, std::vector<kv::ReadAnswer> results);
  void Fail(const RequestPtr& request, const Status& status);

  const Consistency consistency_;
};

}  // namespace raftkv::node
