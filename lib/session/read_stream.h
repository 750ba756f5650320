// How do reads of one consistency become requests?
//
// A read may be asked again as often as it takes. On the loop only.
#pragma once

#include <memory>
#include <vector>

#include "lib/session/call_stream.h"

namespace raftkv::node {

struct ReadRequest : CallRequest<ReadCall> {
  ReadPolicy policy;
};

class ReadStream : public CallStream<ReadStream, ReadCall, ReadRequest> {
 public:
  ReadStream(Loop& loop, Channel& channel, Consistency consistency, const SessionKvOptions& options)
      : CallStream(loop, channel, options), consistency_(consistency) {}

  /// Ends every open call; afterwards nothing happens any more.
  void Stop();

 private:
  friend CallStream;

  static bool MayBegin() { return true; }
  void Begin(const RequestPtr& request);
  void Send(const RequestPtr& request);
  void OnAnswer(const RequestPtr& request, const Result<Bytes>& answer);
  void Deliver(const RequestPtr& request, std::vector<ScanResult> results);
  void Fail(const RequestPtr& request, const Status& status);
  void Expire(ReadCall& call);

  const Consistency consistency_;
};

}  // namespace raftkv::node
