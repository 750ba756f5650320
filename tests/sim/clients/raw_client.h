// What does the cluster make of the same request that comes twice, at two members, or long after it
// was answered?
//
// A raw client encodes requests itself and sends each several times; what it hears of one must
// always be the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/kv/request.h"
#include "lib/node/ports.h"
#include "tests/sim/cluster/host.h"
#include "tests/support/linearizability/history.h"

namespace raftkv::sim {

class RawClient {
 public:
  RawClient(World& world, std::uint32_t id) : world_(world), id_(id) {}

  /// The next request, or a new session.
  void Step();
  /// Many requests at once, each once, all to the same member.
  void Burst(Host& host, int requests);
  /// Repeats a write until it is acknowledged.
  void WriteUntilDone();
  [[nodiscard]] bool last_written() const { return last_written_; }
  /// Counts what became of its requests.
  void Finish();

 private:
  struct Request {
    test::History::Id id = 0;
    bool recorded = false;  ///< stands in the history
    bool increment = false;
    std::size_t operations = 1;
    std::vector<std::size_t> call_sizes = {1};  ///< how many operations each call has
    std::uint64_t floor = 0;
    Bytes bytes;
    std::optional<kv::Response> answer;  ///< the first ok
  };

  void OpenSession();
  std::shared_ptr<Request> Make();
  void Encode(Request& request, const std::vector<kv::Operation>& operations);
  [[nodiscard]] std::string DrawValue();
  [[nodiscard]] std::vector<kv::Operation> DrawMixed();
  [[nodiscard]] std::uint64_t DrawLease();
  [[nodiscard]] kv::Operation DrawLeaseOp();
  TxnRequest DrawTxn(int depth);
  Compare DrawCompare();
  Op DrawOp(int depth);
  [[nodiscard]] std::vector<std::size_t> DrawCalls(std::size_t operations);
  void Send(const std::shared_ptr<Request>& request, Nanos after);
  void SendTo(std::size_t index, const std::shared_ptr<Request>& request, Nanos after);
  void Retry(const std::shared_ptr<Request>& request, Nanos after);
  void OnOutcome(const std::shared_ptr<Request>& request, const node::SubmitOutcome& outcome);
  void OnResponse(Request& request, const kv::Response& response);
  void CheckRevisions(const Request& request, const kv::Response& response);

  World& world_;
  const std::uint32_t id_;
  std::uint64_t session_ = 0;  ///< 0: to be opened
  std::uint64_t opened_at_ms_ = 0;
  std::uint64_t next_sequence_ = 1;
  std::uint64_t acknowledged_below_ = 1;
  bool ending_ = false;
  bool last_written_ = false;
  std::shared_ptr<Request> last_;
  std::uint64_t made_ = 0;
  std::uint64_t answered_ = 0;
};

}  // namespace raftkv::sim
