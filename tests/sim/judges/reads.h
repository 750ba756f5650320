// Did each answer show a state that was there, and one that was new enough?
//
// Every read that a member answers is looked at where the answer leaves it, whoever still waits:
// local and bounded ones, absent keys, scans and counts. The answer names the log index that it
// reflects; it must be new enough for what was asked (a state of the past always is), and at the
// end of the run it is compared with a model that carries out the committed log by itself. The same
// model knows what each write had to answer.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <raftkv/kv.h>

#include "lib/base/bytes.h"
#include "lib/kv/request.h"
#include "lib/node/ports.h"
#include "tests/sim/cluster/host.h"
#include "tests/sim/cluster/scheduler.h"
#include "tests/sim/judges/model.h"

namespace raftkv::sim {

/// What a read may be behind by, on a clock that is slow by as much as clocks may be.
inline Nanos InTrueTime(Duration staleness) { return staleness.count() * 5 / 4; }

class Reads {
 public:
  explicit Reads(World& world) : world_(world) {}

  /// The commit index of the cluster has risen to `index`.
  void OnCommitted(Index index);
  /// What a member was asked, when, and what was committed, and shown by its local reads, by then.
  struct Question {
    Bytes request;
    node::ReadPolicy policy;
    Nanos asked_at = 0;
    Index committed;
    Index shown;
  };
  [[nodiscard]] Question Ask(const Host& host, const Bytes& request,
                             const node::ReadPolicy& policy);
  void OnAnswer(const Host& host, const Question& question, const Bytes& answer);

  /// A member has opened a session; `committed` was when it was asked to.
  void CheckSession(const Host& host, Index committed, std::uint64_t time_ms);

  /// What a client was shown of a range, over all of its pages, or of the keys that it named.
  struct Shown {
    std::string client;
    KeyRange range;
    ScanOptions options;
    /// Not empty: a multi-get of these.
    std::vector<std::string> keys;
    /// `more`: where it ends, further pages were not read.
    ScanResult result;
  };
  void OnShown(Shown shown);

  /// At the end: compares every answer with the state at its index, and every write's answer with
  /// what the committed log says. Returns the model, which has carried out all of it.
  Model CompareWithModel();

  /// A request leaves its client for the first time.
  void OnSent(std::uint64_t session, std::uint64_t sequence);
  /// Faults have stopped, and somebody leads.
  void OnWell() { well_at_ = Now(); }

 private:
  struct Answer {
    std::string host;
    Bytes request;
    Bytes response;
  };
  [[nodiscard]] Index& ShownBy(const Host& host);
  [[nodiscard]] Index CommittedAt(Nanos when) const;
  /// What is wrong with `shown` in the model's present state.
  static std::string CompareShown(const Model& model, const Shown& shown);
  void CompareAllShown(const Model& model);
  void CheckNewness(const Host& host, const Question& question, Index reflects);

  [[nodiscard]] Nanos Now() const;

  World& world_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> sent_;  ///< in ms
  Nanos well_at_ = 0;
  std::vector<std::pair<Nanos, Index>> commits_;
  std::multimap<std::uint64_t, Answer> answers_;          ///< by the index that they reflect
  std::multimap<std::uint64_t, Shown> shown_to_clients_;  ///< by the revision that they show
  /// By host and epoch: what its local reads have shown.
  std::map<std::pair<std::uint16_t, std::uint32_t>, Index> shown_;
};

}  // namespace raftkv::sim
