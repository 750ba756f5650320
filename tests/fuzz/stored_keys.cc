#include "tests/fuzz/stored_keys.h"

#include <string>
#include <utility>
#include <vector>

#include "lib/base/bytes.h"
#include "lib/base/check.h"
#include "lib/kv/layout.h"
#include "lib/kv/record.h"
#include "lib/kv/request.h"
#include "lib/kv/session.h"

namespace raftkv::fuzz {

const test::FakeEngine::Content& StoredKeys() {
  static const test::FakeEngine::Content content = [] {
    test::FakeEngine engine;
    const std::unique_ptr<kv::Store> store = OpenStore(engine);
    std::vector<kv::Operation> puts;
    for (const char* const key : {"a", "b", "key", "k1", "k2", "k3", "z"}) {
      puts.emplace_back(kv::PutOp{key, std::string("value of ") + key});
    }
    puts.emplace_back(kv::PutOp{"n", "41"});
    puts.emplace_back(kv::PutOp{std::string("\xff\xff", 2), std::string(300, 'v')});
    const kv::RequestHeader header{.session = kStoredSession,
                                   .opened_at_ms = kStartMs,
                                   .sequence = 1,
                                   .acknowledged_below = 0};
    const Result<Bytes> answer = Apply(*store, kv::EncodeRequest(header, puts).view());
    RAFTKV_CHECK(answer.ok(), answer.status().ToString());
    return engine.content();
  }();
  return content;
}

std::unique_ptr<kv::Store> OpenStore(kv::Engine& engine) {
  // A store that is opened for each input has no use for a large cache.
  kv::StoreOptions options;
  options.counts_cache_bytes = 64 << 10;
  Result<std::unique_ptr<kv::Store>> store = kv::Store::Open(engine, options);
  RAFTKV_CHECK(store.ok(), store.status().ToString());
  return *std::move(store);
}

Result<Bytes> Apply(kv::Store& store, std::string_view request) {
  const Result<std::vector<kv::Store::AppliedEntry>> applied =
      store.Apply({{.index = store.applied().Next(),
                    .term = Term(1),
                    .kind = raft::EntryKind::kCommand,
                    .time_ms = kStartMs,
                    .payload = Bytes(std::string(request))}});
  if (!applied.ok()) return applied.status();
  RAFTKV_CHECK(applied->size() == 1, applied->size());
  return applied->front().response;
}

void CheckRecords(const test::FakeEngine::Content& content, std::uint64_t revision) {
  for (const auto& [key, record] : content) {
    std::string_view id = std::string_view(key).substr(1);
    if (key.front() == kv::kDataPrefix) {
      const Result<kv::DataRecord> data = kv::DecodeDataRecord(record);
      RAFTKV_CHECK(data.ok(), data.status().ToString());
      RAFTKV_CHECK(data->counts.mod_revision <= revision, data->counts.mod_revision, revision);
    } else if (key.front() == kv::kSessionPrefix) {
      const Result<kv::Session> session = kv::DecodeSession(*TakeBigEndian64(id), record);
      RAFTKV_CHECK(session.ok(), session.status().ToString());
      RAFTKV_CHECK(kv::EncodeSession(*session) == record);
    }
  }
}

}  // namespace raftkv::fuzz
