// Writes the seeds that are made by the encoders themselves: raftkv_fuzz_seeds FOLDER. Run it after
// a format has changed; seeds by hand, and inputs that were findings once, stay as they are.
#include "tests/fuzz/make_seeds.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <capnp/rpc.capnp.h>
#include <capnp/serialize.h>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/kv/change_set.h"
#include "lib/kv/command.capnp.h"
#include "lib/kv/continuation.h"
#include "lib/kv/lease_table.h"
#include "lib/kv/message_builder.h"
#include "lib/kv/record.h"
#include "lib/kv/request.h"
#include "lib/kv/response.h"
#include "lib/kv/session.h"
#include "lib/raft/configuration.h"
#include "rpc/wire/frame.h"
#include "storage/backup/archive.h"
#include "storage/backup/backup_manifest.h"
#include "storage/cipher/sealed_file.h"
#include "storage/disk/crc32c.h"
#include "storage/folder/record.h"
#include "storage/log/log_format.h"
#include "storage/snapshot/snapshot_manifest.h"
#include "tests/fuzz/stored_keys.h"

namespace raftkv::fuzz {
namespace {

std::string g_folder;

}  // namespace

void Seed(const std::string& target, const std::string& name, std::string_view bytes) {
  const std::string folder = g_folder + "/" + target;
  std::filesystem::create_directories(folder);
  std::ofstream file(folder + "/" + name, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  RAFTKV_CHECK(file.flush().good(), folder);
}

void Seed(const std::string& target, unsigned char which, const std::string& name,
          std::string_view bytes) {
  Seed(target, name, std::string(1, static_cast<char>(which)).append(bytes));
}

namespace {

/// A page that is not the last.
Bytes ReadPage() {
  constexpr std::size_t kWords = 64;
  return kv::BuildMessage(kWords, [](capnp::MessageBuilder& message) {
    auto out = message.initRoot<kv::wire::ReadResponse>();
    out.setFormatVersion(kv::kRequestFormatVersion);
    out.setRevision(12);
    out.setIndex(9);
    auto result = out.initResults(1)[0];
    result.setCount(7);
    result.setMore(true);
    auto pair = result.initKvs(1)[0];
    pair.setKey(kv::ToData("k1"));
    pair.setValue(kv::ToData("value"));
    pair.setModRevision(3);
  });
}

std::string Continuation(std::uint64_t revision, const std::string& last_key) {
  std::string bytes;
  AppendBigEndian64(bytes, revision);
  AppendBigEndian64(bytes, 8);  // how many keys the range has
  return bytes + last_key;
}

void SeedResponses() {
  const auto seed = [](const std::string& name, const kv::Response& response) {
    Seed("response", 0, name, kv::EncodeResponse(response).view());
  };
  const KeyValue pair{"key", "value", 9, 3, 2, 0};
  kv::Response response;
  response.revision = 8;
  seed("plain", response);
  response.results.resize(2);
  response.results[0] = {.code = Code::kCompareFailed, .message = "no such key"};
  response.results[1] = {.code = Code::kOk, .message = {}, .number = -5, .changed = true};
  response.results[1].previous = {pair, pair};
  seed("results", response);
  response.results.resize(1);
  response.results[0] = {.code = Code::kOk, .message = {}, .number = 0, .changed = true};
  auto txn = std::make_shared<kv::TxnOutcome>();
  txn->succeeded = true;
  txn->results.resize(3);
  txn->results[0].write = response.results[0];
  txn->results[1].read = ScanResult{.kvs = {pair}, .count = 4, .more = true};
  txn->results[2].write.txn = std::make_shared<kv::TxnOutcome>();
  response.results[0].txn = txn;
  seed("txn", response);
  kv::Response refused;
  refused.code = Code::kSessionExpired;
  refused.message = "the session has expired: open another one";
  seed("refused", refused);
  // Of the keys that the targets have.
  test::FakeEngine engine(StoredKeys());
  for (const char* const prefix : {"", "k"}) {
    const Bytes request = kv::EncodeReadRequest(
        {kv::ReadOp::From(KeyRange::Prefix(prefix), {}), {.range = kv::Range::Single("a")}});
    const Result<Bytes> answer = kv::Read(engine, kv::ReadTier::kAll, request.view(), 1 << 20);
    RAFTKV_CHECK(answer.ok(), answer.status().ToString());
    Seed("response", 1, std::string("read-") + (*prefix == 0 ? "all" : prefix), answer->view());
  }
  Seed("response", 1, "read-page", ReadPage().view());
  for (const std::string key : {"key", "z", ""}) {
    Seed("response", 2, "continuation-" + key, Continuation(7, key));
  }
  Seed("response", 2, "continuation-of-nothing", Continuation(0, "key"));
}

// --- Connections.

std::string RpcMessage(const std::function<void(capnp::rpc::Message::Builder)>& fill) {
  capnp::MallocMessageBuilder message;
  fill(message.initRoot<capnp::rpc::Message>());
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}

void SeedStreams() {
  const std::string bootstrap =
      RpcMessage([](auto message) { message.initBootstrap().setQuestionId(1); });
  const std::string call = RpcMessage([](auto message) {
    auto call = message.initCall();
    call.setQuestionId(2);
    call.initTarget().setImportedCap(0);
  });
  const std::string finish =
      RpcMessage([](auto message) { message.initFinish().setQuestionId(1); });
  const std::string large = RpcMessage(
      [](auto message) { message.initAbort().setReason(std::string(4000, 'r').c_str()); });
  const auto seed = [](const std::string& name, const std::string& bytes) {
    Seed("stream", name, bytes);
  };
  seed("bootstrap", bootstrap);
  seed("call-finish", bootstrap + finish + call + finish);
  seed("too-many-calls", bootstrap + call + call);
  seed("too-large", large);
  seed("two-segments", std::string("\1\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0", 16) + std::string(16, '\0'));
  seed("segments-too-many", std::string("\0\1\0\0\1\0\0\0", 8) + std::string(64, '\0'));
}

// --- Members.

raft::Configuration ConfigurationOf(bool joint) {
  raft::Configuration configuration;
  configuration.cluster = ClusterId(77);
  for (std::uint64_t id = 1; id <= 4; ++id) {
    raft::Member member{.id = NodeId(id * 11), .name = "n" + std::to_string(id)};
    member.address = "10.0.0." + std::to_string(id) + ":7001";
    member.zone = id % 2 == 0 ? "east" : "west";
    member.learner = id == 4;
    member.old_voter = joint && id != 4;
    member.promote = id == 4 && !joint;
    configuration.members.push_back(std::move(member));
  }
  configuration.joint = joint;
  configuration.invited = {{"n5", "10.0.0.5:7001", true}};
  configuration.removed = {NodeId(5), NodeId(99)};
  return configuration;
}

void SeedConfigurations() {
  raft::Configuration configuration = ConfigurationOf(false);
  Seed("configuration", "simple", raft::EncodeConfiguration(configuration).view());
  configuration.quorum = {.kind = raft::QuorumKind::kFlexible, .commit = 2, .election = 2};
  Seed("configuration", "flexible", raft::EncodeConfiguration(configuration).view());
  configuration.quorum = {.kind = raft::QuorumKind::kZones};
  Seed("configuration", "zones", raft::EncodeConfiguration(configuration).view());
  Seed("configuration", "joint", raft::EncodeConfiguration(ConfigurationOf(true)).view());
}

void SeedFrame(const std::string& name, decltype(rpc::Frame::body) body) {
  Seed("frame", name, rpc::EncodeFrame({.link = {7, 1}, .body = std::move(body)}));
}

void SeedMessage(const std::string& name, node::PeerMessage message) {
  rpc::DeliverFrame deliver{.accepter = 9, .sequence = 1, .messages = {}};
  deliver.messages.push_back(std::move(message));
  SeedFrame(name, std::move(deliver));
}

void SeedRaft(const std::string& name, raft::Body body) {
  SeedMessage(name, raft::Message{.from = kNobody, .to = kNobody, .body = std::move(body)});
}

void SeedFrames() {
  node::Hello hello;
  hello.cluster = ClusterId(77);
  hello.member = NodeId(11);
  hello.name = "n1";
  hello.boot = {3, 0x1234};
  hello.expected_member = NodeId(22);
  hello.expected_name = "n2";
  hello.zone = "west";
  hello.address = "10.0.0.1:7001";
  hello.formation = "n1=10.0.0.1:7001,n2=10.0.0.2:7001,n3=10.0.0.3:7001";
  SeedFrame("hello", hello);
  node::HelloAnswer answer;
  answer.self = hello;
  answer.formed = raft::EncodeConfiguration(ConfigurationOf(false));
  SeedFrame("answer", answer);
  answer.refusal = "this member belongs to another cluster";
  answer.permanent = answer.verifying = true;
  SeedFrame("refusal", answer);
  SeedFrame("closed", rpc::ClosedFrame());
  SeedFrame("deliver-nothing", rpc::DeliverFrame{.accepter = 9, .sequence = 1, .messages = {}});
  SeedRaft("vote", raft::RequestVote{Term(4), Index(9), Term(3), true, false});
  SeedRaft("vote-reply", raft::RequestVoteReply{Term(4), true, true});
  raft::AppendEntries append{.term = Term(4),
                             .prev_log_index = Index(8),
                             .prev_log_term = Term(3),
                             .leader_commit = Index(7)};
  SeedRaft("heartbeat", append);
  append.entries = {
      {Index(9), Term(3), raft::EntryKind::kNoop, 1'000'000, {}},
      {Index(10), Term(4), raft::EntryKind::kCommand, 1'000'001, Bytes(std::string("payload"))},
      {Index(11), Term(4), raft::EntryKind::kConfiguration, 1'000'002,
       raft::EncodeConfiguration(ConfigurationOf(true))}};
  SeedRaft("append", append);
  SeedRaft("append-reply", raft::AppendEntriesReply{.term = Term(4),
                                                    .success = false,
                                                    .index = Index(8),
                                                    .hint_index = Index(5),
                                                    .hint_term = Term(2),
                                                    .suspect = 3,
                                                    .promise = Duration(1000)});
  SeedRaft("read-index", raft::ReadIndex{Term(4), 12, true});
  SeedRaft("read-index-reply", raft::ReadIndexReply{Term(4), 12, true, Index(9)});
  SeedRaft("timeout-now", raft::TimeoutNow{Term(4)});
  SeedMessage("submit", node::ForwardSubmit{.id = 5, .request = Bytes(std::string("request"))});
  SeedMessage("submit-reply",
              node::ForwardSubmitReply{
                  .id = 5, .outcome = {.status = {Code::kNotLeader, "no leader"}, .response = {}}});
  SeedMessage("join", node::ForwardJoin{"n9", NodeId(99), "east", "10.0.0.9:7001"});
  node::KnownBoots boots;
  boots.boots[NodeId(11)] = {.boot = {3, 0x1234}, .incarnation = 1};
  boots.boots[NodeId(22)] = {.boot = {4, 0}, .incarnation = 2};
  SeedMessage("boots", boots);
  node::SnapshotChunk chunk;
  chunk.term = Term(4);
  chunk.snapshot = std::make_shared<raft::SnapshotMeta>(
      raft::SnapshotMeta{{Index(9), Term(3)}, ConfigurationOf(false), Index(2)});
  chunk.id = 6;
  chunk.offset = 4096;
  chunk.data = Bytes(std::string("part of it"));
  SeedMessage("chunk", chunk);
  SeedMessage("chunk-reply",
              node::SnapshotChunkReply{Term(4), {Index(9), Term(3)}, 6, 4106, false});
}

// --- Disk.

void SeedKvRecords() {
  const kv::Counts counts{.mod_revision = 300, .create_revision = 5, .version = 7, .lease = 0};
  std::string header(kv::kMaxDataHeaderBytes, '\0');
  header.resize(kv::EncodeDataHeader(counts, header.data()));
  Seed("kv_record", 0, "data", header + "value");
  Seed("kv_record", 0, "data-empty", header);
  Seed("kv_record", 1, "data-format-1", std::string("\1\0\0\0\0\0\0\0\x09value", 14));
  const kv::Position position{Index(9), Term(3), 1'000'000, 12, 4, 77};
  const std::string record = kv::EncodePosition(position);
  Seed("kv_record", 2, "position", record);
  Seed("kv_record", 2, "position-without-clock", '\x02' + record.substr(1, record.size() - 9));
  Seed("kv_record", 3, "position-format-1",
       std::string("\1\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1", 25));
  kv::Session session{.id = 7,
                      .opened_at_ms = 5,
                      .last_used_ms = 6,
                      .last_used_index = Index(8),
                      .acknowledged_below = 2,
                      .answers = {}};
  Seed("kv_record", 4, "session-empty", kv::EncodeSession(session));
  session.answers = {{2, kv::Answer::Kind::kPlain, 11, {}},
                     {3, kv::Answer::Kind::kResponse, 0, Bytes(std::string("answer"))},
                     {9, kv::Answer::Kind::kLost, 0, {}}};
  Seed("kv_record", 4, "session", kv::EncodeSession(session));
  kv::EntryChanges changes{Bytes()};
  changes.Put(99, "a", "value", {});
  changes.Put(100, "b", "value", {});
  changes.Delete(100, "c");
  changes.Finish();
  Seed("kv_record", 5, "change-set", kv::EncodeChangeSets(changes).front().value);
  const kv::Lease lease{.id = 7, .ttl_ms = 1'000, .deadline_ms = 5'000};
  Seed("kv_record", 6, "lease", kv::LeaseKey(7) + kv::EncodeLease(lease));
}

void SeedLogRecords() {
  const auto seed = [](unsigned char which, const std::string& name, std::string_view bytes) {
    Seed("log_record", which, name, bytes);
  };
  const raft::Entry entry{Index(1), Term(4), raft::EntryKind::kCommand, 1'000'000,
                          Bytes(std::string("payload"))};
  seed(0, "entry", storage::EncodeEntry(entry, 12));
  seed(0, "entry-noop",
       storage::EncodeEntry({Index(1), Term(4), raft::EntryKind::kNoop, 1'000'000, {}}, 12));
  seed(1, "identity", storage::EncodeIdentity({NodeId(11), ClusterId(77), "n1"}));
  seed(2, "boot", storage::EncodeBoot({3, 0x1234}));
  seed(3, "peer-boot", storage::EncodePeerBoot({.boot = {3, 0x1234}, .incarnation = 1}));
  seed(3, "peer-boot-again", storage::EncodePeerBoot({.boot = {3, 0x1234}, .incarnation = 2}));
  seed(4, "hard-state", storage::EncodeHardState({Term(4), NodeId(11), Index(9)}));
  seed(5, "mark", storage::EncodeBatchMark({12, Index(9), 0}));
  seed(5, "mark-unsynced", storage::EncodeBatchMark({12, Index(9), 3}));
  seed(6, "base", storage::EncodeBase({{Index(9), Term(3)}, Index(2), Bytes(std::string("conf"))}));
  seed(7, "head", storage::EncodeHead(Index(5)));
  seed(8, "version", storage::EncodeFormatVersion(2));
  seed(9, "key", storage::EncodeLogKey(Index(9)));
  seed(10, "peer-key", storage::PeerBootKey(NodeId(22)));
  seed(11, "bytes", storage::EncodeBytes("kv-2"));
}

void SeedFolderRecords() {
  storage::Record record;
  record.complete = record.has_peers = true;
  record.member = NodeId(11);
  record.cluster = ClusterId(77);
  record.name = "n1";
  record.machine_boot = "8e3c6a7e-boot";
  record.boot = {3, 0x1234};
  record.batch_number = 12;
  record.durable_index = Index(9);
  record.term = Term(4);
  record.vote = NodeId(22);
  std::string bytes = storage::EncodeRecord(record);
  Seed("folder_record", "two-copies", bytes);
  const std::string copy = bytes.substr(0, bytes.size() / 2);
  Seed("folder_record", "one-copy", copy);
  Seed("folder_record", "without-checksum", copy.substr(0, copy.size() - 8));
  bytes[20] = static_cast<char>(bytes[20] ^ 1);
  Seed("folder_record", "second-copy", bytes);
  record.damaged = storage::Damaged::kKv;
  record.tail_may_be_torn = true;
  Seed("folder_record", "damaged-kv", storage::EncodeRecord(record).substr(0, copy.size() - 8));
}

storage::Manifest SomeManifest() {
  storage::Manifest manifest;
  manifest.applied = Index(9);
  manifest.files = {
      {"000012.sst", 4096, 0x1111}, {"MANIFEST-000004", 200, 0x2222}, {"CURRENT", 16, 3}};
  return manifest;
}

void SeedManifests() {
  const std::string bytes = storage::EncodeManifest(SomeManifest());
  Seed("snapshot_manifest", "files", bytes);
  Seed("snapshot_manifest", "without-checksum", bytes.substr(0, bytes.size() - 8));
  Seed("snapshot_manifest", "no-files", storage::EncodeManifest({Index(1), {}}));
  storage::BackupManifest backup;
  backup.backup_id = 5;
  backup.created_ms = 1'700'000'000'000;
  backup.head.index = Index(9);
  backup.head.term = Term(3);
  backup.head.cluster = ClusterId(77);
  backup.head.member = NodeId(11);
  backup.head.member_name = "n1";
  backup.head.members.resize(2);
  backup.head.members[0].name = "n1";
  backup.head.members[1].name = "n2 \xc3\xa4";
  backup.files = SomeManifest();
  Seed("backup_manifest", 0, "manifest", storage::EncodeBackupManifest(backup));
  backup.files.files.clear();
  backup.head.members.clear();
  Seed("backup_manifest", 0, "manifest-empty", storage::EncodeBackupManifest(backup));
  Seed("backup_manifest", 1, "content", storage::EncodeBackupContent({.hash = 12, .keys = 3}));
}

class StringSink final : public storage::ByteSink {
 public:
  Status Write(std::string_view bytes) override {
    text.append(bytes);
    return Status::Ok();
  }
  Status Finish() override { return Status::Ok(); }
  std::string text;
};

void SeedArchives() {
  const auto archive = [](const std::vector<std::pair<std::string, std::string>>& files) {
    StringSink sink;
    auto writer = storage::ArchiveWriter::Open(sink, 1'700'000'000);
    RAFTKV_CHECK(writer.ok(), writer.status().ToString());
    for (const auto& [name, bytes] : files) {
      RAFTKV_CHECK((*writer)->BeginFile(name, bytes.size()).ok());
      RAFTKV_CHECK((*writer)->Write(bytes).ok());
    }
    RAFTKV_CHECK((*writer)->Finish().ok());
    return sink.text;
  };
  const std::string two = archive({{"manifest.json", "{}"}, {"kv/000012.sst", "table"}});
  Seed("archive", "two", two);
  Seed("archive", "none", archive({}));
  Seed("archive", "long-name", archive({{std::string(200, 'n'), "x"}}));
  Seed("archive", "without-trailer", two.substr(0, two.size() - 36));
}

std::string LittleEndian(std::uint64_t number, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(number >> (8 * i)));
  return out;
}

/// A batch, as RocksDB writes it to a write-ahead log: its mark, a put, a delete and a range
/// delete.
std::string LogBatch(std::uint64_t number) {
  constexpr char kLogId = 1;
  constexpr char kStateId = 2;
  const auto text = [](std::string_view bytes) {
    return std::string(1, static_cast<char>(bytes.size())).append(bytes);
  };
  const storage::BatchMark mark{.number = number, .last_index = Index(number)};
  std::string out = LittleEndian(100 * number, 8) + LittleEndian(4, 4);
  out += {5, kStateId};
  out += text(storage::kBatchKey) + text(storage::EncodeBatchMark(mark));
  out += {5, kLogId};
  out += text("k") + text("v");
  out += {4, kStateId};
  out += text("k");
  out += {14, kLogId};
  return out + text("k") + text("l");
}

/// In a fragment.
std::string LogFragment(std::uint64_t number) {
  const std::string payload = LogBatch(number);
  const std::string checked = '\1' + payload;  // the type of a whole record
  return LittleEndian(storage::MaskedCrc32c(checked), 4) + LittleEndian(payload.size(), 2) +
         checked;
}

void SeedWals() {
  const std::string first = LogFragment(4);
  const std::string second = LogFragment(5);
  Seed("wal", "one", first);
  Seed("wal", "two", first + second);
  Seed("wal", "gap", first + LogFragment(6));
  Seed("wal", "cut-short", first + second.substr(0, 20));
  Seed("wal", "torn", first + std::string(second.size(), '\0') + second);
  Seed("wal", "padding", first + std::string(30, '\0'));
  Seed("wal", "batch", LogBatch(4));
}

void SeedSealed() {
  // As in sealed_file_fuzz.cc.
  unsigned char raw[storage::Secret::kBytes] = {1, 2, 3};
  const storage::Secret key(raw);
  const std::string salt(32, 's');
  const std::string nonce(7, 'n');
  const std::string header = storage::EncodeSealedHeader(key, salt, nonce);
  storage::ChunkCipher cipher(key, salt, nonce);
  std::string chunk;
  RAFTKV_CHECK(cipher.Seal("sealed content", true, chunk));
  Seed("sealed_file", "one-chunk", header + chunk);
  Seed("sealed_file", "header", header);
  Seed("sealed_file", "plain", "what is sealed by the target itself");
}

}  // namespace
}  // namespace raftkv::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: raftkv_fuzz_seeds FOLDER\n");
    return 2;
  }
  using namespace raftkv::fuzz;  // NOLINT: all of it is this file's
  g_folder = argv[1];
  SeedRequests();
  SeedWatches();
  SeedReads();
  SeedResponses();
  SeedConfigurations();
  SeedFrames();
  SeedKvRecords();
  SeedLogRecords();
  SeedFolderRecords();
  SeedManifests();
  SeedArchives();
  SeedSealed();
  SeedStreams();
  SeedWals();
#ifdef RAFTKV_ETCD
  SeedEtcdMessages();
  SeedEtcdHttp2();
#endif
  return 0;
}
