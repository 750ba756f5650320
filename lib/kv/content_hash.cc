// Do two members hold the same keys and values?
#include <memory>

#include "lib/base/xxh3.h"
#include "lib/kv/layout.h"
#include "lib/kv/record.h"
#include "lib/kv/store.h"

namespace raftkv::kv {

Result<ContentHash> HashContent(Engine& engine, const CancelToken& token) {
  const std::unique_ptr<View> view = engine.NewView(ReadTier::kAll);
  const auto record = view->Get(std::string(1, kAppliedPrefix));
  if (!record.ok()) return record.status();
  ContentHash content;
  if (record->has_value()) {
    const auto position = DecodePosition(**record);
    if (!position.ok()) return position.status();
    content.index = position->index;
  }
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  // Sizes go in as well, so that no two contents run together to the same bytes.
  const auto add = [&](std::string_view bytes) {
    std::string size;
    AppendBigEndian64(size, bytes.size());
    XXH3_64bits_update(state.get(), size.data(), size.size());
    XXH3_64bits_update(state.get(), bytes.data(), bytes.size());
  };
  Status status = view->Scan(std::string(1, kDataPrefix), std::string(1, kDataPrefix + 1),
                             [&](std::string_view key, std::string_view data) {
                               add(key);
                               add(data);
                               ++content.keys;
                               return !token.cancelled();
                             });
  if (!status.ok()) return status;
  if (token.cancelled()) return Status(Code::kCancelled, "the hash was not computed to its end");
  content.hash = XXH3_64bits_digest(state.get());
  return content;
}

}  // namespace raftkv::kv
