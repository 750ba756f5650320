#include "storage/disk/checksums.h"

#include "lib/base/check.h"
#include "lib/base/xxh3.h"

namespace raftkv::storage {

namespace {

XXH3_state_t* StateOf(void* state) { return static_cast<XXH3_state_t*>(state); }

}  // namespace

RunningChecksum::RunningChecksum() : state_(XXH3_createState()) {
  RAFTKV_CHECK(state_ != nullptr);
  XXH3_64bits_reset(StateOf(state_));
}
RunningChecksum::~RunningChecksum() { XXH3_freeState(StateOf(state_)); }
void RunningChecksum::Add(std::string_view bytes) {
  XXH3_64bits_update(StateOf(state_), bytes.data(), bytes.size());
}
std::uint64_t RunningChecksum::Value() const { return XXH3_64bits_digest(StateOf(state_)); }

}  // namespace raftkv::storage
