// Is everything on disk encrypted, readable through the Env only, and is a wrong key told?
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "lib/base/random.h"
#include "storage/cipher/encrypted_fs.h"
#include "storage/cipher/file_cipher.h"
#include "storage/folder/folder_key.h"
#include "tests/storage/member/store_world.h"
#include "tests/support/process/key_files.h"
#include "tests/support/process/process.h"

namespace raftkv::test {
namespace {

using storage::FileCipher;
using storage::kFileHeaderBytes;
using storage::kFilePrefixBytes;
using storage::PrefixKind;

constexpr char kMarker[] = "a marker that nobody else writes";

std::shared_ptr<const FileCipher> Cipher(int number) {
  return *storage::CipherOfKeyFile(KeyFile(number), nullptr);
}

std::string Text(std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += "line " + std::to_string(text.size()) + "\n";
  text.resize(bytes);
  return text;
}

// --- The cipher.

/// AES-256-CTR of zeros by the library in one go.
std::string Reference(const unsigned char* key, const FileCipher::Counter& counter,
                      std::size_t bytes) {
  std::string out(bytes, '\0');
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EXPECT_EQ(EVP_EncryptInit_ex(context, EVP_aes_256_ctr(), nullptr, key, counter.data()), 1);
  auto* at = reinterpret_cast<unsigned char*>(out.data());
  int size = 0;
  EXPECT_EQ(EVP_EncryptUpdate(context, at, &size, at, static_cast<int>(bytes)), 1);
  EVP_CIPHER_CTX_free(context);
  return out;
}

// Any range gives what the whole gives; also where the counter overflows in its low bytes.
TEST(Encryption, ARangeIsEncryptedAsAPartOfTheWhole) {
  const auto key = storage::ReadKeyFile(KeyFile(1), nullptr);
  ASSERT_TRUE(key.ok());
  const FileCipher cipher(**key);
  const storage::Secret content_key(**key, "raftkv file content", "");
  FileCipher::Counter counter;
  counter.fill(0xff);
  counter[0] = 7;
  counter[15] = 0xf0;
  constexpr std::size_t kBytes = 1000;
  const std::string stream = Reference(content_key.data(), counter, kBytes);
  Random chance{1};
  for (int i = 0; i < 500; ++i) {
    const std::size_t begin = chance.Below(kBytes);
    const std::size_t size = chance.Below(kBytes - begin + 1);
    std::string zeros(size, '\0');
    cipher.Crypt(counter, begin, zeros.data(), zeros.size());
    ASSERT_EQ(zeros, stream.substr(begin, size)) << begin << " " << size;
  }
}

TEST(Encryption, CountersDiffer) {
  std::set<FileCipher::Counter> seen;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(seen.insert(FileCipher::DrawCounter()).second);
}

// --- The prefix.

PrefixKind KindOf(const FileCipher& cipher, const std::string& file) {
  FileCipher::Counter counter;
  return cipher.Inspect(std::string_view(file).substr(0, kFilePrefixBytes), file.size(), counter);
}

TEST(Encryption, APrefixTellsWhoseItIs) {
  const auto cipher = Cipher(1);
  const FileCipher::Counter counter = FileCipher::DrawCounter();
  const std::string prefix = cipher->MakePrefix(counter);
  ASSERT_EQ(prefix.size(), kFilePrefixBytes);
  FileCipher::Counter found;
  EXPECT_EQ(cipher->Inspect(prefix, prefix.size(), found), PrefixKind::kOurs);
  EXPECT_EQ(found, counter);
  EXPECT_EQ(KindOf(*cipher, prefix + "content"), PrefixKind::kOurs);
  EXPECT_EQ(KindOf(*Cipher(2), prefix + "content"), PrefixKind::kOtherKey);
  EXPECT_EQ(KindOf(*cipher, Text(10)), PrefixKind::kPlain);
  EXPECT_EQ(KindOf(*cipher, Text(10'000)), PrefixKind::kPlain);
  std::string newer = prefix;
  newer[11] = 2;
  EXPECT_EQ(KindOf(*cipher, newer), PrefixKind::kNewer);
}

TEST(Encryption, APrefixThatIsNotWholeHasNoContent) {
  const auto cipher = Cipher(1);
  const std::string prefix = cipher->MakePrefix(FileCipher::DrawCounter());
  for (std::size_t size = 0; size < prefix.size(); ++size) {
    ASSERT_EQ(KindOf(*cipher, prefix.substr(0, size)), PrefixKind::kUnfinished) << size;
  }
  EXPECT_EQ(KindOf(*cipher, std::string(kFilePrefixBytes, '\0')), PrefixKind::kUnfinished);
  // Behind it there is content only once it was synced.
  EXPECT_EQ(KindOf(*cipher, std::string(kFilePrefixBytes + 1, '\0')), PrefixKind::kPlain);
}

TEST(Encryption, AFlippedBitInThePrefixIsFound) {
  const auto cipher = Cipher(1);
  const std::string file = cipher->MakePrefix(FileCipher::DrawCounter()) + "content";
  for (std::size_t i = 0; i < 8 * kFileHeaderBytes; ++i) {
    std::string damaged = file;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ 1 << i % 8);
    const PrefixKind kind = KindOf(*cipher, damaged);
    EXPECT_TRUE(kind == PrefixKind::kDamaged || kind == PrefixKind::kPlain ||
                kind == PrefixKind::kNewer)
        << i;
  }
}

// --- The file system.

class EncryptedEnv : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& content) {
    ASSERT_TRUE(rocksdb::WriteStringToFile(env.get(), content, path, true).ok());
  }
  std::string Read(const std::string& path) {
    std::string content;
    const rocksdb::Status read = rocksdb::ReadFileToString(env.get(), path, &content);
    return read.ok() ? content : read.ToString();
  }

  const std::shared_ptr<CrashFs> disk = std::make_shared<CrashFs>();
  const std::unique_ptr<rocksdb::Env> base = rocksdb::NewCompositeEnv(disk);
  const std::unique_ptr<rocksdb::Env> env = storage::NewEncryptedEnv(*base, Cipher(1));
};

TEST_F(EncryptedEnv, ShowsPlaintextOfWhatIsNone) {
  const std::string text = Text(100'000);
  Write("/a", text);
  EXPECT_EQ(Read("/a"), text);
  const std::string there = disk->Content("/a");
  EXPECT_EQ(there.size(), text.size() + kFilePrefixBytes);
  EXPECT_EQ(there.find("line"), std::string::npos);
  std::uint64_t size = 0;
  ASSERT_TRUE(env->GetFileSize("/a", &size).ok());
  EXPECT_EQ(size, text.size());
  std::vector<rocksdb::Env::FileAttributes> files;
  ASSERT_TRUE(env->GetChildrenFileAttributes("/", &files).ok());
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].size_bytes, text.size());
  // Empty ones as well.
  Write("/empty", "");
  EXPECT_EQ(Read("/empty"), "");
  ASSERT_TRUE(env->GetFileSize("/empty", &size).ok());
  EXPECT_EQ(size, 0u);
}

TEST_F(EncryptedEnv, LinksAndNewNamesShowTheSame) {
  Write("/a", "content");
  ASSERT_TRUE(env->LinkFile("/a", "/b").ok());
  ASSERT_TRUE(env->RenameFile("/a", "/c").ok());
  EXPECT_EQ(Read("/b"), "content");
  EXPECT_EQ(Read("/c"), "content");
}

TEST_F(EncryptedEnv, AnyRangeCanBeReadByManyThreads) {
  const std::string text = Text(300'000);
  Write("/a", text);
  std::unique_ptr<rocksdb::RandomAccessFile> file;
  ASSERT_TRUE(env->NewRandomAccessFile("/a", &file, rocksdb::EnvOptions()).ok());
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < wrong.size(); ++thread) {
    threads.emplace_back([&, thread] {
      Random chance{thread + 1};
      std::string scratch(10'000, '\0');
      for (int i = 0; i < 500; ++i) {
        const std::uint64_t at = chance.Below(text.size() + 100);
        const std::size_t count = chance.Below(scratch.size());
        rocksdb::Slice got;
        const bool read = file->Read(at, count, &got, scratch.data()).ok();
        const std::string want = at < text.size() ? text.substr(at, count) : "";
        if (!read || got.ToString() != want) ++wrong[thread];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST_F(EncryptedEnv, SmallAppendsGiveTheWhole) {
  Random chance{1};
  const std::string text = Text(50'000);
  std::unique_ptr<rocksdb::WritableFile> file;
  ASSERT_TRUE(env->NewWritableFile("/a", &file, rocksdb::EnvOptions()).ok());
  for (std::size_t at = 0; at < text.size();) {
    const std::string part = text.substr(at, chance.Below(40));
    ASSERT_TRUE(file->Append(part).ok());
    at += part.size();
    ASSERT_EQ(file->GetFileSize(), at);
  }
  ASSERT_TRUE(file->Close().ok());
  EXPECT_EQ(Read("/a"), text);
  // A part of it, after a jump.
  std::unique_ptr<rocksdb::SequentialFile> in;
  ASSERT_TRUE(env->NewSequentialFile("/a", &in, rocksdb::EnvOptions()).ok());
  ASSERT_TRUE(in->Skip(12'345).ok());
  std::string scratch(100, '\0');
  rocksdb::Slice got;
  ASSERT_TRUE(in->Read(100, &got, scratch.data()).ok());
  EXPECT_EQ(got.ToString(), text.substr(12'345, 100));
}

// The same counter for two contents would show the difference of the two.
TEST_F(EncryptedEnv, NoCounterIsUsedForTwoContents) {
  Write("/a", "content");
  const std::string first = disk->Content("/a");
  Write("/a", "content");
  const std::string second = disk->Content("/a");
  EXPECT_NE(first.substr(0, kFileHeaderBytes), second.substr(0, kFileHeaderBytes));
  EXPECT_NE(first.substr(kFilePrefixBytes), second.substr(kFilePrefixBytes));

  std::unique_ptr<rocksdb::WritableFile> file;
  ASSERT_TRUE(env->ReuseWritableFile("/b", "/a", &file, rocksdb::EnvOptions()).ok());
  EXPECT_NE(disk->Content("/b").substr(0, kFileHeaderBytes), second.substr(0, kFileHeaderBytes));
  ASSERT_TRUE(file->Append("other").ok());
  ASSERT_TRUE(file->Truncate(2).ok());
  EXPECT_TRUE(file->Append("again").IsNotSupported()) << "in the place of what was there";
  EXPECT_TRUE(env->ReopenWritableFile("/b", &file, rocksdb::EnvOptions()).IsNotSupported());
  std::unique_ptr<rocksdb::RandomRWFile> in_place;
  EXPECT_TRUE(env->NewRandomRWFile("/b", &in_place, rocksdb::EnvOptions()).IsNotSupported());
  std::shared_ptr<rocksdb::Logger> logger;
  EXPECT_TRUE(env->NewLogger("/LOG", &logger).IsNotSupported()) << "in plaintext";
}

TEST_F(EncryptedEnv, FilesOfOthersAreRefused) {
  Write("/a", "content");
  const auto other = storage::NewEncryptedEnv(*base, Cipher(2));
  std::string content;
  rocksdb::Status read = rocksdb::ReadFileToString(other.get(), "/a", &content);
  EXPECT_TRUE(read.IsCorruption());
  EXPECT_NE(read.ToString().find("another key"), std::string::npos) << read.ToString();
  disk->SetContent("/plain", Text(5000));
  read = rocksdb::ReadFileToString(env.get(), "/plain", &content);
  EXPECT_NE(read.ToString().find("not encrypted"), std::string::npos) << read.ToString();
}

// At any operation of making and writing a file the power goes: what is there is a beginning.
TEST_F(EncryptedEnv, APowerCutLeavesAPartOrNothing) {
  const std::string text = Text(20'000);
  int nothing = 0;
  for (std::uint64_t at = 1; at <= 40; ++at) {
    SCOPED_TRACE(at);
    const auto fs = std::make_shared<CrashFs>(at);
    const auto below = rocksdb::NewCompositeEnv(fs);
    const auto crypt = storage::NewEncryptedEnv(*below, Cipher(1));
    fs->CrashAt(1 + at % 5);
    static_cast<void>(rocksdb::WriteStringToFile(crypt.get(), text, "/a", true));
    fs->Crash();
    fs->Reboot(at);
    if (below->FileExists("/a").IsNotFound()) continue;
    std::uint64_t size = 0;
    ASSERT_TRUE(crypt->GetFileSize("/a", &size).ok());
    std::string content;
    const rocksdb::Status read = rocksdb::ReadFileToString(crypt.get(), "/a", &content);
    ASSERT_TRUE(read.ok()) << read.ToString();
    ASSERT_EQ(content.size(), size);
    if (content.empty()) ++nothing;
  }
  EXPECT_GT(nothing, 3);
}

// --- Key files.

Status ReadsAs(const std::string& content, const storage::Secret** read = nullptr) {
  static std::shared_ptr<const storage::Secret> last;
  const TempFolder folder;
  WriteFile(folder / "key", content);
  auto key = storage::ReadKeyFile(folder / "key", nullptr);
  if (!key.ok()) return key.status();
  last = *std::move(key);
  if (read != nullptr) *read = last.get();
  return Status::Ok();
}

TEST(KeyFiles, AreBytesOrDigits) {
  const std::string raw(32, 'k');
  std::string digits;
  for (int i = 0; i < 32; ++i) digits += "6b";
  for (const std::string& content : {raw, digits, digits + "\n", digits + "\r\n"}) {
    const storage::Secret* key = nullptr;
    ASSERT_TRUE(ReadsAs(content, &key).ok()) << content;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(key->data()), 32), raw);
  }
}

/// The flags of the memory that `at` lies in, as the kernel has them; empty: it is not mapped.
std::string MemoryFlags(const void* at) {
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    const std::size_t dash = line.find('-');
    if (dash != std::string::npos && dash <= 16 && std::isxdigit(line[0]) != 0) {
      here = std::stoull(line.substr(0, dash), nullptr, 16) <= address &&
             address < std::stoull(line.substr(dash + 1), nullptr, 16);
    }
    if (here && line.starts_with("VmFlags:")) return line + " ";
  }
  return {};
}

TEST(KeyFiles, KeysStayOutOfCoreDumps) {
  const storage::Secret* key = nullptr;
  ASSERT_TRUE(ReadsAs(std::string(32, 'k'), &key).ok());
  EXPECT_NE(MemoryFlags(key->data()).find(" dd "), std::string::npos) << MemoryFlags(key->data());
  const storage::Secret derived(*key, "a label", "");
  EXPECT_NE(MemoryFlags(derived.data()).find(" dd "), std::string::npos);
  const storage::SecretPage text;
  EXPECT_NE(MemoryFlags(text.data()).find(" dd "), std::string::npos) << "what is read of a file";
  const std::string other(100, 'x');
  EXPECT_EQ(MemoryFlags(other.data()).find(" dd "), std::string::npos);
}

TEST(KeyFiles, OthersAreRefusedWithWhatIsWrong) {
  for (const std::string& content :
       {std::string(), std::string(31, 'k'), std::string(33, 'k'), std::string(64, 'x'),
        std::string(63, 'a'), std::string(65, 'a'), std::string(5000, 'a')}) {
    const Status refused = ReadsAs(content);
    EXPECT_EQ(refused.code(), Code::kInvalidArgument) << content.size();
    EXPECT_NE(refused.message().find("openssl rand -hex 32"), std::string::npos);
    EXPECT_EQ(refused.message().find("aaa"), std::string::npos) << "a key in a message";
  }
  EXPECT_NE(ReadsAs(std::string(31, 'k')).message().find("31 bytes"), std::string::npos);
  const auto missing = storage::ReadKeyFile("/no/such/key", nullptr);
  EXPECT_EQ(missing.code(), Code::kInvalidArgument);
  EXPECT_NE(missing.status().message().find("/no/such/key: No such file"), std::string::npos);
  EXPECT_EQ(storage::ReadKeyFile("/", nullptr).code(), Code::kInvalidArgument);
}

TEST(KeyFiles, ThatOthersMayReadAreWarnedOf) {
  using std::filesystem::perms;
  const TempFolder folder;
  WriteFile(folder / "key", std::string(32, 'k'));
  std::vector<std::string> lines;
  const auto sink = [&](node::LogSeverity, const std::string& line) { lines.push_back(line); };
  std::filesystem::permissions(folder / "key", perms::owner_read | perms::owner_write);
  ASSERT_TRUE(storage::ReadKeyFile(folder / "key", sink).ok());
  EXPECT_EQ(lines, std::vector<std::string>());
  std::filesystem::permissions(folder / "key", perms::owner_read | perms::others_read);
  ASSERT_TRUE(storage::ReadKeyFile(folder / "key", sink).ok());
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("chmod 600"), std::string::npos);
}

// --- The data folder.

/// A store with a few entries that have the marker, closed cleanly.
void FillAndClose(StoreWorld& world) {
  ASSERT_TRUE(world.Open().ok());
  ASSERT_TRUE(world.Form().ok());
  node::LogWrite write;
  write.entries = MakeEntries(Index(2), Term(1), 20, 100);
  for (raft::Entry& entry : write.entries) entry.payload = Bytes(std::string(kMarker) + "!");
  write.hard_state = raft::HardState{Term(1), kNobody, Index(2)};
  write.sync = true;
  ASSERT_TRUE(world.Write(write).ok());
  ASSERT_TRUE(world.CloseCleanly().ok());
}

bool HasPlaintext(const CrashFs& fs, const std::string& text) {
  const auto files = fs.Everything();
  return std::any_of(files.begin(), files.end(),
                     [&](const auto& file) { return file.second.find(text) != std::string::npos; });
}

TEST(EncryptedFolder, HoldsNoPlaintext) {
  StoreWorld plain;
  FillAndClose(plain);
  EXPECT_TRUE(HasPlaintext(*plain.fs, kMarker)) << "else the search proves nothing";
  EXPECT_TRUE(HasPlaintext(*plain.fs, "raftkvrc"));
  StoreWorld world;
  world.options.encryption_key_file = KeyFile(1);
  FillAndClose(world);
  EXPECT_FALSE(HasPlaintext(*world.fs, kMarker));
  EXPECT_FALSE(HasPlaintext(*world.fs, "raftkvrc"));
  EXPECT_FALSE(HasPlaintext(*world.fs, "rocksdb")) << "names of options and classes";
  for (const auto& [path, content] : world.fs->Everything()) {
    if (content == "(folder)" || path.ends_with("LOCK")) continue;
    EXPECT_TRUE(FileCipher::IsEncrypted(content)) << path;
  }
  ASSERT_TRUE(world.Open().ok());
  EXPECT_EQ(world.Read(Index(2), Index(2), 1 << 20)->at(0).payload.view(),
            std::string(kMarker) + "!");
}

void ExpectRefused(StoreWorld& world, const std::string& key_file, const std::string& words) {
  const std::map<std::string, std::string> before = world.fs->Everything();
  world.options.encryption_key_file = key_file;
  const Status refused = world.Open();
  EXPECT_EQ(refused.code(), Code::kPermissionDenied);
  EXPECT_NE(refused.message().find(words), std::string::npos) << refused.message();
  EXPECT_EQ(refused.message().find('\n'), std::string::npos);
  EXPECT_EQ(world.fs->Everything(), before);
}

TEST(EncryptedFolder, AWrongKeyOrNoneIsRefused) {
  StoreWorld world;
  world.options.encryption_key_file = KeyFile(1);
  FillAndClose(world);
  ExpectRefused(world, KeyFile(2), "encrypted with another key");
  ExpectRefused(world, "", "is encrypted: name its key with --encryption-key-file");
  world.options.encryption_key_file = KeyFile(1);
  EXPECT_TRUE(world.Open().ok());
}

TEST(EncryptedFolder, AKeyForAPlaintextFolderIsRefused) {
  StoreWorld world;
  FillAndClose(world);
  ExpectRefused(world, KeyFile(1), "not encrypted: leave out --encryption-key-file");
  world.options.encryption_key_file = "";
  EXPECT_TRUE(world.Open().ok());
}

TEST(EncryptedFolder, ADamagedRecordIsNoWrongKey) {
  StoreWorld world;
  world.options.encryption_key_file = KeyFile(1);
  FillAndClose(world);
  const std::string record = world.fs->Content("/data/n1/record");
  for (const std::size_t at : {0, 15, 30, 50}) {
    std::string damaged = record;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    world.fs->SetContent("/data/n1/record", damaged);
    const Status refused = world.Open();
    EXPECT_EQ(refused.code(), Code::kCorruption) << at << " " << refused.message();
    EXPECT_NE(refused.message().find("record file of the data folder is damaged"),
              std::string::npos)
        << refused.message();
  }
  // Behind the prefix are two copies.
  std::string damaged = record;
  damaged[4100] = static_cast<char>(damaged[4100] ^ 0x10);
  world.fs->SetContent("/data/n1/record", damaged);
  EXPECT_TRUE(world.Open().ok());
}

}  // namespace
}  // namespace raftkv::test
