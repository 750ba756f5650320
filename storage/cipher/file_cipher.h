// How is one file encrypted, and how is it told whose it is? (docs/disk-format.md)
//
// A file is a prefix of one page, in plaintext, and its content, AES-256 in counter mode. The
// prefix holds the first counter, drawn anew for each file; the byte at position p of the file is
// encrypted with block p / 16 of the stream that begins there. A counter may be used once only: so
// files are written at their end and never again in the same place (encrypted_fs.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/mutex.h"
#include "storage/cipher/secret.h"

struct evp_cipher_ctx_st;

namespace raftkv::storage {

inline constexpr std::uint32_t kFilePrefixVersion = 1;
/// A page, so that the pages of the content are where they were.
inline constexpr std::size_t kFilePrefixBytes = 4096;
/// What of it means something; the rest is zeros.
inline constexpr std::size_t kFileHeaderBytes = 8 + 4 + 16 + kSealBytes + 8;

enum class PrefixKind : std::uint8_t {
  kOurs,        ///< encrypted with this key
  kUnfinished,  ///< the file ends before its content: the power went while it was made
  kOtherKey,
  kNewer,  ///< of a later version
  kPlain,  ///< no prefix
  kDamaged,
};

/// One key. Safe from any thread.
class FileCipher {
 public:
  using Counter = std::array<unsigned char, 16>;

  explicit FileCipher(const Secret& key);
  ~FileCipher();
  FileCipher(const FileCipher&) = delete;
  FileCipher& operator=(const FileCipher&) = delete;

  /// The prefix of a file whose first counter is `counter`.
  [[nodiscard]] std::string MakePrefix(const Counter& counter) const;
  static Counter DrawCounter();
  /// `begin`: the first bytes of a file of `file_bytes`, kFilePrefixBytes if it has so many. Sets
  /// `counter` where it is ours, or unfinished.
  PrefixKind Inspect(std::string_view begin, std::uint64_t file_bytes, Counter& counter) const;
  /// Whether a file that begins so was encrypted with some key.
  static bool IsEncrypted(std::string_view begin);

  /// Encrypts or decrypts what stands at `position` of the file; the one is the other.
  void Crypt(const Counter& first, std::uint64_t position, char* data, std::size_t size) const;

 private:
  using Context = evp_cipher_ctx_st;
  Context* Borrow() const;
  void GiveBack(Context* context) const;

  const Secret content_key_;
  const Secret check_key_;
  // To set up a key costs more than to encrypt a small range with it.
  mutable Mutex mutex_;
  mutable std::vector<Context*> idle_ RAFTKV_GUARDED_BY(mutex_);  ///< each has the key
};

}  // namespace raftkv::storage
