// Who uses the simulated cluster, and what were they told?
//
// Session clients are the production client code (NewSessionKv) over a simulated channel; raw
// clients (raw_client.h) send the same encoded request several times. All of it goes into one
// history, which must be linearizable.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <raftkv/kv.h>

#include "tests/sim/clients/channel.h"
#include "tests/sim/clients/raw_client.h"
#include "tests/sim/judges/reads.h"
#include "tests/sim/program/stats.h"
#include "tests/support/linearizability/history.h"

namespace raftkv::sim {

class Clients {
 public:
  explicit Clients(World& world);
  ~Clients();

  void Start();
  void RunPosted() { loop_.RunPosted(); }
  void HostDown(const Host& host);
  /// Nothing is called back afterwards.
  void Stop();

  // --- Faults.
  [[nodiscard]] std::size_t count() const { return clients_.size(); }
  void Block(std::size_t client, std::size_t host) { clients_[client]->channel.Block(host); }
  void Unblock(std::size_t client, std::size_t host) { clients_[client]->channel.Unblock(host); }

  /// The clients that do as they like leave `host` alone: their connections to it break.
  void Leave(const Host& host);
  void Return(const Host& host);
  /// They do nothing of their own for so long.
  void Lull(Nanos time);
  [[nodiscard]] bool Lulls() const;
  /// `newer` took over from `older`, which does not know it yet. One client writes at the one; once
  /// that is acknowledged, another reads it at the other.
  void ReadBehind(Host& older, Host& newer);
  /// One client writes at `leader`, unless it waits for an earlier write.
  void Probe(Host& leader, std::chrono::milliseconds timeout);
  /// Many writes at once at one member.
  void Burst(Host& host, int requests) {
    if (!raw_.empty()) raw_.front()->Burst(host, requests);
  }

  // --- The liveness phase: no more operations but one write from each.
  void WriteOnceEach();
  /// Every operation has ended, and those writes are acknowledged.
  [[nodiscard]] bool Done() const;
  [[nodiscard]] bool AllAnswered() const;
  [[nodiscard]] std::string WhatIsOpen() const;
  void CountRaw();

  test::History& history() { return history_; }
  /// The history, where writes of unknown outcome that never came into the log count as failed.
  [[nodiscard]] test::History Resolved() const;

  // --- For every kind of client.
  std::string DrawKey();
  std::string DrawCounter();
  [[nodiscard]] std::string NewValue(std::uint32_t client) {
    return "v" + std::to_string(client) + "." + std::to_string(++values_);
  }
  /// Unlike any other, so that an increment can be told in the log.
  [[nodiscard]] std::int64_t NewDelta() { return static_cast<std::int64_t>(++values_); }
  /// A write was acknowledged; `asked_at` is what WriteFloor() was when it was called. `changed`:
  /// it has a revision of its own.
  void CheckWriteOrder(std::uint64_t asked_at, std::uint64_t revision, bool changed);
  [[nodiscard]] std::uint64_t WriteFloor() const { return write_floor_; }
  [[nodiscard]] bool stopped() const { return stopped_; }
  /// A call that ends so says that it got no answer.
  [[nodiscard]] static bool GotNoAnswer(Code code);

 private:
  struct Client {
    Client(World& world, std::uint32_t client_id, const ClientPlan& plan);
    const std::uint32_t id;
    SimChannel channel;
    std::unique_ptr<KV> kv;
    std::map<std::string, std::string> last_seen;  ///< for compare and swap
    int open = 0;
    bool last_written = false;
  };
  struct Call {
    Client* client = nullptr;
    OpKind kind = OpKind::kPut;
    test::History::Id id = 0;
    std::string key;
    std::uint64_t floor = 0;
    bool recorded = true;        ///< stands in the history
    std::uint64_t pages_of = 0;  ///< a further page of a scan: the revision of the first
    std::uint64_t past = 0;      ///< what it asks for was there at this revision; 0: the latest
    Nanos begun = 0;
  };

  static constexpr int kMaxOpen = 4;  ///< calls of a client

  Client& Add();
  void Open(Client& client);
  bool NextOperation();
  void Next(Client& client);
  void RawNext(RawClient& client);
  void Operate(Client& client);
  Call Begin(Client& client, OpKind kind, test::ClientOp op, const std::string& key);
  void Put(Client& client, std::chrono::milliseconds timeout, bool last);
  void OnLastWrite(Client& client, bool ok);
  void Get(Client& client, Consistency consistency);
  void Get(Client& client, Consistency consistency, const std::string& key,
           std::chrono::milliseconds timeout);
  void Delete(Client& client);
  void CompareAndSwap(Client& client);
  void Increment(Client& client);
  void WriteBatch(Client& client);
  // Transactions (clients/txn.cc).
  std::vector<std::string> DrawKeys();
  void Txn(Client& client);
  void ReadTxn(Client& client);
  void EndTxn(const Call& call, const Result<TxnResult>& result);
  // Writes with leases (clients/leased.cc).
  void LeasedNext();
  void UseLeased(Client& client);
  [[nodiscard]] Call BeginLeased(Client& client, OpKind kind);
  template <class T>
  void EndLeased(const Call& call, const Result<T>& result, std::uint64_t revision, bool changed);
  [[nodiscard]] std::string NewLeasedValue();
  void GrantLease(Client& client);
  void KeepAlive(Client& client);
  void RevokeLease(Client& client);
  void PutLeased(Client& client);
  void SwapLeased(Client& client);
  void IncrementLeased(Client& client);
  void LeasedTxn(Client& client);
  [[nodiscard]] KeyRange DrawRange();
  [[nodiscard]] KeyRange DrawScanned();
  void Scan(Client& client);
  void Compact(Client& client);
  void UseLeases(Client& client);
  /// `before`: what the pages before this one have shown.
  void ScanPage(Client& client, const KeyRange& range, const ScanOptions& options,
                const Reads::Shown& before);
  void DrawOrder(ScanOptions& options);
  void GetMany(Client& client);
  void EndGetMany(const Call& call, const std::vector<std::string>& keys,
                  const ReadOptions& options, const Result<GetManyResult>& result);
  void DeleteRange(Client& client);
  bool PastIsRefused(const Call& call, const Status& status);
  void EndScan(const Call& call, const ScanOptions& options, const Status& status,
               std::uint64_t revision);
  void EndWrite(const Call& call, const Status& status, std::uint64_t revision,
                test::ClientAnswer answer, bool changed = true);
  void EndGet(const Call& call, const Result<KeyValue>& result);
  [[nodiscard]] std::uint64_t FloorOf(const std::string& key, Nanos when) const;
  void CheckGet(const Call& call, const KeyValue& found);
  void End(const Call& call, OpOutcome outcome);
  [[nodiscard]] std::chrono::milliseconds Timeout() const;

  World& world_;
  SimLoop loop_;
  test::History history_;
  std::vector<std::unique_ptr<Client>> clients_;
  /// Of those: they do only what ReadBehind() asks for.
  Client* writer_ = nullptr;
  Client* reader_ = nullptr;
  std::vector<std::unique_ptr<RawClient>> raw_;
  std::uint64_t values_ = 0;
  std::uint64_t leased_values_ = 0;
  std::uint64_t leased_steps_ = 0;
  /// The highest revision of an acknowledged write, and of each key those of its acknowledged puts
  /// with the time at which they were.
  std::uint64_t write_floor_ = 0;
  /// Of all acknowledged writes that changed something; no two have the same.
  std::set<std::uint64_t> revisions_;
  std::map<std::string, std::vector<std::pair<Nanos, std::uint64_t>>> key_floor_;
  Nanos lull_until_ = 0;
  bool ending_ = false;
  bool stopped_ = false;
};

}  // namespace raftkv::sim
