// Where do the bytes of many small mutations live until they are written, without one allocation
// each?
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace raftkv::kv {

/// Memory that is given back all at once. What Allocate returned stays where it is until Reset.
class Arena {
 public:
  char* Allocate(std::size_t bytes) {
    used_bytes_ += bytes;
    if (bytes > kLargeBytes) {
      large_.push_back(std::make_unique_for_overwrite<char[]>(bytes));
      return large_.back().get();
    }
    if (bytes > left_bytes_) NextChunk();
    char* const result = next_;
    next_ += bytes;
    left_bytes_ -= bytes;
    return result;
  }

  std::string_view Copy(std::string_view bytes) {
    char* const copy = Allocate(bytes.size());
    if (!bytes.empty()) std::memcpy(copy, bytes.data(), bytes.size());
    return {copy, bytes.size()};
  }

  void Reset() {
    large_.clear();
    while (chunks_.size() > kKeptChunks) chunks_.pop_back();
    next_chunk_ = 0;
    next_ = nullptr;
    left_bytes_ = 0;
    used_bytes_ = 0;
  }

  [[nodiscard]] std::size_t used_bytes() const { return used_bytes_; }

 private:
  // Chunks grow, so that a small use stays cheap.
  static constexpr std::size_t kFirstChunkBytes = 4 << 10;
  static constexpr std::size_t kMaxChunkBytes = 256 << 10;
  static constexpr std::size_t kLargeBytes = kFirstChunkBytes;
  static constexpr std::size_t kKeptChunks = 16;

  struct Chunk {
    std::unique_ptr<char[]> memory;
    std::size_t size_bytes = 0;
  };

  void NextChunk() {
    if (next_chunk_ == chunks_.size()) {
      const std::size_t size_bytes = chunks_.empty()
                                         ? kFirstChunkBytes
                                         : std::min(kMaxChunkBytes, 2 * chunks_.back().size_bytes);
      chunks_.push_back({std::make_unique_for_overwrite<char[]>(size_bytes), size_bytes});
    }
    next_ = chunks_[next_chunk_].memory.get();
    left_bytes_ = chunks_[next_chunk_].size_bytes;
    ++next_chunk_;
  }

  std::vector<Chunk> chunks_;
  std::vector<std::unique_ptr<char[]>> large_;
  std::size_t next_chunk_ = 0;
  char* next_ = nullptr;
  std::size_t left_bytes_ = 0;
  std::size_t used_bytes_ = 0;
};

}  // namespace raftkv::kv
