#include "tests/sim/judges/refusals.h"

#include <string>

#include "lib/kv/parse.h"
#include "lib/kv/request.h"
#include "tests/sim/world.h"

namespace raftkv::sim {

namespace {

bool SaysRefused(Code code) {
  return code == Code::kNotLeader || code == Code::kUnavailable || code == Code::kNoSpace ||
         code == Code::kInvalidArgument;
}

Refusals::Key KeyOf(const kv::RequestHeader& header) { return {header.session, header.sequence}; }

}  // namespace

Refusals::Key Refusals::Asked(const Bytes& request) {
  const auto header = kv::ValidateRequest(request.view(), Limits());
  if (!header.ok()) return {};
  const Key key = KeyOf(*header);
  ++copies_[key].asked;
  return key;
}

void Refusals::Ended(const Key& key, const Status& status) {
  if (key != Key() && SaysRefused(status.code())) ++copies_[key].refused;
}

void Refusals::CompareWithLog() {
  // Only these are of interest.
  std::erase_if(copies_, [](const auto& item) { return item.second.asked > item.second.refused; });
  if (copies_.empty()) return;
  world_.checks().VisitCommitted([&](const raft::Entry& entry, const Checks::Result& result) {
    if (entry.kind != raft::EntryKind::kCommand || result.applied_ms == 0) return;
    kv::MessageBytes storage;
    kv::ParsedRequest request;
    if (!kv::ParseRequest(entry.payload.view(), SIZE_MAX, storage, request).ok()) return;
    if (copies_.count(KeyOf(request.header)) == 0) return;
    const auto response = kv::DecodeResponse(result.response.view(), request.operations.size());
    if (!response.ok() || response->code != Code::kOk) return;
    world_.Fail("refused is not carried out",
                "entry " + std::to_string(entry.index.value) +
                    " carries out a request that was refused wherever it was asked for");
  });
}

}  // namespace raftkv::sim
