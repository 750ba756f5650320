#include "storage/cipher/sealed_file.h"

#include <xxhash.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "lib/base/bytes.h"
#include "lib/base/check.h"

namespace raftkv::storage {

namespace {

constexpr std::string_view kSealedMagic = "raftkvsl";
constexpr std::size_t kSaltBytes = 32;
constexpr std::size_t kNonceBytes = 7;  // and 4 of the number, and 1 for the last chunk
constexpr std::size_t kSaltAt = 8 + 4 + 4;
constexpr std::size_t kNonceAt = kSaltAt + kSaltBytes;
constexpr std::size_t kSealAt = kNonceAt + kNonceBytes;
constexpr std::size_t kChecksumAt = kSealAt + kSealBytes;
static_assert(kChecksumAt + 8 == kSealedHeaderBytes);

unsigned char* Raw(std::string& bytes, std::size_t at = 0) {
  return reinterpret_cast<unsigned char*>(bytes.data()) + at;
}

const unsigned char* Raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

std::string SealOf(const Secret& key, std::string_view before) {
  return Secret(key, "raftkv sealed check", "").Seal(before);
}

Status BadHeader() {
  return Status(Code::kCorruption, "this is not a sealed file, or its header is damaged");
}

Status CheckHeader(const Secret& key, std::string_view header) {
  if (header.size() < kSealedHeaderBytes || !IsSealed(header)) return BadHeader();
  std::string_view in = header.substr(kSealedMagic.size());
  const std::uint32_t version = *TakeBigEndian32(in);
  if (version > kSealedFormatVersion) {
    return Status(Code::kVersionMismatch, "the sealed file has format version " +
                                              std::to_string(version) + ", this program knows " +
                                              std::to_string(kSealedFormatVersion) +
                                              ": use the newer program");
  }
  const std::uint32_t chunk_bytes = *TakeBigEndian32(in);
  std::string_view checksum = header.substr(kChecksumAt);
  if (*TakeBigEndian64(checksum) != XXH3_64bits(header.data(), kChecksumAt)) return BadHeader();
  if (version == 0 || chunk_bytes != kSealedChunkBytes) return BadHeader();
  const std::string seal = SealOf(key, header.substr(0, kSealAt));
  if (CRYPTO_memcmp(seal.data(), header.data() + kSealAt, kSealBytes) != 0) {
    return Status(Code::kPermissionDenied,
                  "the file is sealed with another key: name the file with that key");
  }
  return Status::Ok();
}

}  // namespace

bool IsSealed(std::string_view begin) { return begin.starts_with(kSealedMagic); }

std::string EncodeSealedHeader(const Secret& key, std::string_view salt, std::string_view nonce) {
  RAFTKV_CHECK(salt.size() == kSaltBytes, salt.size());
  RAFTKV_CHECK(nonce.size() == kNonceBytes, nonce.size());
  std::string out(kSealedMagic);
  AppendBigEndian32(out, kSealedFormatVersion);
  AppendBigEndian32(out, static_cast<std::uint32_t>(kSealedChunkBytes));
  out.append(salt);
  out.append(nonce);
  out.append(SealOf(key, out));
  AppendBigEndian64(out, XXH3_64bits(out.data(), out.size()));
  RAFTKV_CHECK(out.size() == kSealedHeaderBytes, out.size());
  return out;
}

// --- Chunks.

ChunkCipher::ChunkCipher(const Secret& key, std::string_view salt, std::string_view nonce)
    : context_(EVP_CIPHER_CTX_new()), file_key_(key, "raftkv sealed file", salt), nonce_(nonce) {
  RAFTKV_CHECK(context_ != nullptr);
}

ChunkCipher::~ChunkCipher() { EVP_CIPHER_CTX_free(context_); }

bool ChunkCipher::Begin(bool encrypt, bool last) {
  if (next_ > std::numeric_limits<std::uint32_t>::max()) return false;
  std::string nonce = nonce_;
  AppendBigEndian32(nonce, static_cast<std::uint32_t>(next_++));
  nonce.push_back(last ? 1 : 0);
  const int set = EVP_CipherInit_ex(context_, EVP_aes_256_gcm(), nullptr, file_key_.data(),
                                    Raw(nonce), encrypt ? 1 : 0);
  RAFTKV_CHECK(set == 1, set);
  return true;
}

bool ChunkCipher::Seal(std::string_view plain, bool last, std::string& out) {
  RAFTKV_CHECK(plain.size() <= kSealedChunkBytes, plain.size());
  if (!Begin(true, last)) return false;
  out.resize(plain.size() + kSealedTagBytes);
  int size = 0;
  int done = plain.empty() ? 1
                           : EVP_CipherUpdate(context_, Raw(out), &size, Raw(plain),
                                              static_cast<int>(plain.size()));
  RAFTKV_CHECK(done == 1, done);
  RAFTKV_CHECK(size == static_cast<int>(plain.size()), size);
  done = EVP_CipherFinal_ex(context_, Raw(out, plain.size()), &size);
  RAFTKV_CHECK(done == 1, done);
  RAFTKV_CHECK(size == 0, size);
  done = EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kSealedTagBytes),
                             Raw(out, plain.size()));
  RAFTKV_CHECK(done == 1, done);
  return true;
}

bool ChunkCipher::Open(std::string_view sealed, bool last, std::string& out) {
  if (sealed.size() < kSealedTagBytes || !Begin(false, last)) return false;
  const std::string_view text = sealed.substr(0, sealed.size() - kSealedTagBytes);
  std::string tag(sealed.substr(text.size()));
  out.resize(text.size() + 1);  // never empty: the library wants a place
  int size = 0;
  int done = text.empty() ? 1
                          : EVP_CipherUpdate(context_, Raw(out), &size, Raw(text),
                                             static_cast<int>(text.size()));
  RAFTKV_CHECK(done == 1, done);
  RAFTKV_CHECK(size == static_cast<int>(text.size()), size);
  done = EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kSealedTagBytes),
                             tag.data());
  RAFTKV_CHECK(done == 1, done);
  done = EVP_CipherFinal_ex(context_, Raw(out, text.size()), &size);
  out.resize(done == 1 ? text.size() : 0);
  return done == 1;
}

// --- Writing.

SealedWriter::SealedWriter(const Secret& key, Sink sink)
    : sink_(std::move(sink)),
      header_(EncodeSealedHeader(key, DrawBytes(kSaltBytes), DrawBytes(kNonceBytes))),
      cipher_(key, std::string_view(header_).substr(kSaltAt, kSaltBytes),
              std::string_view(header_).substr(kNonceAt, kNonceBytes)) {
  plain_.reserve(kSealedChunkBytes);
}

Status SealedWriter::WriteChunk(bool last) {
  if (!header_.empty()) {
    failure_ = sink_(std::exchange(header_, std::string()));
    if (!failure_.ok()) return failure_;
  }
  if (!cipher_.Seal(plain_, last, sealed_)) {
    failure_ = Status(Code::kInvalidArgument, "more than 256 TiB cannot be sealed in one file");
    return failure_;
  }
  plain_.clear();
  failure_ = sink_(sealed_);
  return failure_;
}

Status SealedWriter::Append(std::string_view plain) {
  RAFTKV_CHECK(!finished_);
  while (failure_.ok() && !plain.empty()) {
    // Only what is followed by something is not the last.
    if (plain_.size() == kSealedChunkBytes && !WriteChunk(false).ok()) break;
    const std::string_view part = plain.substr(0, kSealedChunkBytes - plain_.size());
    plain_.append(part);
    plain.remove_prefix(part.size());
  }
  return failure_;
}

Status SealedWriter::Finish() {
  RAFTKV_CHECK(!finished_);
  finished_ = true;
  return failure_.ok() ? WriteChunk(true) : failure_;
}

// --- Reading.

SealedReader::SealedReader(const Secret& key, std::string_view salt, std::string_view nonce,
                           Source source)
    : source_(std::move(source)), cipher_(key, salt, nonce) {}

Result<std::unique_ptr<SealedReader>> SealedReader::Open(const Secret& key, Source source) {
  std::string header(kSealedHeaderBytes, '\0');
  std::size_t have = 0;
  while (have < header.size()) {
    const Result<std::size_t> got = source(header.data() + have, header.size() - have);
    if (!got.ok()) return got.status();
    if (*got == 0) break;
    have += *got;
  }
  header.resize(have);
  if (Status s = CheckHeader(key, header); !s.ok()) return s;
  const std::string_view view(header);
  return std::unique_ptr<SealedReader>(new SealedReader(key, view.substr(kSaltAt, kSaltBytes),
                                                        view.substr(kNonceAt, kNonceBytes),
                                                        std::move(source)));
}

Status SealedReader::Fill(std::size_t size) {
  std::size_t have = have_.size();
  have_.resize(std::max(have, size));
  while (have < size) {
    const Result<std::size_t> got = source_(have_.data() + have, size - have);
    if (!got.ok() || *got == 0) {
      have_.resize(have);
      return got.status();
    }
    RAFTKV_CHECK(*got <= size - have, *got, size - have);
    have += *got;
  }
  return Status::Ok();
}

Result<std::string_view> SealedReader::Next() {
  if (!failure_.ok()) return failure_;
  if (at_end_) return std::string_view();
  constexpr std::size_t kWhole = kSealedChunkBytes + kSealedTagBytes;
  // One byte more tells whether another chunk follows.
  failure_ = Fill(kWhole + 1);
  if (!failure_.ok()) return failure_;
  at_end_ = have_.size() <= kWhole;
  const std::uint64_t number = cipher_.next();
  const std::string_view chunk = std::string_view(have_).substr(0, kWhole);
  // Only a file without any content has an empty chunk.
  const bool sensible = chunk.size() > kSealedTagBytes || number == 0;
  if (!sensible || !cipher_.Open(chunk, at_end_, plain_)) {
    failure_ = Status(Code::kCorruption, "the sealed file was changed or truncated, in its chunk " +
                                             std::to_string(number));
    return failure_;
  }
  have_.erase(0, chunk.size());
  return std::string_view(plain_);
}

}  // namespace raftkv::storage
