// Does a range of more than one page show one state, whoever asks for it and whatever is written or
// restarted meanwhile?
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/process/cluster/embedded_cluster.h"
#include "tests/support/process/process_cluster.h"

namespace raftkv::test {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 60s;
constexpr int kFillers = 12;

/// 12 MB between "a" and "z": more than one page.
void Fill(KV& kv) {
  WriteOptions options;
  options.timeout = kPatience;
  for (int i = 0; i < kFillers; ++i) {
    const auto put = kv.Put("m" + std::to_string(10 + i), std::string(1'000'000, 'm'), options);
    ASSERT_TRUE(put.ok()) << put.status().ToString();
  }
}

/// Writes `a` and `z` together, a new number each time, until it ends.
class PairWriter {
 public:
  explicit PairWriter(KV& kv) : kv_(kv) {
    Write();
    thread_ = std::thread([this] {
      while (!stopping_) Write();
    });
  }
  ~PairWriter() {
    stopping_ = true;
    thread_.join();
  }
  [[nodiscard]] int written() const { return number_; }

 private:
  void Write() {
    const std::string number = std::to_string(number_ + 1);
    // What comes of it does not matter, as long as it is done whole or not at all.
    if (kv_.Write(Batch().Put("a", number).Put("z", number)).ok()) ++number_;
  }

  KV& kv_;
  std::atomic<int> number_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

/// Empty if `a` and `z` are of one write, and nothing is newer than the state that was named.
std::string Mixture(const std::vector<KeyValue>& kvs, std::uint64_t revision) {
  if (kvs.size() != kFillers + 2) return std::to_string(kvs.size()) + " pairs";
  if (kvs.front().value != kvs.back().value ||
      kvs.front().mod_revision != kvs.back().mod_revision) {
    return "a is " + kvs.front().value + ", z is " + kvs.back().value;
  }
  for (const KeyValue& kv : kvs) {
    if (kv.mod_revision > revision) {
      return kv.key + " is of " + std::to_string(kv.mod_revision) + ", the state of " +
             std::to_string(revision);
    }
  }
  return "";
}

ScanOptions Patient() {
  ScanOptions options;
  options.timeout = kPatience;
  return options;
}

TEST(Scan, ThePagesOfAGetShowOneState) {
  ProcessCluster cluster({.members = 1, .flags = {}});
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  Fill(client->kv());
  const PairWriter writer(client->kv());
  for (int i = 0; i < 10; ++i) {
    const int before = writer.written();
    RunOptions patient;
    patient.timeout = kPatience;
    const RunResult got = cluster.Cli(
        {"get", "", "--prefix", "-w", "json", "--json-strings", "--timeout", "60s"}, patient);
    ASSERT_EQ(got.exit_code, 0) << got.err;
    const auto answer = nlohmann::json::parse(got.out);
    std::vector<KeyValue> kvs;
    for (const auto& kv : answer["kvs"]) {
      kvs.push_back({kv["key"].get<std::string>(), kv["value"].get<std::string>(),
                     kv["mod_revision"].get<std::uint64_t>()});
    }
    EXPECT_EQ(Mixture(kvs, answer["header"]["revision"].get<std::uint64_t>()), "");
    // It is worth something only where it is written meanwhile.
    EXPECT_TRUE(WaitFor(kPatience, [&] { return writer.written() > before; }));
  }
}

TEST(Scan, AClientOfManyConnectionsReadsOneState) {
  ProcessCluster cluster({.members = 3, .steady = true});
  ASSERT_TRUE(cluster.StartAll());
  const auto other = cluster.Connect();
  Fill(other->kv());
  ClientOptions options;
  options.connections = 3;
  const auto client = cluster.Connect(1, std::move(options));
  const PairWriter writer(other->kv());
  for (int i = 0; i < 6; ++i) {
    const auto all = client->kv().ScanAll(KeyRange::Prefix(""), Patient());
    ASSERT_TRUE(all.ok()) << all.status().ToString();
    EXPECT_EQ(Mixture(all->kvs, all->revision), "");
  }
  const auto bounded = [&] {
    ScanOptions scan = Patient();
    scan.consistency = Consistency::kBounded;
    return client->kv().ScanAll(KeyRange::Prefix(""), scan);
  }();
  ASSERT_TRUE(bounded.ok()) << bounded.status().ToString();
  EXPECT_EQ(Mixture(bounded->kvs, bounded->revision), "");
}

TEST(Scan, EveryEmbeddedMemberReadsOneState) {
  EmbeddedCluster cluster(3, 1, /*sync=*/true);
  const Status opened = cluster.OpenAll();
  ASSERT_TRUE(opened.ok()) << opened.ToString();
  Fill(cluster.node(0).kv());
  const PairWriter writer(cluster.node(0).kv());
  for (int i = 0; i < 6; ++i) {
    const auto all = cluster.node(i % 3).kv().ScanAll(KeyRange::Prefix(""), Patient());
    ASSERT_TRUE(all.ok()) << all.status().ToString();
    EXPECT_EQ(Mixture(all->kvs, all->revision), "");
  }
}

/// The first page of everything, at the leader, written around it meanwhile.
struct Begun {
  std::unique_ptr<Client> client;
  std::size_t leader = 0;
  Result<ScanResult> first = Status(Code::kUnavailable, "not asked");
};

void BeginScan(ProcessCluster& cluster, Begun& begun) {
  const auto leader = cluster.WaitForLeader(kPatience);
  ASSERT_TRUE(leader.has_value());
  begun.leader = *leader;
  begun.client = cluster.Connect(*leader);
  begun.first = begun.client->kv().Scan(KeyRange::Prefix(""), Patient());
  ASSERT_TRUE(begun.first.ok()) << begun.first.status().ToString();
  ASSERT_TRUE(begun.first->more);
}

/// All that is left of it.
void ExpectOneState(const Begun& begun) {
  std::vector<KeyValue> kvs = begun.first->kvs;
  ScanOptions scan = Patient();
  scan.continuation = begun.first->continuation;
  while (!scan.continuation.empty()) {
    const auto page = begun.client->kv().Scan(KeyRange::Prefix(""), scan);
    ASSERT_TRUE(page.ok()) << page.status().ToString();
    kvs.insert(kvs.end(), page->kvs.begin(), page->kvs.end());
    scan.continuation = page->continuation;
  }
  EXPECT_EQ(Mixture(kvs, begun.first->revision), "");
}

class LeaderChange : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(cluster_.StartAll());
    const auto client = cluster_.Connect();
    Fill(client->kv());
    ASSERT_TRUE(client->kv().Write(Batch().Put("a", "1").Put("z", "1")).ok());
  }
  /// Moves the leadership, and writes there; false: not in time.
  bool Move(std::size_t from) {
    const std::string to = cluster_.name((from + 1) % 3);
    if (cluster_.Cli({"move-leader", to, "--timeout", "60s"}).exit_code != 0) return false;
    return cluster_.Connect()->kv().Write(Batch().Put("a", "2").Put("z", "2")).ok();
  }

  ProcessCluster cluster_{{.members = 3, .steady = true}};
};

TEST_F(LeaderChange, AScanShowsOneStateThoughTheClientFollowsTheLeader) {
  Begun begun;
  ASSERT_NO_FATAL_FAILURE(BeginScan(cluster_, begun));
  const std::uint64_t member = begun.client->LastHeader().member_id;
  ASSERT_TRUE(Move(begun.leader));
  // Until everything else goes to the new leader.
  ASSERT_TRUE(WaitFor(kPatience, [&] {
    const auto get = begun.client->kv().Get("a", {.timeout = kPatience});
    return get.ok() && get->value == "2" && begun.client->LastHeader().member_id != member;
  }));
  ExpectOneState(begun);
}

TEST_F(LeaderChange, AScanGoesOnThoughNobodyCanLead) {
  Begun begun;
  ASSERT_NO_FATAL_FAILURE(BeginScan(cluster_, begun));
  for (std::size_t i = 0; i < 3; ++i) {
    if (i != begun.leader) cluster_.Kill(i);
  }
  ASSERT_TRUE(WaitFor(kPatience, [&] {
    const auto status = cluster_.Status(begun.leader);
    return status.ok() && status->node.role != Role::kLeader;
  }));
  ExpectOneState(begun);
}

// It takes its pages as slowly as its output is read.
TEST_F(LeaderChange, AGetThatHasPrintedPagesComesToItsEnd) {
  const auto leader = cluster_.WaitForLeader(kPatience);
  ASSERT_TRUE(leader.has_value());
  int pipe[2];
  ASSERT_EQ(pipe2(pipe, O_CLOEXEC), 0);
  const std::string errors = cluster_.folder() / "get.err";
  ProcessOptions options;
  options.command = {cluster_.Command(0).front(), "get", "", "--prefix", "--timeout", "60s"};
  options.command.insert(options.command.end(), {"--endpoints", cluster_.address(*leader)});
  const int err = open(errors.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  options.files = {-1, pipe[1], err};
  Process get(std::move(options));
  close(pipe[1]);
  close(err);
  std::string out(1 << 16, '\0');
  ssize_t some = read(pipe[0], out.data(), out.size());
  ASSERT_GT(some, 0) << ReadFile(errors);
  ASSERT_TRUE(Move(*leader));
  out.resize(static_cast<std::size_t>(some));
  std::vector<char> piece(1 << 16);
  while ((some = read(pipe[0], piece.data(), piece.size())) > 0) {
    out.append(piece.data(), static_cast<std::size_t>(some));
  }
  close(pipe[0]);
  EXPECT_EQ(get.WaitForExit(kPatience), 0) << ReadFile(errors);
  EXPECT_EQ(out.substr(0, 4), "a\n1\n");
  EXPECT_EQ(out.substr(out.size() - 4), "z\n1\n");
}

TEST_F(LeaderChange, AnIteratorComesToItsEndInBothDirections) {
  for (const bool reverse : {false, true}) {
    const auto leader = cluster_.WaitForLeader(kPatience);
    ASSERT_TRUE(leader.has_value());
    const auto client = cluster_.Connect(*leader);
    ScanOptions scan = Patient();
    scan.reverse = reverse;
    RangeIterator it = client->kv().Range(KeyRange::Prefix(""), scan);
    std::vector<KeyValue> kvs;
    for (int i = 0; i < 3 && it.Next(); ++i) kvs.push_back(*it);
    ASSERT_EQ(kvs.size(), 3U) << it.status().ToString();
    ASSERT_TRUE(Move(*leader));
    while (it.Next()) kvs.push_back(*it);
    EXPECT_TRUE(it.status().ok()) << it.status().ToString();
    if (reverse) std::reverse(kvs.begin(), kvs.end());
    EXPECT_EQ(Mixture(kvs, it.revision()), "");
    EXPECT_EQ(it.count(), kvs.size());
  }
}

TEST_F(LeaderChange, AMultiGetAnswersFromOneState) {
  const auto client = cluster_.Connect();
  const PairWriter writer(client->kv());
  const auto reader = cluster_.Connect(1);
  for (int i = 0; i < 50; ++i) {
    const auto found = reader->kv().GetMany({"z", "none", "a"}, {.timeout = kPatience});
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    ASSERT_EQ(found->kvs.size(), 3U);
    EXPECT_EQ(found->kvs[0]->value, found->kvs[2]->value);
    EXPECT_FALSE(found->kvs[1].has_value());
    EXPECT_LE(found->kvs[0]->mod_revision, found->revision);
  }
}

TEST(Scan, AnotherMemberAndALaterStartContinueAScan) {
  ProcessCluster cluster({.members = 3});
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  Fill(client->kv());
  WriteOptions patient;
  patient.timeout = kPatience;
  ASSERT_TRUE(client->kv().Write(Batch().Put("a", "1").Put("z", "1"), patient).ok());
  for (const bool restart : {false, true}) {
    SCOPED_TRACE(restart ? "restarted" : "another member");
    Begun begun;
    ASSERT_NO_FATAL_FAILURE(BeginScan(cluster, begun));
    cluster.Kill(begun.leader);
    if (restart) {
      ASSERT_TRUE(cluster.Start(begun.leader));
    }
    const auto put = cluster.Connect((begun.leader + 1) % 3)
                         ->kv()
                         .Write(Batch().Put("a", "2").Put("z", "2"), patient);
    ASSERT_TRUE(put.ok()) << put.status().ToString();
    ExpectOneState(begun);
    if (!restart) {
      ASSERT_TRUE(cluster.Start(begun.leader));
    }
  }
}

TEST(Scan, EndsWhereItsRevisionIsCompacted) {
  ProcessCluster cluster({.members = 1, .flags = {}});
  ASSERT_TRUE(cluster.StartAll());
  const auto client = cluster.Connect();
  Fill(client->kv());
  const auto first = client->kv().Scan(KeyRange::Prefix(""), Patient());
  ASSERT_TRUE(first.ok()) << first.status().ToString();
  const auto put = client->kv().Put("z", "new");
  ASSERT_TRUE(put.ok()) << put.status().ToString();
  ASSERT_TRUE(client->kv().Compact(put->revision).ok());
  ScanOptions scan = Patient();
  scan.continuation = first->continuation;
  const auto second = client->kv().Scan(KeyRange::Prefix(""), scan);
  EXPECT_EQ(second.code(), Code::kCompacted) << second.status().ToString();
}

}  // namespace
}  // namespace raftkv::test
