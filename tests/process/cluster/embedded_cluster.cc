#include "tests/process/cluster/embedded_cluster.h"

#include <cstdio>
#include <set>
#include <utility>

#include "tests/support/process/key_files.h"
#include "tests/support/process/process.h"

namespace raftkv::test {

namespace {

/// Short, since most of the time of these tests is elections.
constexpr std::chrono::milliseconds kElectionTimeout(100);
constexpr std::chrono::milliseconds kHeartbeat(25);
constexpr std::chrono::seconds kPatience(30);

std::string KeyOf(int writer, std::uint64_t number) {
  char text[40];
  std::snprintf(text, sizeof text, "w%d-%08llu", writer, static_cast<unsigned long long>(number));
  return text;
}

std::string CounterOf(int writer) { return "c" + std::to_string(writer); }

}  // namespace

EmbeddedCluster::EmbeddedCluster(int members, std::uint64_t seed, bool sync, bool encrypted)
    : random_(seed), sync_(sync), encrypted_(encrypted) {
  for (int i = 0; i < members; ++i) {
    Machine machine;
    machine.fs = std::make_shared<CrashFs>(random_.Next());
    machine.env = rocksdb::NewCompositeEnv(machine.fs);
    machine.address = FreeAddress();
    machines_.push_back(std::move(machine));
  }
}

EmbeddedCluster::~EmbeddedCluster() {
  for (Machine& machine : machines_) machine.node.reset();
}

Status EmbeddedCluster::Open(int member) {
  Machine& machine = machines_[member];
  NodeOptions options;
  options.name = "n" + std::to_string(member + 1);
  options.data_dir = "/data";
  options.listen = machine.address;
  options.election_timeout = kElectionTimeout;
  options.heartbeat = kHeartbeat;
  options.log_level = LogLevel::kOff;
  // So that logs are cut, tables flushed and snapshots installed all the time.
  options.log_keep_entries = 16;
  options.log_keep_bytes = 1 << 20;
  if (encrypted_) options.encryption_key_file = KeyFile(member + 1);
  if (size() > 1) {
    for (int i = 0; i < size(); ++i) {
      options.cluster.push_back({"n" + std::to_string(i + 1), machines_[i].address});
    }
  }
  ++machine.boots;
  OpenInternals internals{machine.env.get(), "boot-" + std::to_string(machine.boots), sync_};
  auto node = OpenWith(std::move(options), internals);
  if (!node.ok()) return node.status();
  machine.node = *std::move(node);
  return Status::Ok();
}

Status EmbeddedCluster::OpenAll() {
  for (int i = 0; i < size(); ++i) {
    if (machines_[i].node) continue;
    if (Status status = Open(i); !status.ok()) return status;
  }
  return WaitForLeaders();
}

Status EmbeddedCluster::WaitForLeaders() {
  for (Machine& machine : machines_) {
    if (Status status = machine.node->WaitForLeader(kPatience); !status.ok()) return status;
  }
  return Status::Ok();
}

Status EmbeddedCluster::Reboot(int member) {
  machines_[member].node.reset();
  machines_[member].fs->Reboot(random_.Next());
  return Open(member);
}

Status EmbeddedCluster::RebootUntil(int member, std::uint64_t operation) {
  machines_[member].node.reset();
  machines_[member].fs->Reboot(random_.Next());
  machines_[member].fs->CrashAt(operation);
  return Open(member);
}

std::uint64_t EmbeddedCluster::SyncCount(int member) {
  return static_cast<OpenNode&>(*machines_[member].node).sync_count();
}

PromiseKeeper::PromiseKeeper(EmbeddedCluster& cluster, int writers) : cluster_(cluster) {
  for (int i = 0; i < writers; ++i) writers_.push_back(std::make_unique<Writer>());
}

void PromiseKeeper::Start() {
  stopping_ = false;
  for (std::size_t i = 0; i < writers_.size(); ++i) {
    Writer& writer = *writers_[i];
    writer.thread = std::thread([this, i, &writer] { Run(static_cast<int>(i), writer); });
  }
}

void PromiseKeeper::Stop() {
  stopping_ = true;
  for (auto& writer : writers_) {
    if (writer->thread.joinable()) writer->thread.join();
  }
}

std::uint64_t PromiseKeeper::acknowledged() const {
  std::uint64_t sum = 0;
  for (const auto& writer : writers_) sum += writer->acknowledged;
  return sum;
}

void PromiseKeeper::Run(int number, Writer& writer) {
  WriteOptions options;
  options.timeout = std::chrono::milliseconds(200);
  int at = number;
  while (!stopping_) {
    KV& kv = cluster_.node(at % cluster_.size()).kv();
    const std::uint64_t key = writer.next++;
    const auto put =
        kv.Put(KeyOf(number, key), std::string(200, 'v') + std::to_string(key), options);
    if (put.ok()) {
      writer.kept.push_back(key);
      ++writer.acknowledged;
    } else {
      ++at;  // this member may be the one that is gone
    }
    if (stopping_) break;
    ++writer.tried;
    if (kv.Increment(CounterOf(number), 1, options).ok()) ++writer.counted;
  }
}

std::string PromiseKeeper::Check(int member) {
  KV& kv = cluster_.node(member).kv();
  for (std::size_t i = 0; i < writers_.size(); ++i) {
    const Writer& writer = *writers_[i];
    const int number = static_cast<int>(i);
    std::set<std::string> found;
    ScanOptions scan;
    scan.timeout = kPatience;
    const auto all = kv.ScanAll(KeyRange::Prefix("w" + std::to_string(i) + "-"), scan);
    if (!all.ok()) return "a scan failed: " + all.status().ToString();
    for (const KeyValue& pair : all->kvs) found.insert(pair.key);
    for (const std::uint64_t key : writer.kept) {
      if (found.count(KeyOf(number, key)) == 0) return "lost: " + KeyOf(number, key);
    }
    ReadOptions read;
    read.timeout = kPatience;
    const auto counter = kv.Get(CounterOf(number), read);
    if (!counter.ok() && counter.code() != Code::kNotFound) {
      return "a get failed: " + counter.status().ToString();
    }
    const std::int64_t value = counter.ok() ? std::stoll(counter->value) : 0;
    if (value < writer.counted || value > writer.tried) {
      return "the counter of writer " + std::to_string(i) + " is " + std::to_string(value) + ", " +
             std::to_string(writer.counted) + " to " + std::to_string(writer.tried) +
             " increments were carried out";
    }
  }
  return {};
}

}  // namespace raftkv::test
