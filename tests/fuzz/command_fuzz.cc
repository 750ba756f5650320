// Commands of the log: whatever a member accepts, every member can carry out; its answer can be
// read, its records can be read, and a retry gets the same answer and changes nothing.
#include <vector>

#include "lib/kv/parse.h"
#include "lib/kv/request.h"
#include "lib/kv/store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/stored_keys.h"
#include "tests/support/node/fake_engine.h"

namespace raftkv::fuzz {
namespace {

/// A log may hold what a newer version wrote, and damage that nothing else has found: the member
/// stops, with its data as it was.
void CheckHalt(std::string_view command) {
  test::FakeEngine engine(StoredKeys());
  const std::unique_ptr<kv::Store> store = OpenStore(engine);
  const Result<Bytes> answer = Apply(*store, command);
  if (answer.ok()) return CheckRecords(engine.content(), store->revisions().revision);
  CheckRefusal(answer.status(), {Code::kVersionMismatch, Code::kCorruption});
  RAFTKV_CHECK(engine.content() == StoredKeys());
}

std::size_t CountOperations(std::string_view command) {
  kv::MessageBytes storage;
  kv::ParsedRequest request;
  const Status parsed = kv::ParseRequest(command, SIZE_MAX, storage, request);
  RAFTKV_CHECK(parsed.ok(), parsed.ToString());
  return request.operations.size();
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(command) {
  const Result<kv::RequestHeader> header = kv::ValidateRequest(input, Limits());
  if (!header.ok()) return CheckHalt(input);
  // It would be told what that session's request was told.
  if (header->session == kStoredSession) return;
  test::FakeEngine engine(StoredKeys());
  const std::unique_ptr<kv::Store> store = OpenStore(engine);
  const std::uint64_t before = store->revisions().revision;
  const Result<Bytes> answer = Apply(*store, input);
  RAFTKV_CHECK(answer.ok(), answer.status().ToString());
  const Result<kv::Response> response = kv::DecodeResponse(answer->view(), CountOperations(input));
  RAFTKV_CHECK(response.ok(), response.status().ToString());
  const std::uint64_t after = store->revisions().revision;
  RAFTKV_CHECK(after >= before, after, before);
  bool changed = false;
  for (const kv::OperationResult& result : response->results) {
    changed = changed || result.changed;
    RAFTKV_CHECK(result.code == Code::kOk || !result.message.empty());
    RAFTKV_CHECK(result.code == Code::kOk || !result.changed);
  }
  RAFTKV_CHECK(changed == (after > before), after, before);
  CheckRecords(engine.content(), after);
  const Result<kv::ContentHash> content = kv::HashContent(engine);
  RAFTKV_CHECK(content.ok(), content.status().ToString());

  const Result<Bytes> again = Apply(*store, input);
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(*again == *answer);
  RAFTKV_CHECK(store->revisions().revision == after);
  const Result<kv::ContentHash> unchanged = kv::HashContent(engine);
  RAFTKV_CHECK(unchanged.ok(), unchanged.status().ToString());
  RAFTKV_CHECK(unchanged->hash == content->hash);
}
