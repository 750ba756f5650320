// Which keys does a store have that a target sends its input to?
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "lib/kv/store.h"
#include "tests/support/node/fake_engine.h"

namespace raftkv::fuzz {

inline constexpr std::uint64_t kStartMs = 1'000'000;
/// That wrote them, with its sequence 1.
inline constexpr std::uint64_t kStoredSession = 0x5eed'5eed'5eed'5eed;

/// Some keys, a number among them, and a session.
const test::FakeEngine::Content& StoredKeys();

/// Aborts unless it can be opened.
std::unique_ptr<kv::Store> OpenStore(kv::Engine& engine);

/// Applies `request` as the next entry.
Result<Bytes> Apply(kv::Store& store, std::string_view request);

/// Every record in it is one that its decoder takes.
void CheckRecords(const test::FakeEngine::Content& content, std::uint64_t revision);

}  // namespace raftkv::fuzz
