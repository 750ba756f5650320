#include "tests/storage/member/store_world.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/raft/configuration.h"

namespace raftkv::test {

namespace {

/// Runs `call` with a completion and waits for it.
template <class T, class Call>
T Await(TestLoop& loop, const Call& call) {
  auto outcome = std::make_shared<std::optional<T>>();
  call([outcome](T result) { *outcome = std::move(result); });
  if (!loop.RunUntil([&] { return outcome->has_value(); })) {
    return T(Status(Code::kDeadlineExceeded, "no completion came"));
  }
  return std::move(**outcome);
}

}  // namespace

void TestLoop::Post(OnceFunction<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
}

bool TestLoop::RunUntil(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!done()) {
    OnceFunction<void()> work;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait_until(lock, deadline, [this] { return !queue_.empty(); })) return false;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
  return true;
}

StoreWorld::StoreWorld(std::shared_ptr<CrashFs> disk)
    : fs(std::move(disk)), env(rocksdb::NewCompositeEnv(fs)) {
  options.dir = "/data/n1";
  options.name = "n1";
  options.env = env.get();
  options.machine_boot = "boot-1";
  options.executor = loop.executor();
}

Status StoreWorld::Open() {
  Result<std::unique_ptr<storage::Store>> opened = storage::Open(options);
  if (!opened.ok()) return opened.status();
  store = std::move(*opened);
  return Status::Ok();
}

Status StoreWorld::CloseCleanly() {
  const Status closed = store->Close();
  store.reset();
  return closed;
}

Status StoreWorld::Write(node::LogWrite write) {
  return Await<Status>(
      loop, [&](node::DoneStatus done) { store->log().Write(std::move(write), std::move(done)); });
}

Status StoreWorld::WriteEntries(Index first, Term term, int count, std::size_t payload_bytes,
                                Index commit) {
  node::LogWrite write;
  write.hard_state = raft::HardState{term, kNobody, commit};
  write.entries = MakeEntries(first, term, count, payload_bytes);
  write.sync = true;
  return Write(std::move(write));
}

Status StoreWorld::Form(ClusterId cluster, const std::vector<NodeId>& others) {
  const Bytes payload = TestConfiguration(cluster, store->birth().member, others);
  return Await<Status>(loop, [&](node::DoneStatus done) {
    store->meta().SaveFormation(cluster, payload, std::move(done));
  });
}

Result<std::vector<raft::Entry>> StoreWorld::Read(Index first, Index last, std::size_t max_bytes) {
  return Await<Result<std::vector<raft::Entry>>>(
      loop, [&](node::Done<std::vector<raft::Entry>> done) {
        store->log().Read(first, last, max_bytes, std::move(done));
      });
}

Result<node::Applied> StoreWorld::Apply(std::vector<raft::Entry> entries) {
  return Await<Result<node::Applied>>(loop, [&](node::Done<node::Applied> done) {
    store->machine().Apply(std::move(entries), std::move(done));
  });
}

Result<node::Snapshots::Made> StoreWorld::MakeSnapshot() {
  using Made = node::Snapshots::Made;
  return Await<Result<Made>>(
      loop, [&](node::Done<Made> done) { store->snapshots().Make(std::move(done)); });
}

Result<node::SnapshotSource::Part> StoreWorld::ReadPart(node::SnapshotSource& source,
                                                        std::uint64_t offset,
                                                        std::size_t max_bytes) {
  using Part = node::SnapshotSource::Part;
  return Await<Result<Part>>(
      loop, [&](node::Done<Part> done) { source.Read(offset, max_bytes, std::move(done)); });
}

Result<std::uint64_t> StoreWorld::Receive(const raft::SnapshotMeta& meta, std::uint64_t id,
                                          std::uint64_t offset,
                                          const node::SnapshotSource::Part& part) {
  return Await<Result<std::uint64_t>>(loop, [&](node::Done<std::uint64_t> done) {
    store->snapshots().Receive(meta, id, offset, part.data, part.last, std::move(done));
  });
}

Result<std::uint64_t> StoreWorld::Install(const raft::SnapshotMeta& meta, node::LogWrite write) {
  return Await<Result<std::uint64_t>>(loop, [&](node::Done<std::uint64_t> done) {
    store->snapshots().Install(meta, std::move(write), std::move(done));
  });
}

Bytes TestPayload(Index index, Term term, std::size_t bytes) {
  std::string text =
      "entry " + std::to_string(index.value) + " of term " + std::to_string(term.value) + " ";
  while (text.size() < bytes) text.push_back(static_cast<char>('a' + text.size() % 26));
  return Bytes(std::move(text));
}

std::vector<raft::Entry> MakeEntries(Index first, Term term, int count, std::size_t bytes) {
  std::vector<raft::Entry> entries;
  for (int i = 0; i < count; ++i) {
    raft::Entry entry;
    entry.index = first + static_cast<std::uint64_t>(i);
    entry.term = term;
    entry.kind = raft::EntryKind::kNoop;
    entry.time_ms = 1000 + entry.index.value;
    entry.payload = TestPayload(entry.index, term, bytes);
    entries.push_back(std::move(entry));
  }
  return entries;
}

Bytes TestConfiguration(ClusterId cluster, NodeId member, const std::vector<NodeId>& others) {
  raft::Configuration configuration;
  configuration.cluster = cluster;
  std::vector<NodeId> members = others;
  members.insert(members.begin(), member);
  for (std::size_t i = 0; i < members.size(); ++i) {
    raft::Member added;
    added.id = members[i];
    added.name = "n" + std::to_string(i + 1);
    added.address = "127.0.0.1:" + std::to_string(7001 + i);
    configuration.members.push_back(std::move(added));
  }
  std::sort(configuration.members.begin(), configuration.members.end(),
            [](const raft::Member& a, const raft::Member& b) { return a.id < b.id; });
  return raft::EncodeConfiguration(configuration);
}

}  // namespace raftkv::test
