#include "tests/support/node/node_world.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/raft/configuration.h"

namespace raftkv::test {

namespace {

constexpr Duration kReconnect = std::chrono::milliseconds(200);

raft::InitialState FromDisk(const WorldDisk& disk) {
  raft::InitialState initial;
  initial.hard_state = disk.hard_state;
  for (const raft::Entry& entry : disk.log) {
    if (initial.term_runs.empty() || initial.term_runs.back().term != entry.term) {
      initial.term_runs.push_back({entry.term, entry.index});
    }
    initial.last_index = entry.index;
    if (entry.kind == raft::EntryKind::kConfiguration) {
      initial.configurations.emplace_back(entry.index,
                                          *raft::DecodeConfiguration(entry.payload.view()));
    }
  }
  return initial;
}

}  // namespace

// --- One member.

WorldMember::WorldMember(NodeWorld& world, std::string name, std::string address, WorldDisk& disk,
                         std::vector<MemberAddress> cluster, bool join)
    : world_(world), name_(std::move(name)), address_(std::move(address)), disk_(disk) {
  if (disk_.birth.member == kNobody) disk_.birth.member = NodeId(world_.random_.Next() | 1);
  disk_.birth.name = name_;
  ++disk_.birth.boot.counter;
  disk_.birth.boot.nonce = world_.random_.Next();
  auto store = kv::Store::Open(*disk_.engine, {});
  RAFTKV_CHECK(store.ok(), store.status().ToString());
  store_ = *std::move(store);
  retention_.Note(*store_, /*bytes=*/0);
  node::Birth birth = disk_.birth;
  birth.raft = FromDisk(disk_);
  birth.raft.applied = store_->applied();
  if (disk_.suspect) birth.raft.suspect = disk_.birth.boot.nonce;
  node::MemberOptions options;
  options.name = name_;
  options.advertise = address_;
  options.etcd_url = "http://" + address_ + ":2379";
  options.opaque_addresses = true;
  options.cluster = std::move(cluster);
  options.join = join;
  options.messages_may_be_lost = world_.copies_ != nullptr;
  options.seed = world_.random_.Next();
  const auto log = [this](node::LogSeverity, const std::string& line) {
    world_.lines_.push_back(name_ + ": " + line);
  };
  member_ =
      std::make_unique<node::Member>(options, birth, store_->replicated_time_ms(),
                                     node::Ports{*this, *this, *this, *this, *this, *this, log});
}

MonoTime WorldMember::Now() { return world_.now_; }
std::uint64_t WorldMember::WallTimeMs() {
  return 1'700'000'000'000 + std::chrono::duration_cast<std::chrono::milliseconds>(
                                 world_.now_.time_since_epoch() - world_.wall_clock_behind_)
                                 .count();
}

/// Work of a member that has crashed meanwhile is dropped.
void WorldMember::Later(Duration delay, OnceFunction<void()> work) {
  std::weak_ptr<WorldMember> self = world_.running_.at(name_);
  world_.At(world_.now_ + delay, [self, work = std::move(work)]() mutable {
    if (self.lock()) work();
  });
}

void WorldMember::Write(node::LogWrite write, node::DoneStatus done) {
  ++log_writes_;
  OnceFunction<void()> end = [this, write = std::move(write), done = std::move(done)]() mutable {
    if (!next_write_fails_.ok()) {
      done(std::exchange(next_write_fails_, {}));
      return;
    }
    if (write.hard_state) disk_.hard_state = *write.hard_state;
    if (write.refilled) disk_.suspect = false;
    if (!write.entries.empty()) {
      const std::size_t keep = write.entries.front().index - Index{1};
      RAFTKV_CHECK(keep <= disk_.log.size());
      disk_.log.resize(keep);
      disk_.log.insert(disk_.log.end(), write.entries.begin(), write.entries.end());
    }
    done(Status::Ok());
  };
  if (disk_hangs_) {
    hung_write_ = std::move(end);
  } else {
    Later(world_.disk_delay_, std::move(end));
  }
}

void WorldMember::HangDisk(bool hangs) {
  disk_hangs_ = hangs;
  if (hung_write_) Later(NodeWorld::kDiskDelay, std::exchange(hung_write_, nullptr));
}

void WorldMember::Read(Index first, Index last, std::size_t,
                       node::Done<std::vector<raft::Entry>> done) {
  if (reads_to_fail_ > 0) {
    --reads_to_fail_;
    Later(NodeWorld::kDiskDelay, [this, done = std::move(done)]() mutable { done(read_failure_); });
    return;
  }
  const std::vector<raft::Entry> entries(disk_.log.begin() + (first - Index{1}),
                                         disk_.log.begin() + (last - Index{0}));
  Later(NodeWorld::kDiskDelay, [entries, done = std::move(done)]() mutable { done(entries); });
}

void WorldMember::Apply(std::vector<raft::Entry> entries, node::Done<node::Applied> done) {
  Later(NodeWorld::kDiskDelay,
        [this, entries = std::move(entries), done = std::move(done)]() mutable {
          auto applied = store_->Apply(entries);
          if (!applied.ok()) {
            done(applied.status());
            return;
          }
          retention_.Note(*store_, kv::Store::PastBytes(*applied));
          node::Applied result{store_->applied(), store_->replicated_time_ms(), {}};
          for (auto& entry : *applied) {
            result.responses.push_back(std::move(entry.response));
            if (entry.changes != nullptr) result.changes.push_back(std::move(entry.changes));
          }
          result.revisions = store_->revisions();
          result.event_bytes = store_->settings().event_bytes;
          done(std::move(result));
        });
}

void WorldMember::ReadEvents(kv::WatchOp op, std::uint64_t last,
                             node::Done<kv::WatchLogPage> done) {
  auto page = kv::ReadWatchLog(*disk_.engine, op, last);
  Later(NodeWorld::kDiskDelay,
        [page = std::move(page), done = std::move(done)]() mutable { done(std::move(page)); });
}

void WorldMember::Read(Bytes request, std::size_t max_bytes, std::uint64_t clock_ms,
                       node::Done<Bytes> done) {
  Result<Bytes> answer = kv::Read(*disk_.engine, kv::ReadTier::kAll, request.view(), max_bytes,
                                  kv::kMaxVisitedBytes, clock_ms);
  Later(Duration(1), [answer, done = std::move(done)]() mutable { done(answer); });
}

void WorldMember::SetPeers(std::vector<Peer> peers) {
  ++peers_version_;
  connected_.clear();
  peers_ = std::move(peers);
  for (const Peer& peer : peers_) SayHello(peer, 0);
}

/// At the address with the number `at`, and then at the next one.
void WorldMember::SayHello(const Peer& peer, std::size_t at) {
  Later(NodeWorld::kLinkDelay, [this, peer, at, version = peers_version_] {
    if (version != peers_version_) return;
    const auto again = [this, peer, version](Duration delay, std::size_t next) {
      Later(delay, [this, peer, version, next] {
        if (version == peers_version_) SayHello(peer, next);
      });
    };
    const std::size_t next = (at + 1) % (peer.also.size() + 1);
    const std::string address = at == 0 ? peer.address : peer.also[at - 1];
    WorldMember* other = world_.FindAt(address);
    if (other == nullptr || world_.cut_.count({name_, other->name_}) != 0) {
      again(kReconnect, next);
      return;
    }
    std::weak_ptr<WorldMember> self = world_.running_.at(name_);
    const node::Dialled dialled{peer.id, peer.name, address};
    other->member().OnHello(
        member_->MakeHello(peer.id, peer.name),
        [this, self, peer, at, next, version, again, dialled](const node::HelloAnswer& answer) {
          if (!self.lock() || version != peers_version_) return;
          const Status status = member_->OnHelloAnswer(answer, dialled);
          if (version != peers_version_) return;
          if (status.ok()) {
            connected_.insert(answer.self.member);
          } else if (status.code() == Code::kUnavailable) {
            again(node::Member::kFormationPoll, at);
          } else {
            again(kReconnect, next);
          }
        });
  });
}

void WorldMember::Send(NodeId to, node::PeerMessage message) {
  const NodeId from = disk_.birth.member;
  for (auto& [name, other] : world_.running_) {
    if (other->disk_.birth.member != to || connected_.count(to) == 0) continue;
    if (world_.cut_.count({name_, name}) != 0) return;
    const int copies = world_.copies_ ? world_.copies_(name_, message) : 1;
    for (int copy = 0; copy < copies; ++copy) {
      other->Later(world_.link_delay_ * (1 + copy),
                   [target = other.get(), from, boot = disk_.birth.boot, message] {
                     target->member().Receive(from, boot, message);
                   });
    }
    return;
  }
}

void WorldMember::SaveFormation(ClusterId cluster, Bytes payload, node::DoneStatus done) {
  Later(NodeWorld::kDiskDelay, [this, cluster, payload, done = std::move(done)]() mutable {
    disk_.birth.cluster = cluster;
    disk_.birth.formation = payload;
    disk_.hard_state = {Term{1}, kNobody, Index{1}};
    disk_.log = {{Index{1}, Term{1}, raft::EntryKind::kConfiguration, 0, payload}};
    done(Status::Ok());
  });
}

void WorldMember::SavePeerBoot(NodeId peer, node::PeerBoot boot, node::DoneStatus done) {
  Later(NodeWorld::kDiskDelay, [this, peer, boot, done = std::move(done)]() mutable {
    disk_.birth.peer_boots[peer] = boot;
    done(Status::Ok());
  });
}

// --- The world.

NodeWorld::~NodeWorld() {
  while (!events_.empty()) events_.extract(events_.begin());
  running_.clear();
}

WorldMember& NodeWorld::Start(const std::string& name, const std::vector<std::string>& cluster,
                              bool join, const std::string& address) {
  RAFTKV_CHECK(running_.count(name) == 0, name);
  std::vector<MemberAddress> list;
  for (const std::string& member : cluster) list.push_back({member, member});
  auto member = std::make_shared<WorldMember>(*this, name, address.empty() ? name : address,
                                              disks_[name], std::move(list), join);
  running_[name] = member;
  member->member().Start();
  return *member;
}

void NodeWorld::Crash(const std::string& name) {
  const NodeId id = disks_[name].birth.member;
  running_.erase(name);
  for (auto& [other_name, other] : running_) {
    other->connected_.erase(id);
    other->Later(NodeWorld::kLinkDelay,
                 [target = other.get(), id] { target->member().PeerDisconnected(id); });
    // Its connections to the crashed one break as well, and are made again once it is back.
    for (const node::Transport::Peer& peer : std::vector(other->peers_)) {
      if (peer.id == id) other->SayHello(peer, 0);
    }
  }
}

WorldDisk NodeWorld::CopyDisk(const std::string& name) {
  WorldDisk copy = disks_[name];
  copy.engine = std::make_shared<FakeEngine>(*disks_[name].engine);
  return copy;
}

WorldMember* NodeWorld::Find(const std::string& name) {
  const auto it = running_.find(name);
  return it == running_.end() ? nullptr : it->second.get();
}

WorldMember* NodeWorld::FindAt(const std::string& address) {
  for (const auto& [name, member] : running_) {
    if (member->address_ == address) return member.get();
  }
  return nullptr;
}

void NodeWorld::At(MonoTime when, OnceFunction<void()> work) {
  events_.emplace(when, std::move(work));
}

void NodeWorld::PumpAll() {
  for (auto& [name, member] : running_) member->member().Pump();
}

/// One event, or one deadline of a member; false: nothing is due before `until`.
bool NodeWorld::Step(MonoTime until) {
  MonoTime next = until;
  for (auto& [name, member] : running_) next = std::min(next, member->member().NextDeadline());
  if (!events_.empty() && events_.begin()->first <= next) {
    auto event = events_.extract(events_.begin());
    now_ = std::max(now_, event.key());
    event.mapped()();
  } else if (next < until) {
    now_ = std::max(now_, next);
  } else {
    now_ = until;
    return false;
  }
  PumpAll();
  return true;
}

void NodeWorld::StandStill(Duration time) { now_ += time; }

void NodeWorld::RunFor(Duration time) {
  PumpAll();
  const MonoTime until = now_ + time;
  while (Step(until)) {
  }
}

bool NodeWorld::RunUntil(const std::function<bool()>& condition, Duration limit) {
  PumpAll();
  const MonoTime until = now_ + limit;
  while (!condition()) {
    if (!Step(until)) return condition();
  }
  return true;
}

WorldMember* NodeWorld::Leader() {
  WorldMember* leader = nullptr;
  for (auto& [name, member] : running_) {
    const raft::Raft* core = member->member().core();
    if (core == nullptr || core->role() != raft::Role::kLeader) continue;
    if (!core->committed_in_term()) continue;
    if (leader == nullptr || core->term() > leader->member().core()->term()) leader = member.get();
  }
  return leader;
}

bool NodeWorld::Put(const std::string& at, const std::string& key, const std::string& value) {
  // A session of its own a put: opened now, in replicated time.
  bool acknowledged = false;
  RunUntil(
      [&] {
        WorldMember* member = Find(at);
        if (member == nullptr) return false;
        const kv::RequestHeader header{++sequence_, member->member().replicated_time_ms(), 1, 1};
        const Bytes request = kv::EncodeRequest(header, {kv::PutOp{key, value}});
        auto outcome = std::make_shared<std::optional<node::SubmitOutcome>>();
        member->member().Submit(request, now_ + std::chrono::seconds(2),
                                [outcome](node::SubmitOutcome o) { *outcome = std::move(o); });
        RunUntil([&] { return outcome->has_value(); }, std::chrono::seconds(3));
        if (!outcome->has_value() || !(*outcome)->status.ok()) return false;
        const auto response = kv::DecodeResponse((*outcome)->response.view(), 1);
        acknowledged = response.ok() && response->code == Code::kOk;
        return acknowledged;
      },
      std::chrono::seconds(30));
  return acknowledged;
}

Result<std::string> NodeWorld::Read(const std::string& at, const std::string& key,
                                    Consistency consistency, Duration limit,
                                    std::uint64_t revision) {
  WorldMember* member = Find(at);
  if (member == nullptr) return Status(Code::kUnavailable, at + " does not run");
  auto answer = std::make_shared<std::optional<Result<Bytes>>>();
  const Bytes request =
      kv::EncodeReadRequest({kv::ReadOp{.range = kv::Range::Single(key), .revision = revision}});
  member->member().Read(request, {consistency}, now_ + limit,
                        [answer](Result<Bytes> bytes) { *answer = std::move(bytes); });
  RunUntil([&] { return answer->has_value(); }, limit + std::chrono::seconds(1));
  if (!answer->has_value()) return Status(Code::kDeadlineExceeded, "no answer");
  if (!(*answer)->ok()) return (*answer)->status();
  const auto results = kv::DecodeReadResponse((**answer)->view());
  if (!results.ok()) return results.status();
  if (results->size() != 1)
    return Status(Code::kCorruption, "another number of results than reads");
  const auto& kvs = results->front().kvs;
  return kvs.empty() ? std::string() : kvs.front().value;
}

std::optional<std::string> NodeWorld::Get(const std::string& at, const std::string& key,
                                          Duration limit) {
  const Result<std::string> value = Read(at, key, Consistency::kLinearizable, limit);
  return value.ok() ? std::optional(*value) : std::nullopt;
}

Result<std::string> NodeWorld::GetLocal(const std::string& at, const std::string& key) {
  return Read(at, key, Consistency::kLocal, std::chrono::seconds(1));
}

bool NodeWorld::Logged(const std::string& text) const {
  return std::any_of(lines_.begin(), lines_.end(),
                     [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

}  // namespace raftkv::test
