// How does a client of the simulated cluster reach its members? One member at a time, to the leader
// if it likes, over links that lose and delay; retries are the session's matter, as with rpc/.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "lib/session/session_kv.h"
#include "tests/sim/cluster/network.h"

namespace raftkv::sim {

/// The loop that all clients share.
class SimLoop final : public node::Loop {
 public:
  explicit SimLoop(World& world) : world_(world) {}
  void Post(OnceFunction<void()> work) override { posted_.push_back(std::move(work)); }
  void At(MonoTime when, OnceFunction<void()> work) override;
  MonoTime Now() override;

  void RunPosted();
  void Drop() { posted_.clear(); }

 private:
  World& world_;
  std::deque<OnceFunction<void()>> posted_;
};

/// How a channel behaves, and where its chance is from.
struct SimChannelOptions {
  std::uint32_t follow_leader_ppm = 0;
  std::uint32_t drop_answer_ppm = 0;
  Random& chance;
  Random& delays;
};

class SimChannel final : public node::Channel {
 public:
  SimChannel(World& world, std::string name, const SimChannelOptions& options);

  void OpenSession(MonoTime deadline, node::Done<std::uint64_t> done) override;
  void Submit(Bytes request, MonoTime deadline, node::SubmitDone done) override;
  void Read(Bytes request, node::ReadPolicy policy, MonoTime deadline,
            node::Done<Bytes> done) override;
  void Watch(Bytes request, MonoTime deadline, node::Done<Bytes> done) override;

  void HostDown(const Host& host);
  void Block(std::size_t host) { ++blocked_[host]; }
  void Unblock(std::size_t host) { --blocked_[host]; }
  /// Whom the next attempt goes to.
  void Use(std::size_t host) { current_ = host; }
  /// Whether each request that reached a member that still runs was answered, whoever still waits.
  [[nodiscard]] bool AllAnswered() const;
  /// Forgets all attempts.
  void Stop() { attempts_.clear(); }

 private:
  /// What all kinds of calls have in common; `end` gets the answer, once.
  struct Answer {
    Status status;
    Bytes bytes;
    std::uint64_t number = 0;
  };
  using End = OnceFunction<void(const Answer&)>;
  /// Asks the member; `answer` may run at once, later, or never.
  using Ask = std::function<void(Host& host, std::function<void(Answer)> answer)>;
  struct Attempt {
    std::uint64_t number = 0;  ///< 0: free
    std::size_t host = 0;
    bool write = false;
    bool sent = false;
    End end;
    Ask ask;
  };

  void Begin(bool write, MonoTime deadline, Ask ask, End end);
  Attempt* Find(std::uint64_t number);
  void Arrive(std::uint64_t number);
  std::shared_ptr<bool> NoteAsked(const Host& host);
  void Answered(std::uint64_t number, Host& host, const Answer& answer);
  void Finish(std::uint64_t number, const Answer& answer);
  /// The connection broke, or nobody was there.
  void Lost(std::uint64_t number);
  void MoveOn(std::size_t from);
  [[nodiscard]] Nanos Delay();

  World& world_;
  const std::string name_;
  const SimChannelOptions options_;
  std::size_t current_ = 0;
  std::uint64_t next_number_ = 1;
  std::vector<Attempt> attempts_;
  std::array<int, kMaxHosts> blocked_{};
  struct Asked {
    const Host* host = nullptr;
    std::uint32_t epoch = 0;
    std::shared_ptr<bool> answered;
    [[nodiscard]] bool Open() const { return !*answered && host->epoch == epoch; }
  };
  std::vector<Asked> asked_;
  std::size_t prune_at_ = 64;
};

}  // namespace raftkv::sim
