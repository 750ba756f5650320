// How is a stream of bytes put into a file so that only who has the key reads it, and notices any
// change of it? (docs/disk-format.md)
//
// AES-256-GCM in chunks, so that both sides need little memory. Each file has a key of its own; the
// nonce of a chunk is its number and whether it is the last one: chunks that were changed, left
// out, put elsewhere, or taken from another file are found, and so is a file that was cut short or
// made longer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <raftkv/status.h>

#include "storage/cipher/secret.h"

struct evp_cipher_ctx_st;

namespace raftkv::storage {

inline constexpr std::uint32_t kSealedFormatVersion = 1;
inline constexpr std::size_t kSealedChunkBytes = 64 << 10;
inline constexpr std::size_t kSealedTagBytes = 16;
inline constexpr std::size_t kSealedHeaderBytes = 8 + 4 + 4 + 32 + 7 + kSealBytes + 8;

/// Whether a file that begins so is a sealed one; kSealedHeaderBytes are enough.
bool IsSealed(std::string_view begin);

/// A key and a counter, for one file.
class ChunkCipher {
 public:
  ChunkCipher(const Secret& key, std::string_view salt, std::string_view nonce);
  ~ChunkCipher();
  ChunkCipher(const ChunkCipher&) = delete;
  ChunkCipher& operator=(const ChunkCipher&) = delete;

  /// The next chunk with its tag, in place of what `out` held. False: there are too many.
  bool Seal(std::string_view plain, bool last, std::string& out);
  /// False: it is not what was sealed as the next chunk.
  bool Open(std::string_view sealed, bool last, std::string& out);
  [[nodiscard]] std::uint64_t next() const { return next_; }

 private:
  bool Begin(bool encrypt, bool last);

  evp_cipher_ctx_st* const context_;
  const Secret file_key_;
  const std::string nonce_;
  std::uint64_t next_ = 0;
};

/// Not safe for several threads at once.
class SealedWriter {
 public:
  /// Takes the bytes of the file in their order; what it returns is handed on.
  using Sink = std::function<Status(std::string_view)>;
  SealedWriter(const Secret& key, Sink sink);

  Status Append(std::string_view plain);
  /// Writes what is left. Without it the file is one that was cut short.
  Status Finish();

 private:
  Status WriteChunk(bool last);

  const Sink sink_;
  std::string header_;  ///< empty: it was written
  ChunkCipher cipher_;
  std::string plain_;
  std::string sealed_;
  Status failure_;
  bool finished_ = false;
};

/// Not safe for several threads at once.
class SealedReader {
 public:
  /// Puts the next bytes of the file, at most `size`, into `buffer`; 0: there are no more.
  using Source = std::function<Result<std::size_t>(char* buffer, std::size_t size)>;

  /// PermissionDenied: sealed with another key. VersionMismatch: by a newer program. Corruption: no
  /// sealed file, or its header is damaged. And what `source` returns.
  static Result<std::unique_ptr<SealedReader>> Open(const Secret& key, Source source);

  /// The next bytes, valid until the next call; empty: the end, and all of it was as it was sealed.
  /// Corruption: it is not; nothing of the place where it differs was handed out.
  Result<std::string_view> Next();

 private:
  SealedReader(const Secret& key, std::string_view salt, std::string_view nonce, Source source);
  /// Reads until `have_` has `size` bytes, or the file ends.
  Status Fill(std::size_t size);

  const Source source_;
  ChunkCipher cipher_;
  std::string have_;
  std::string plain_;
  Status failure_;
  bool at_end_ = false;
};

/// The header of a file with this salt and the first bytes of its nonces.
std::string EncodeSealedHeader(const Secret& key, std::string_view salt, std::string_view nonce);

}  // namespace raftkv::storage
