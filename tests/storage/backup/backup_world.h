// How does a test make a backup of a store on a disk in memory?
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/kv/request.h"
#include "lib/kv/store.h"
#include "lib/node/backup.h"
#include "storage/backup/backup_writer.h"
#include "storage/snapshot/backup_source.h"
#include "tests/storage/member/store_world.h"

namespace raftkv::test {

/// A request of session 5.
inline raft::Entry RequestEntry(Index index, std::uint64_t sequence,
                                const std::vector<kv::Operation>& operations) {
  kv::RequestHeader header;
  header.session = 5;
  header.opened_at_ms = 1;
  header.sequence = sequence;
  header.acknowledged_below = 1;
  raft::Entry entry;
  entry.index = index;
  entry.term = Term(2);
  entry.time_ms = 1000;
  entry.payload = kv::EncodeRequest(header, operations);
  return entry;
}

/// Writes and applies `entries`; what the state machine answers.
inline std::vector<Bytes> ApplyAll(StoreWorld& world, const std::vector<raft::Entry>& entries) {
  node::LogWrite write;
  write.entries = entries;
  write.hard_state = raft::HardState{Term(4), kNobody, entries.back().index};
  write.sync = true;
  EXPECT_TRUE(world.Write(write).ok());
  const auto applied = world.Apply(entries);
  EXPECT_TRUE(applied.ok()) << applied.status().ToString();
  return applied.ok() ? applied->responses : std::vector<Bytes>();
}

/// A formed member with `keys` keys and a counter that is 1, applied up to entry keys + 2.
inline void FillForBackup(StoreWorld& world, std::uint64_t keys) {
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  ASSERT_TRUE(world.Apply(*world.Read(Index(1), Index(1), 1 << 20)).ok());
  std::vector<raft::Entry> entries;
  for (std::uint64_t i = 2; i < keys + 2; ++i) {
    entries.push_back(
        RequestEntry(Index(i), i - 1,
                     {kv::PutOp{"key" + std::to_string(i),
                                std::string(TestPayload(Index(i), Term(2), 300).view())}}));
  }
  entries.push_back(RequestEntry(Index(keys + 2), keys + 1, {kv::IncrementOp{"counter", 1}}));
  ApplyAll(world, entries);
}

/// Pulls a backup on the test's own thread.
class WorldFeed final : public node::BackupFeed {
 public:
  WorldFeed(StoreWorld& world, std::shared_ptr<node::BackupSource> source)
      : world_(world), source_(std::move(source)) {}

  [[nodiscard]] const node::BackupHead& head() const override { return source_->head(); }

  Result<std::optional<Bytes>> Next() override {
    const std::uint64_t bytes = std::min<std::uint64_t>(7'001, head().stream_bytes - next_);
    auto part = Await<Bytes>([&](auto done) { source_->Read(next_, bytes, std::move(done)); });
    if (!part.ok()) return part.status();
    EXPECT_EQ(part->size(), bytes);
    next_ += bytes;
    return std::optional<Bytes>(*part);
  }
  Result<std::optional<node::BackupContent>> Content() override {
    auto content =
        Await<node::BackupContent>([&](auto done) { source_->Content(std::move(done)); });
    if (!content.ok()) return content.status();
    return std::optional<node::BackupContent>(*content);
  }

 private:
  template <class T, class Call>
  Result<T> Await(const Call& call) {
    auto came = std::make_shared<std::optional<Result<T>>>();
    call(node::Done<T>([came](Result<T> result) { *came = std::move(result); }));
    if (!world_.loop.RunUntil([&] { return came->has_value(); })) {
      return Status(Code::kDeadlineExceeded, "no completion came");
    }
    return **came;
  }

  StoreWorld& world_;
  const std::shared_ptr<node::BackupSource> source_;
  std::uint64_t next_ = 0;
};

/// Begins a backup of what is applied now; null after a failed expectation.
inline std::unique_ptr<WorldFeed> BeginBackup(StoreWorld& world) {
  std::shared_ptr<storage::CheckpointBackup> source;
  bool over = false;
  world.store->MakeBackup([&](Result<std::shared_ptr<storage::CheckpointBackup>> made) {
    EXPECT_TRUE(made.ok()) << made.status().ToString();
    if (made.ok()) source = *made;
    over = true;
  });
  EXPECT_TRUE(world.loop.RunUntil([&] { return over; }));
  if (source == nullptr) return nullptr;
  source->head().cluster = ClusterId(77);
  source->head().member = world.store->birth().member;
  source->head().member_name = "n1";
  source->head().members = {{1, "n1", "127.0.0.1:7001", "", MemberRole::kVoter, false}};
  return std::make_unique<WorldFeed>(world, std::move(source));
}

inline constexpr char kBackupFile[] = "/data/b.tar.zst";

/// A small backup in kBackupFile on the disk of `world`, which is not open afterwards.
inline BackupInfo MakeSmallBackup(StoreWorld& world, std::uint64_t keys = 20) {
  FillForBackup(world, keys);
  auto feed = BeginBackup(world);
  if (feed == nullptr) return {};
  const auto info = storage::WriteBackup(*world.env, kBackupFile, *feed, "", {});
  EXPECT_TRUE(info.ok()) << info.status().ToString();
  feed.reset();
  world.Drop();
  return info.ok() ? *info : BackupInfo();
}

}  // namespace raftkv::test
