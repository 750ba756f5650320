#include "lib/kv/counts_cache.h"

#include <xxhash.h>

#include <bit>
#include <cstring>
#include <type_traits>

#include "lib/base/check.h"

namespace raftkv::kv {
namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);
/// One chain for so many bytes: about as many as there are entries of short keys.
constexpr std::size_t kBytesOfChain = 64;
/// An entry of more than this part of the ring is not worth the others that it drives out.
constexpr std::size_t kLargestPart = 4;
/// Entries that were used and are put back before one goes all the same: bounds the work of a put.
constexpr int kMostPutBack = 8;

}  // namespace

CountsCache::CountsCache(std::size_t max_bytes) {
  static_assert(sizeof(Entry) % kWord == 0 && std::is_trivially_copyable_v<Entry>);
  const std::size_t chains = std::bit_floor(max_bytes / kBytesOfChain);
  const std::size_t words = (max_bytes - chains * sizeof(Place)) / kWord;
  if (chains == 0 || words < kLargestPart * WordsOf(1)) return;
  RAFTKV_CHECK(words < UINT32_MAX, words);
  ring_.reset(static_cast<std::uint64_t*>(std::calloc(words, kWord)));
  chains_.reset(static_cast<Place*>(std::calloc(chains, sizeof(Place))));
  if (ring_ == nullptr || chains_ == nullptr) return;  // it is only a cache
  words_ = words;
  chain_mask_ = chains - 1;
}

CountsCache::Entry& CountsCache::At(Place place) {
  return *reinterpret_cast<Entry*>(&ring_[place]);
}

std::string_view CountsCache::KeyOf(Place place) {
  return {reinterpret_cast<const char*>(&ring_[place]) + sizeof(Entry), At(place).key_bytes};
}

std::size_t CountsCache::WordsOf(std::size_t key_bytes) {
  return sizeof(Entry) / kWord + (key_bytes + kWord - 1) / kWord;
}

CountsCache::Place& CountsCache::LinkTo(std::string_view key) {
  Place* link = &chains_[XXH3_64bits(key.data(), key.size()) & chain_mask_];
  while (*link != kEnd && KeyOf(*link - 1) != key) link = &At(*link - 1).next;
  return *link;
}

Counts* CountsCache::Find(std::string_view key) {
  const Place link = words_ == 0 ? kEnd : LinkTo(key);
  if (link == kEnd) return nullptr;
  Entry& entry = At(link - 1);
  entry.used = 1;
  return &entry.counts;
}

void CountsCache::Put(std::string_view key, const Counts& counts) {
  const std::size_t words = WordsOf(key.size());
  if (words > words_ / kLargestPart) return;
  if (const Place link = LinkTo(key); link != kEnd) {
    Entry& entry = At(link - 1);
    entry.counts = counts;
    entry.used = 1;
    return;
  }
  MakeRoom(words);
  const Place place = Take(words);
  Entry entry;
  entry.key_bytes = static_cast<std::uint32_t>(key.size()) & 0x7fffffff;
  entry.counts = counts;
  std::memcpy(&ring_[place], &entry, sizeof(Entry));
  if (!key.empty()) {
    std::memcpy(reinterpret_cast<char*>(&ring_[place]) + sizeof(Entry), key.data(), key.size());
  }
  // Only now: making room has changed the chains.
  LinkTo(key) = place + 1;
  ++size_;
}

void CountsCache::Forget(std::string_view key) {
  if (words_ == 0) return;
  if (const Place link = LinkTo(key); link != kEnd) At(link - 1).counts = {};
}

bool CountsCache::HasRoom(std::size_t words) {
  if (wraps_) return oldest_ - next_ >= words;
  return words_ - next_ >= words || oldest_ >= words;
}

CountsCache::Place CountsCache::Take(std::size_t words) {
  RAFTKV_CHECK(HasRoom(words), words, oldest_, next_);
  if (!wraps_ && words_ - next_ < words) {
    end_ = next_;
    next_ = 0;
    wraps_ = true;
  }
  const std::size_t place = next_;
  next_ += words;
  return static_cast<Place>(place);
}

void CountsCache::TakeOldest() {
  RAFTKV_CHECK(size_ > 0);
  const auto place = static_cast<Place>(oldest_);
  const std::string_view key = KeyOf(place);
  Place& link = LinkTo(key);
  RAFTKV_CHECK(link == place + 1, link, place);
  link = At(place).next;
  const std::size_t words = WordsOf(key.size());
  moved_.assign(&ring_[place], &ring_[place] + words);
  oldest_ += words;
  --size_;
  if (wraps_ && oldest_ == end_) {
    oldest_ = 0;
    wraps_ = false;
  }
  if (size_ == 0) {
    oldest_ = next_ = 0;
    wraps_ = false;
  }
}

void CountsCache::MakeRoom(std::size_t words) {
  int put_back = 0;
  while (!HasRoom(words)) {
    TakeOldest();
    Entry& entry = *reinterpret_cast<Entry*>(moved_.data());
    if (entry.used == 0 || put_back++ == kMostPutBack) continue;
    entry.used = 0;
    entry.next = kEnd;
    // Its own room is free now, and lies before or behind what was free.
    const Place place = Take(moved_.size());
    std::memcpy(&ring_[place], moved_.data(), moved_.size() * kWord);
    LinkTo(KeyOf(place)) = place + 1;
    ++size_;
  }
}

}  // namespace raftkv::kv
