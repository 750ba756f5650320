// What are the counts of the keys that were used lately, without a read of the engine?
//
// A put has to know the create_revision and version of the key that it overwrites. This is only a
// cache: what is not in it is read from the engine, so that members with caches of different sizes
// come to the same records. It is exact for what is in it: whoever changes a key says so at once.
//
// The entries lie in a ring in the order in which they came, and a table of chains finds them. The
// oldest one makes room; if it was used since it was put there it is put back once, without that
// mark (CLOCK). Whole keys, no hashes of them: two keys that are taken for one would make members
// differ.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "lib/kv/record.h"

namespace raftkv::kv {

class CountsCache {
 public:
  /// Takes at most about `max_bytes`, and what was not used yet takes no memory. Below the size of
  /// a few entries it holds nothing.
  explicit CountsCache(std::size_t max_bytes);

  /// Null: not known. Counts of version 0: there is no such key. May be changed, and is valid until
  /// the next Put.
  Counts* Find(std::string_view key);
  /// What `key` has from now on.
  void Put(std::string_view key, const Counts& counts);
  /// From now on there is no `key`; it is noted only if something is known of it.
  void Forget(std::string_view key);

  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  /// Places are counted in words of 8 bytes, from the start of the ring.
  using Place = std::uint32_t;
  /// Of a chain. Links are a place + 1, so that a table of zeros is empty.
  static constexpr Place kEnd = 0;
  struct Entry {
    Place next = kEnd;
    std::uint32_t key_bytes : 31 = 0;
    std::uint32_t used : 1 = 0;
    Counts counts;
  };
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };

  [[nodiscard]] Entry& At(Place place);
  [[nodiscard]] std::string_view KeyOf(Place place);
  static std::size_t WordsOf(std::size_t key_bytes);
  /// The link that leads to the entry of `key`, or the end of its chain.
  Place& LinkTo(std::string_view key);
  /// Whether an entry of so many words has a place without another going.
  bool HasRoom(std::size_t words);
  /// The next place of an entry of so many words; there is room.
  Place Take(std::size_t words);
  void MakeRoom(std::size_t words);
  /// Takes the oldest entry out, into moved_.
  void TakeOldest();

  std::size_t words_ = 0;
  std::size_t chain_mask_ = 0;
  /// Both from calloc: pages that nobody has touched cost nothing.
  std::unique_ptr<std::uint64_t[], Free> ring_;
  std::unique_ptr<Place[], Free> chains_;
  /// The entries are in [oldest_, next_), or in [oldest_, end_) and [0, next_) where it wraps.
  std::size_t oldest_ = 0;
  std::size_t next_ = 0;
  std::size_t end_ = 0;
  bool wraps_ = false;
  std::size_t size_ = 0;
  std::vector<std::uint64_t> moved_;
};

}  // namespace raftkv::kv
