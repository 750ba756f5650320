// Which snapshots do tests send from one store to another, and how?
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/base/bytes.h"
#include "lib/base/random.h"
#include "lib/kv/request.h"
#include "lib/raft/configuration.h"
#include "tests/storage/member/store_world.h"
#include "tests/support/process/key_files.h"

namespace raftkv::test {

using Part = node::SnapshotSource::Part;

inline constexpr std::size_t kPartBytes = 16 << 10;

inline raft::Entry Command(Index index, std::uint64_t sequence,
                           std::vector<kv::Operation> operations) {
  kv::RequestHeader header;
  header.session = 5;
  header.opened_at_ms = 1;
  header.sequence = sequence;
  header.acknowledged_below = sequence;
  raft::Entry entry;
  entry.index = index;
  entry.term = Term(2);
  entry.time_ms = 1000;
  entry.payload = kv::EncodeRequest(header, operations);
  return entry;
}

inline std::string RandomText(Random& chance, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) AppendBigEndian64(text, chance.Next());
  return text;
}

/// A formed member that has applied `entries` from index 2 on; `flushed`: and has them in a table.
inline void Apply(StoreWorld& world, std::vector<raft::Entry> entries, bool flushed,
                  Term term = Term(2)) {
  node::LogWrite write;
  write.entries = entries;
  write.hard_state = raft::HardState{term, kNobody, entries.back().index};
  write.sync = true;
  ASSERT_TRUE(world.Write(write).ok());
  const Result<node::Applied> applied = world.Apply(std::move(entries));
  ASSERT_TRUE(applied.ok()) << applied.status().ToString();
  if (!flushed) return;
  ASSERT_TRUE(world.CloseCleanly().ok());
  ASSERT_TRUE(world.Open().ok());
}

inline void OpenFormed(StoreWorld& world) {
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  ASSERT_TRUE(world.Apply(*world.Read(Index(1), Index(1), 1 << 20)).ok());
}

/// Some keys of 10 KB each, in two tables; "deleted" is deleted, "counter" is 1.
inline void FillSender(StoreWorld& world, Random& chance) {
  OpenFormed(world);
  std::vector<raft::Entry> entries;
  for (std::uint64_t i = 2; i <= 30; ++i) {
    entries.push_back(
        Command(Index(i), i, {kv::PutOp{"key" + std::to_string(i), RandomText(chance, 10'000)}}));
  }
  Apply(world, entries, /*flushed=*/true);
  Apply(world,
        {Command(Index(31), 31, {kv::PutOp{"deleted", "x"}}),
         Command(Index(32), 32, {kv::DeleteOp{kv::Range::Single("deleted")}}),
         Command(Index(33), 33, {kv::IncrementOp{"counter", 1}})},
        /*flushed=*/true);
}

/// Has an early part of the log, "deleted" among its keys, and other entries behind it.
inline void FillReceiver(StoreWorld& world) {
  OpenFormed(world);
  Apply(world, {Command(Index(2), 2, {kv::PutOp{"deleted", "still here"}})}, /*flushed=*/true);
  node::LogWrite write;
  write.entries = MakeEntries(Index(3), Term(2), 60, 100);
  write.hard_state = raft::HardState{Term(2), kNobody, Index(2)};
  write.sync = true;
  ASSERT_TRUE(world.Write(write).ok());
}

inline std::uint64_t HashOf(StoreWorld& world) {
  const auto hash = kv::HashContent(*world.store->engine());
  EXPECT_TRUE(hash.ok());
  return hash.ok() ? hash->hash : 0;
}

inline std::string ValueOf(kv::Engine& engine, const std::string& key) {
  kv::ReadOp op;
  op.range = kv::Range::Single(key);
  const auto answer =
      kv::Read(engine, kv::ReadTier::kAll, kv::EncodeReadRequest({op}).view(), 1 << 20);
  EXPECT_TRUE(answer.ok());
  const auto decoded = kv::DecodeReadResponse(answer->view());
  EXPECT_TRUE(decoded.ok());
  return decoded->at(0).kvs.empty() ? "(none)" : decoded->at(0).kvs.at(0).value;
}

inline raft::SnapshotMeta MetaOf(const StoreWorld& sender, Index applied) {
  const auto configuration = raft::DecodeConfiguration(
      TestConfiguration(ClusterId(77), sender.store->birth().member).view());
  EXPECT_TRUE(configuration.ok());
  return {{applied, Term(2)}, *configuration, Index(1)};
}

/// A snapshot, and all that it sends.
struct Snapshot {
  raft::SnapshotMeta meta;
  std::uint64_t id = 0;
  std::map<std::uint64_t, Part> parts;
  std::uint64_t total = 0;
};

inline Snapshot TakeSnapshot(StoreWorld& sender) {
  Snapshot snapshot;
  const auto made = sender.MakeSnapshot();
  EXPECT_TRUE(made.ok()) << made.status().ToString();
  if (!made.ok()) return snapshot;
  snapshot.meta = MetaOf(sender, made->applied);
  snapshot.id = made->id;
  while (true) {
    const auto part = sender.ReadPart(*made->source, snapshot.total, kPartBytes);
    EXPECT_TRUE(part.ok()) << part.status().ToString();
    if (!part.ok()) return snapshot;
    EXPECT_FALSE(part->data.empty());
    snapshot.parts[snapshot.total] = *part;
    snapshot.total += part->data.size();
    if (part->last) return snapshot;
  }
}

/// What went over the wire, and how it ended.
struct Transfer {
  std::uint64_t bytes = 0;
  Status status;
  bool whole = false;
};

/// Sends what is wanted until all is there, `most_bytes` were sent, or it fails.
inline Transfer Send(const Snapshot& snapshot, StoreWorld& receiver,
                     std::uint64_t most_bytes = UINT64_MAX,
                     const std::function<void(std::uint64_t, std::string&)>& spoil = nullptr) {
  Transfer transfer;
  std::uint64_t offset = 0;
  while (transfer.bytes < most_bytes) {
    Part part;
    part.last = true;
    if (offset < snapshot.total) {
      // Wanted from the middle of one, a part is cut.
      const auto after = snapshot.parts.upper_bound(offset);
      const auto& [begin, whole] = *std::prev(after);
      std::string data(whole.data.view().substr(offset - begin));
      if (spoil) spoil(offset, data);
      part = {Bytes(std::move(data)), whole.last};
    }
    transfer.bytes += part.data.size();
    const auto next = receiver.Receive(snapshot.meta, snapshot.id, offset, part);
    if (!next.ok()) {
      transfer.status = next.status();
      return transfer;
    }
    if (part.last && *next == snapshot.total) {
      transfer.whole = true;
      return transfer;
    }
    offset = *next;
  }
  return transfer;
}

inline node::LogWrite NewTerm(Index commit = Index(2)) {
  node::LogWrite write;
  write.hard_state = raft::HardState{Term(3), kNobody, commit};
  write.sync = true;
  return write;
}

/// A sender and a receiver that have nothing in common but the first entry.
class SnapshotTest : public testing::Test {
 protected:
  void SetUp() override {
    FillSender(sender, chance);
    FillReceiver(receiver);
  }

  Random chance{1};
  StoreWorld sender;
  StoreWorld receiver;
};

/// Each has a key of its own.
class EncryptedSnapshotTest : public SnapshotTest {
 protected:
  void SetUp() override {
    sender.options.encryption_key_file = KeyFile(1);
    receiver.options.encryption_key_file = KeyFile(2);
    SnapshotTest::SetUp();
  }
};

}  // namespace raftkv::test
