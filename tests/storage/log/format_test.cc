// Are the bytes on disk those that docs/disk-format.md describes?
#include <algorithm>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "lib/kv/change_set.h"
#include "lib/kv/record.h"
#include "storage/backup/archive_trailer.h"
#include "storage/backup/backup_manifest.h"
#include "storage/cipher/file_cipher.h"
#include "storage/cipher/sealed_file.h"
#include "storage/cipher/secret.h"
#include "storage/disk/crc32c.h"
#include "storage/folder/record.h"
#include "storage/log/log_format.h"
#include "storage/snapshot/snapshot_manifest.h"

namespace raftkv::storage {
namespace {

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    out.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    out.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}

std::string Unhex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return out;
}

/// The hex digits of the block of the document that begins with "```" and a space and `name`.
std::string Example(const std::string& name) {
  std::ifstream file(std::string(RAFTKV_SOURCE_DIR) + "/docs/disk-format.md");
  std::string line;
  std::string hex;
  bool inside = false;
  while (std::getline(file, line)) {
    if (line == "```" && inside) return Unhex(hex);
    if (line == "``` " + name) {
      inside = true;
      continue;
    }
    if (!inside) continue;
    // "hex hex   what it is"
    std::istringstream words(line.substr(0, line.find("  ")));
    for (std::string word; words >> word;) hex += word;
  }
  ADD_FAILURE() << "docs/disk-format.md has no example " << name;
  return "";
}

/// The block itself.
std::string ExampleText(const std::string& name) {
  std::ifstream file(std::string(RAFTKV_SOURCE_DIR) + "/docs/disk-format.md");
  std::stringstream all;
  all << file.rdbuf();
  const std::string begin = "``` " + name + "\n";
  const std::size_t at = all.str().find(begin);
  if (at == std::string::npos) {
    ADD_FAILURE() << "docs/disk-format.md has no example " << name;
    return "";
  }
  const std::size_t first = at + begin.size();
  return all.str().substr(first, all.str().find("```\n", first) - first);
}

raft::Entry ExampleEntry() {
  raft::Entry entry;
  entry.index = Index(5);
  entry.term = Term(3);
  entry.kind = raft::EntryKind::kCommand;
  entry.time_ms = 1700000000000;
  entry.payload = Bytes("hello");
  entry.clock_ms = 61000;
  return entry;
}

Record ExampleRecord() {
  Record record;
  record.complete = true;
  record.member = NodeId(0x1122334455667788);
  record.cluster = ClusterId(0xaabbccddeeff0011);
  record.name = "n1";
  record.machine_boot = "boot";
  record.boot = {2, 0x99};
  record.batch_number = 7;
  record.durable_index = Index(4);
  record.term = Term(3);
  record.vote = NodeId(0x1122334455667788);
  return record;
}

TEST(Format, TheExampleOfALogEntry) {
  const std::string bytes = Example("log entry");
  const std::string key = bytes.substr(0, 8);
  const std::string value = bytes.substr(8);
  Result<Index> index = DecodeLogKey(key);
  ASSERT_TRUE(index.ok());
  Result<StoredEntry> stored = DecodeEntry(*index, value);
  ASSERT_TRUE(stored.ok()) << Hex(EncodeLogKey(Index(5)) + EncodeEntry(ExampleEntry(), 7));
  EXPECT_EQ(stored->entry, ExampleEntry());
  EXPECT_EQ(stored->batch_number, 7u);
  EXPECT_EQ(EncodeEntry(ExampleEntry(), 7), value);
}

TEST(Format, TheExampleOfARecord) {
  const std::string bytes = Example("record");
  Result<Record> record = DecodeRecord(bytes);
  ASSERT_TRUE(record.ok()) << Hex(EncodeRecord(ExampleRecord()));
  EXPECT_EQ(*record, ExampleRecord());
  EXPECT_EQ(EncodeRecord(ExampleRecord()), bytes + bytes) << "two copies";
}

TEST(Format, ARecordSaysThatTheTailMayBeTornInAFlagOfItsOwn) {
  EXPECT_FALSE(DecodeRecord(Example("record"))->tail_may_be_torn) << "one without the flag";
  Record record = ExampleRecord();
  record.tail_may_be_torn = true;
  const std::string bytes = EncodeRecord(record);
  EXPECT_EQ(Hex(bytes.substr(12, 4)), "00000021");
  const Result<Record> read = DecodeRecord(bytes);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, record);
}

TEST(Format, TheExamplesOfTheState) {
  EXPECT_EQ(*DecodeHardState(Example("hard_state")),
            (raft::HardState{Term(3), NodeId(0x1122334455667788), Index(4)}));
  EXPECT_EQ(*DecodeBatchMark(Example("batch")), (BatchMark{7, Index(5)}));
  EXPECT_EQ(EncodeBatchMark({7, Index(5)}), Example("batch"));
  const BatchMark unsynced{9, Index(18), 2};
  EXPECT_EQ(*DecodeBatchMark(Example("batch after unsynced ones")), unsynced);
  EXPECT_EQ(EncodeBatchMark(unsynced), Example("batch after unsynced ones"));
  EXPECT_EQ(DecodeBatchMark(EncodeBatchMark({9, Index(18), 9})).code(), Code::kCorruption);
  EXPECT_EQ(DecodeHead(EncodeHead(Index(0))).code(), Code::kCorruption);
  EXPECT_EQ(*DecodeIdentity(Example("identity")),
            (Identity{NodeId(0x1122334455667788), ClusterId(0xaabbccddeeff0011), "n1"}));
  EXPECT_EQ(*DecodeBoot(Example("boot")), (node::Boot{2, 0x99}));
  EXPECT_EQ(*DecodeBase(Example("base")),
            (StoredBase{{Index(4), Term(3)}, Index(1), Bytes("conf")}));
  EXPECT_EQ(*DecodeHead(Example("head")), Index(0x11));
  EXPECT_EQ(EncodeHead(Index(0x11)), Example("head"));
}

TEST(Format, TheExamplesOfTheKeyValueDatabase) {
  const std::string record = Example("data record");
  const auto data = kv::DecodeDataRecord(record);
  ASSERT_TRUE(data.ok()) << data.status().ToString();
  EXPECT_EQ(data->counts, (kv::Counts{301, 300, 2, 0}));
  EXPECT_EQ(data->value, "pear");
  kv::EntryChanges changes{Bytes()};
  changes.Put(300, "pear", "", {300, 300, 1, 0});
  changes.Delete(301, "fig");
  changes.Finish();
  const auto rows = kv::EncodeChangeSets(changes);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].key, std::string("c\0\0\0\0\0\0\x01\x2d\0\0\0\0", 13));
  EXPECT_EQ(rows[0].value, Example("change set"));
  const std::string bytes = Example("applied position");
  const auto position = kv::DecodePosition(bytes);
  ASSERT_TRUE(position.ok()) << position.status().ToString();
  EXPECT_EQ(position->time_ms, 1700000000000U);
  EXPECT_EQ(kv::EncodePosition({Index(11), Term(2), 1700000000000, 301, 0, 61000}), bytes);
}

TEST(Format, TheExampleOfAManifest) {
  const Manifest manifest{Index(4), {{"CURRENT", 5, 0x9555e8555c62dcfd}}};
  EXPECT_EQ(*DecodeManifest(Example("manifest")), manifest);
  EXPECT_EQ(EncodeManifest(manifest), Example("manifest"));
}

TEST(Format, StateValuesComeBackAsTheyWent) {
  const raft::HardState state{Term(9), NodeId(8), Index(7)};
  EXPECT_EQ(*DecodeHardState(EncodeHardState(state)), state);
  const Identity identity{NodeId(3), ClusterId(0), "a name"};
  EXPECT_EQ(*DecodeIdentity(EncodeIdentity(identity)), identity);
  const StoredBase base{{Index(9), Term(8)}, Index(7), Bytes("payload")};
  EXPECT_EQ(*DecodeBase(EncodeBase(base)), base);
  EXPECT_EQ(DecodeBase(EncodeBase({{Index(6), Term(8)}, Index(7), Bytes("x")})).code(),
            Code::kCorruption)
      << "a configuration from behind the base";
  const node::Boot boot{1, 2};
  EXPECT_EQ(*DecodeBoot(EncodeBoot(boot)), boot);
  for (const std::uint64_t incarnation : {1, 2, 9}) {
    const node::PeerBoot peer{boot, incarnation};
    EXPECT_EQ(*DecodePeerBoot(EncodePeerBoot(peer)), peer);
  }
  EXPECT_EQ(DecodePeerBoot(EncodeBoot(boot))->incarnation, 1U) << "as an older release wrote it";
  EXPECT_EQ(DecodePeerBoot(EncodeBoot(boot) + "x").code(), Code::kCorruption);
  EXPECT_EQ(*DecodeBytes(EncodeBytes("kv-1"), "live_kv"), "kv-1");
  EXPECT_EQ(*DecodeFormatVersion(EncodeFormatVersion(1)), 1u);
  EXPECT_EQ(*DecodePeerBootKey(PeerBootKey(NodeId(4))), NodeId(4));
}

TEST(Format, ANewerVersionOfAValueIsRefused) {
  std::string state = EncodeHardState({});
  state[0] = 2;
  EXPECT_EQ(DecodeHardState(state).code(), Code::kVersionMismatch);
  std::string entry = EncodeEntry(ExampleEntry(), 1);
  entry[0] = 3;
  EXPECT_EQ(DecodeEntry(Index(5), entry).code(), Code::kVersionMismatch);
}

TEST(Format, WhatIsShortOrLongIsRefused) {
  const std::string state = EncodeHardState({Term(9), NodeId(8), Index(7)});
  EXPECT_EQ(DecodeHardState(state + "x").code(), Code::kCorruption);
  const std::string record = EncodeRecord(ExampleRecord());
  const std::string entry = EncodeEntry(ExampleEntry(), 1);
  for (std::size_t size = 0; size < state.size(); ++size) {
    EXPECT_EQ(DecodeHardState(state.substr(0, size)).code(), Code::kCorruption);
  }
  for (std::size_t size = 0; size < record.size() / 2; ++size) {
    EXPECT_EQ(DecodeRecord(record.substr(0, size)).code(), Code::kCorruption);
  }
  for (std::size_t size = 0; size < entry.size(); ++size) {
    EXPECT_EQ(DecodeEntry(Index(5), entry.substr(0, size)).code(), Code::kCorruption);
  }
}

TEST(Format, ABackupSaysWhatItIs) {
  BackupManifest manifest;
  manifest.backup_id = 99;
  manifest.created_ms = 1700000000000;
  manifest.head.index = manifest.files.applied = Index(4);
  manifest.head.term = Term(3);
  manifest.head.cluster = ClusterId(0xaabbccddeeff0011);
  manifest.head.member = NodeId(0x1122334455667788);
  manifest.head.member_name = "n1";
  manifest.head.members = {
      {0x1122334455667788, "n1", "127.0.0.1:7001", "", MemberRole::kVoter, false}};
  manifest.files.files = {{"CURRENT", 5, 0x9555e8555c62dcfd}};
  const std::string text = ExampleText("manifest.json");
  EXPECT_EQ(EncodeBackupManifest(manifest), text);
  const auto decoded = DecodeBackupManifest(text);
  ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
  EXPECT_EQ(EncodeBackupManifest(*decoded), text);
  EXPECT_EQ(decoded->files, manifest.files);

  EXPECT_EQ(EncodeBackupContent({77, 2}), ExampleText("content.json"));
  const auto content = DecodeBackupContent(ExampleText("content.json"));
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(content->hash, 77U);
  EXPECT_EQ(content->keys, 2U);
}

TEST(Format, ABackupEndsWithItsTrailer) {
  const std::string trailer = EncodeTrailer(1000, 0x1122334455667788);
  EXPECT_EQ(Hex(trailer), Hex(Example("trailer")));
  EXPECT_TRUE(CheckTrailer(trailer, 1000, 0x1122334455667788).ok());
  EXPECT_EQ(CheckTrailer(trailer, 1001, 0x1122334455667788).code(), Code::kCorruption);
  EXPECT_EQ(CheckTrailer(trailer, 1000, 0x1122334455667789).code(), Code::kCorruption);
  std::string newer = trailer;
  newer[19] = 2;
  EXPECT_EQ(CheckTrailer(newer, 1000, 0x1122334455667788).code(), Code::kVersionMismatch);
}

TEST(Format, AnEntryWithoutAClockIsReadAndWrittenAsBefore) {
  raft::Entry entry = ExampleEntry();
  entry.clock_ms = 0;
  const std::string old = EncodeEntry(entry, 1);
  EXPECT_EQ(old.front(), 1);
  EXPECT_EQ(old.size() + 8, EncodeEntry(ExampleEntry(), 1).size());
  const auto stored = DecodeEntry(Index(5), old);
  ASSERT_TRUE(stored.ok()) << stored.status().ToString();
  EXPECT_EQ(stored->entry, entry);
}

TEST(Format, AnEntryKnowsItsIndex) {
  const std::string entry = EncodeEntry(ExampleEntry(), 1);
  EXPECT_TRUE(DecodeEntry(Index(5), entry).ok());
  EXPECT_EQ(DecodeEntry(Index(6), entry).code(), Code::kCorruption);
}

TEST(Format, EveryFlippedBitOfAnEntryIsFound) {
  const std::string entry = EncodeEntry(ExampleEntry(), 1);
  for (std::size_t bit = 0; bit < entry.size() * 8; ++bit) {
    std::string damaged = entry;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeEntry(Index(5), damaged).ok()) << bit;
  }
}

// RFC 3720, B.4.
TEST(Crc32c, KnownValues) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43U);
}

/// Bytes from `first` on, each one more than the one before.
std::string Counting(std::size_t count, int first) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) bytes.push_back(static_cast<char>(first + i));
  return bytes;
}

Secret ExampleKey() {
  const std::string bytes = Counting(Secret::kBytes, 0);
  return Secret(reinterpret_cast<const unsigned char*>(bytes.data()));
}

TEST(Format, TheExampleOfAnEncryptedFile) {
  const Secret key = ExampleKey();
  const FileCipher cipher(key);
  FileCipher::Counter counter;
  const std::string counting = Counting(counter.size(), 0x40);
  std::copy(counting.begin(), counting.end(), counter.begin());
  const std::string prefix = cipher.MakePrefix(counter);
  EXPECT_EQ(Hex(prefix.substr(0, kFileHeaderBytes)), Hex(Example("file prefix")));
  EXPECT_EQ(prefix.find_first_not_of('\0', kFileHeaderBytes), std::string::npos);
  std::string content = Example("file content");
  cipher.Crypt(counter, kFilePrefixBytes, content.data(), content.size());
  EXPECT_EQ(content, "hello") << Hex(content);
}

TEST(Format, TheExampleOfASealedFile) {
  const Secret key = ExampleKey();
  const std::string salt = Counting(32, 0x60);
  const std::string nonce = Counting(7, 0x30);
  std::string file = EncodeSealedHeader(key, salt, nonce);
  ChunkCipher cipher(key, salt, nonce);
  std::string chunk;
  ASSERT_TRUE(cipher.Seal("hello", /*last=*/true, chunk));
  file += chunk;
  const std::string example = Example("sealed file");
  EXPECT_EQ(Hex(file), Hex(example));
  std::size_t at = 0;
  auto reader = SealedReader::Open(key, [&](char* buffer, std::size_t size) {
    const std::size_t count = std::min(size, example.size() - at);
    std::copy_n(example.data() + at, count, buffer);
    at += count;
    return Result<std::size_t>(count);
  });
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_EQ((*reader)->Next().value(), "hello");
}

}  // namespace
}  // namespace raftkv::storage
