#include "storage/cipher/file_cipher.h"

#include <xxhash.h>

#include <algorithm>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "lib/base/bytes.h"
#include "lib/base/check.h"

namespace raftkv::storage {

namespace {

constexpr std::string_view kFileMagic = "raftkvef";
constexpr std::size_t kCipherBlockBytes = 16;
/// EVP counts in int.
constexpr std::size_t kMostAtOnce = std::size_t{1} << 30;

/// `first` plus `blocks`, as the number that its bytes are.
FileCipher::Counter Advance(FileCipher::Counter first, std::uint64_t blocks) {
  unsigned carry = 0;
  for (std::size_t i = first.size(); i-- > 0;) {
    const unsigned sum = first[i] + static_cast<unsigned>(blocks & 0xff) + carry;
    first[i] = static_cast<unsigned char>(sum);
    carry = sum >> 8;
    blocks >>= 8;
  }
  return first;
}

bool AllZero(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == '\0'; });
}

}  // namespace

FileCipher::FileCipher(const Secret& key)
    : content_key_(key, "raftkv file content", ""), check_key_(key, "raftkv file check", "") {}

FileCipher::~FileCipher() {
  for (Context* context : idle_) EVP_CIPHER_CTX_free(context);  // which wipes its key
}

// --- The prefix.

FileCipher::Counter FileCipher::DrawCounter() {
  const std::string bytes = DrawBytes(kCipherBlockBytes);
  Counter counter;
  std::copy(bytes.begin(), bytes.end(), counter.begin());
  return counter;
}

std::string FileCipher::MakePrefix(const Counter& counter) const {
  std::string out(kFileMagic);
  AppendBigEndian32(out, kFilePrefixVersion);
  out.append(counter.begin(), counter.end());
  out.append(check_key_.Seal(out));
  AppendBigEndian64(out, XXH3_64bits(out.data(), out.size()));
  RAFTKV_CHECK(out.size() == kFileHeaderBytes, out.size());
  out.resize(kFilePrefixBytes);
  return out;
}

bool FileCipher::IsEncrypted(std::string_view begin) { return begin.starts_with(kFileMagic); }

PrefixKind FileCipher::Inspect(std::string_view begin, std::uint64_t file_bytes,
                               Counter& counter) const {
  counter.fill(0);
  const std::string_view header = begin.substr(0, kFileHeaderBytes);
  const bool magic = header.starts_with(kFileMagic.substr(0, header.size()));
  const bool cut_short = magic && header.size() < kFileHeaderBytes;
  if (file_bytes <= kFilePrefixBytes && (AllZero(begin) || cut_short)) {
    return PrefixKind::kUnfinished;
  }
  if (!magic || header.size() < kFileHeaderBytes) return PrefixKind::kPlain;
  std::string_view in = header.substr(kFileMagic.size());
  const std::uint32_t version = TakeBigEndian32(in).value_or(0);
  if (version > kFilePrefixVersion) return PrefixKind::kNewer;
  constexpr std::size_t kChecked = kFileHeaderBytes - 8;
  std::string_view checksum = header.substr(kChecked);
  const bool fits = *TakeBigEndian64(checksum) == XXH3_64bits(header.data(), kChecked);
  if (!fits || version == 0) return PrefixKind::kDamaged;
  constexpr std::size_t kSealed = kChecked - kSealBytes;
  const std::string seal = check_key_.Seal(header.substr(0, kSealed));
  if (CRYPTO_memcmp(seal.data(), header.data() + kSealed, kSealBytes) != 0) {
    return PrefixKind::kOtherKey;
  }
  std::copy_n(in.begin(), counter.size(), counter.begin());
  return file_bytes < kFilePrefixBytes ? PrefixKind::kUnfinished : PrefixKind::kOurs;
}

// --- The content.

FileCipher::Context* FileCipher::Borrow() const {
  {
    const MutexLock lock(mutex_);
    if (!idle_.empty()) {
      Context* context = idle_.back();
      idle_.pop_back();
      return context;
    }
  }
  Context* context = EVP_CIPHER_CTX_new();
  RAFTKV_CHECK(context != nullptr);
  const int set =
      EVP_EncryptInit_ex(context, EVP_aes_256_ctr(), nullptr, content_key_.data(), nullptr);
  RAFTKV_CHECK(set == 1, set);
  return context;
}

void FileCipher::GiveBack(Context* context) const {
  const MutexLock lock(mutex_);
  idle_.push_back(context);  // as many as threads were at it at once
}

void FileCipher::Crypt(const Counter& first, std::uint64_t position, char* data,
                       std::size_t size) const {
  if (size == 0) return;
  const Counter counter = Advance(first, position / kCipherBlockBytes);
  Context* const context = Borrow();
  int done = EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, counter.data());
  RAFTKV_CHECK(done == 1, done);
  int out = 0;
  if (const std::size_t passed = position % kCipherBlockBytes; passed > 0) {
    std::array<unsigned char, kCipherBlockBytes> begun{};
    done = EVP_EncryptUpdate(context, begun.data(), &out, begun.data(), static_cast<int>(passed));
    RAFTKV_CHECK(done == 1, done);
  }
  auto* at = reinterpret_cast<unsigned char*>(data);
  while (size > 0) {
    const std::size_t part = std::min(size, kMostAtOnce);
    done = EVP_EncryptUpdate(context, at, &out, at, static_cast<int>(part));
    RAFTKV_CHECK(done == 1, done);
    RAFTKV_CHECK(out == static_cast<int>(part), out, part);
    at += part;
    size -= part;
  }
  GiveBack(context);
}

}  // namespace raftkv::storage
