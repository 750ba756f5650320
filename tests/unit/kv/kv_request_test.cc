#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include "lib/base/random.h"
#include "lib/kv/command.capnp.h"
#include "lib/kv/message_builder.h"
#include "lib/kv/parse.h"
#include "lib/kv/request.h"
#include "lib/kv/response.h"
#include "tests/support/node/kv_log.h"

namespace raftkv::kv {
namespace {

const RequestHeader kHeader{
    .session = 11, .opened_at_ms = 22, .sequence = 33, .acknowledged_below = 30};

TxnRequest OneOfEachInATxn() {
  TxnRequest txn;
  txn.compares = {Compare::Value("v", Compare::kEqual, "value"),
                  Compare::ModRevision("m", Compare::kNotEqual, 3),
                  Compare::CreateRevision("c", Compare::kLess, 4),
                  Compare::Version("n", Compare::kGreater, 5),
                  Compare::Lease("l", Compare::kEqual, 6),
                  Compare::Exists("p").WithPrefix(),
                  Compare::Missing("q").WithRange(""),
                  Compare::Value("w", Compare::kLess, "").WithRange("x")};
  ScanOptions options;
  options.limit = 7;
  options.keys_only = true;
  txn.success = {Op::Put("a", "1"),    Op::Put("b", "").WithPrevious(),
                 Op::Get("c"),         Op::Range({"d", "e"}, options),
                 Op::Range({"f", ""}), Op::Delete("g")};
  txn.failure = {Op::Increment("n", -1), Op::Txn(TxnRequest{{}, {Op::Get("i")}, {}}),
                 Op::DeleteRange({"r", "s"}).WithPrevious()};
  return txn;
}

std::vector<Operation> OneOfEach() {
  return {PutOp{"put", "value"},
          PutOp{std::string("\0key", 4), ""},
          DeleteOp{Range::Single("single")},
          DeleteOp{{Range::Kind::kBounded, "a", "b"}},
          DeleteOp{{Range::Kind::kUnbounded, "from", ""}},
          CompareAndSwapOp{"cas", "old", "new"},
          CompareAndSwapOp{"cas", std::nullopt, "new"},
          CompareAndSwapOp{"cas", "", "new"},
          IncrementOp{"counter", -5},
          PutOp{"put", "value", true},
          DeleteOp{Range::Single("single"), true},
          CompareAndSwapOp{"cas", "old", "new", true},
          PutOp{.key = "put", .value = "", .lease = 7, .keep_value = true},
          PutOp{.key = "put", .value = "v", .return_previous = true, .keep_lease = true},
          TxnOp{{}},
          TxnOp{OneOfEachInATxn()}};
}

std::string Flat(capnp::MessageBuilder& message) {
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}

Code Validate(std::string_view bytes, const Limits& limits = {}) {
  return ValidateRequest(bytes, limits).code();
}

TEST(KvRequest, WhatIsEncodedIsWhatIsParsed) {
  const Bytes bytes = EncodeRequest(kHeader, OneOfEach());
  MessageBytes storage;
  ParsedRequest parsed;
  ASSERT_TRUE(ParseRequest(bytes.view(), 100, storage, parsed).ok());
  EXPECT_EQ(parsed.header.session, 11U);
  EXPECT_EQ(parsed.header.opened_at_ms, 22U);
  EXPECT_EQ(parsed.header.sequence, 33U);
  EXPECT_EQ(parsed.header.acknowledged_below, 30U);
  const auto& ops = parsed.operations;
  ASSERT_EQ(ops.size(), 16U);
  EXPECT_EQ(ops[0].range.begin, "put");
  EXPECT_EQ(ops[0].value, "value");
  EXPECT_EQ(ops[1].range.begin, std::string_view("\0key", 4));
  EXPECT_EQ(ops[2].kind, ParsedOperation::Kind::kDelete);
  EXPECT_EQ(ops[2].range.kind, Range::Kind::kSingle);
  EXPECT_EQ(ops[3].range.kind, Range::Kind::kBounded);
  EXPECT_EQ(ops[3].range.end, "b");
  EXPECT_EQ(ops[4].range.kind, Range::Kind::kUnbounded);
  EXPECT_EQ(ops[5].expected, "old");
  EXPECT_EQ(ops[5].value, "new");
  EXPECT_FALSE(ops[5].expect_absent);
  EXPECT_TRUE(ops[6].expect_absent);
  EXPECT_FALSE(ops[7].expect_absent);
  EXPECT_EQ(ops[8].delta, -5);
  EXPECT_FALSE(ops[0].Keeps());
  EXPECT_EQ(ops[12].kind, ParsedOperation::Kind::kPut);
  EXPECT_EQ(ops[12].range.begin, "put");
  EXPECT_EQ(ops[12].lease, 7U);
  EXPECT_TRUE(ops[12].keep_value);
  EXPECT_FALSE(ops[12].keep_lease);
  EXPECT_EQ(ops[13].value, "v");
  EXPECT_TRUE(ops[13].return_previous);
  EXPECT_FALSE(ops[13].keep_value);
  EXPECT_TRUE(ops[13].keep_lease);
}

TEST(KvRequest, AValidRequestIsAcceptedAlsoWhereItIsNotAligned) {
  const Bytes bytes = EncodeRequest(kHeader, OneOfEach());
  EXPECT_EQ(Validate(bytes.view()), Code::kOk);
  for (std::size_t shift = 1; shift < 8; ++shift) {
    const std::string shifted = std::string(shift, 'x') + std::string(bytes.view());
    EXPECT_EQ(Validate(std::string_view(shifted).substr(shift)), Code::kOk) << shift;
  }
}

TEST(KvRequest, TheSizeIsKnownBeforeItIsEncoded) {
  for (const Operation& operation : OneOfEach()) {
    const std::size_t size = EncodeRequest(kHeader, {operation}).size();
    EXPECT_LE(size, EncodedHeaderSize() + EncodedSize(operation));
    EXPECT_GE(size + 8, EncodedHeaderSize() + EncodedSize(operation)) << "wasteful";
  }
}

TEST(KvRequest, LimitsAreCheckedAtTheClientAndAtTheServer) {
  Limits limits;
  limits.max_key_bytes = 10;
  limits.max_value_bytes = 20;
  const std::string key(11, 'k');
  const std::string value(21, 'v');
  const std::vector<Operation> bad = {
      PutOp{"", "v"},
      PutOp{key, "v"},
      PutOp{"k", value},
      PutOp{.key = "", .value = "", .keep_value = true},
      PutOp{.key = "k", .value = "v", .keep_value = true},
      PutOp{.key = "k", .value = "v", .lease = 1, .keep_lease = true},
      TxnOp{{{}, {Op::Put("k", "v").WithKeptValue()}, {}}},
      TxnOp{{{}, {Op::Put("k", "", 1).WithKeptLease()}, {}}},
      DeleteOp{Range::Single("")},
      DeleteOp{Range::Single(key)},
      DeleteOp{{Range::Kind::kBounded, "a", key + "k"}},
      CompareAndSwapOp{"", "a", "b"},
      CompareAndSwapOp{"k", value, "b"},
      CompareAndSwapOp{"k", "a", value},
      IncrementOp{"", 1},
      IncrementOp{key, 1}};
  for (std::size_t i = 0; i < bad.size(); ++i) {
    EXPECT_EQ(CheckOperation(bad[i], limits).code(), Code::kInvalidArgument) << i;
    EXPECT_EQ(Validate(EncodeRequest(kHeader, {bad[i]}).view(), limits), Code::kInvalidArgument)
        << i;
  }
  for (const Operation& good : OneOfEach()) {
    EXPECT_EQ(CheckOperation(good, limits).code(), Code::kOk);
    EXPECT_EQ(Validate(EncodeRequest(kHeader, {good}).view(), limits), Code::kOk);
  }
  EXPECT_EQ(CheckOperation(PutOp{"k", value}, limits).message(),
            "the value is too large: 21 bytes, the limit is 20");
}

TEST(KvRequest, ARequestBeyondItsLimitsIsRefused) {
  const Bytes two = EncodeRequest(kHeader, {PutOp{"a", "1"}, PutOp{"b", "2"}});
  Limits limits;
  limits.max_operations = 1;
  EXPECT_EQ(Validate(two.view(), limits), Code::kInvalidArgument);
  limits.max_operations = 2;
  limits.max_request_bytes = static_cast<std::uint32_t>(two.size());
  EXPECT_EQ(Validate(two.view(), limits), Code::kOk);
  limits.max_request_bytes -= 1;
  EXPECT_EQ(Validate(two.view(), limits), Code::kInvalidArgument);
}

TEST(KvRequest, ARequestThatDeletesTooManyRangesIsRefused) {
  std::vector<Operation> operations(kMaxWholeRanges, DeleteOp{{Range::Kind::kBounded, "a", "b"}});
  for (int i = 0; i < 100; ++i) operations.push_back(DeleteOp{Range::Single("k")});
  EXPECT_EQ(Validate(EncodeRequest(kHeader, operations).view(), Limits()), Code::kOk);
  operations.push_back(DeleteOp{{Range::Kind::kUnbounded, "a", ""}});
  const auto refused = ValidateRequest(EncodeRequest(kHeader, operations).view(), Limits());
  EXPECT_EQ(
      refused.status().ToString(),
      Status(Code::kInvalidArgument,
             "the request deletes, compares, counts or sorts 17 ranges, the limit is 16: put the "
             "others into further requests")
          .ToString());
}

TEST(KvRequest, AHeaderThatCannotBeIsRefused) {
  const auto refused = [](std::uint64_t session, std::uint64_t sequence, std::uint64_t below,
                          std::uint16_t version, bool with_operation) {
    capnp::MallocMessageBuilder message;
    auto request = message.initRoot<wire::Request>();
    request.setFormatVersion(version);
    request.setSession(session);
    request.setSequence(sequence);
    request.setAcknowledgedBelow(below);
    if (with_operation) {
      auto put = request.initOperations(1)[0].initPut();
      put.setPutKey(ToData("k"));
      put.setPutValue(ToData("v"));
    }
    return Validate(Flat(message));
  };
  EXPECT_EQ(refused(1, 1, 1, 2, true), Code::kOk);
  EXPECT_EQ(refused(0, 1, 1, 2, true), Code::kInvalidArgument);
  EXPECT_EQ(refused(1, 0, 0, 2, true), Code::kInvalidArgument);
  EXPECT_EQ(refused(1, 1, 2, 2, true), Code::kInvalidArgument);
  EXPECT_EQ(refused(1, 1, 1, 0, true), Code::kInvalidArgument);
  EXPECT_EQ(refused(1, 1, 1, 1, true), Code::kVersionMismatch) << "without calls";
  EXPECT_EQ(refused(1, 1, 1, 3, true), Code::kVersionMismatch);
  EXPECT_EQ(refused(1, 1, 1, 2, false), Code::kInvalidArgument);
}

TEST(KvRequest, AnUpdateKeepsSomething) {
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::Request>();
  request.setFormatVersion(kRequestFormatVersion);
  request.setSession(1);
  request.setSequence(1);
  auto update = request.initOperations(1)[0].initUpdate();
  update.setUpdateKey(ToData("k"));
  EXPECT_EQ(Validate(Flat(message)), Code::kInvalidArgument);
  update.setKeepLease(true);
  EXPECT_EQ(Validate(Flat(message)), Code::kOk);
}

TEST(KvRequest, TheFirstOperationIsOfNoCallBeforeIt) {
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::Request>();
  request.setFormatVersion(kRequestFormatVersion);
  request.setSession(1);
  request.setSequence(1);
  auto operation = request.initOperations(1)[0];
  operation.initPut().setPutKey(ToData("k"));
  EXPECT_EQ(Validate(Flat(message)), Code::kOk);
  operation.setSameCall(true);
  EXPECT_EQ(Validate(Flat(message)), Code::kInvalidArgument);
}

TEST(KvRequest, ATransactionHasNoUpkeepInItAndReadsNoSettings) {
  const auto validate = [](const std::function<void(wire::TxnOperation::Builder)>& fill) {
    capnp::MallocMessageBuilder message;
    auto request = message.initRoot<wire::Request>();
    request.setFormatVersion(kRequestFormatVersion);
    request.setSession(1);
    request.setSequence(1);
    fill(request.initOperations(1)[0].initTxn().initSuccess(1)[0]);
    return Validate(Flat(message));
  };
  using Builder = wire::TxnOperation::Builder;
  EXPECT_EQ(validate([](Builder op) { op.initWrite().initPut().setPutKey(ToData("k")); }),
            Code::kOk);
  EXPECT_EQ(validate([](Builder op) { op.initWrite().setCompact(1); }), Code::kInvalidArgument);
  EXPECT_EQ(validate([](Builder op) {
              auto setting = op.initWrite().initSetting();
              setting.setName("history");
              setting.setValue("1h");
            }),
            Code::kInvalidArgument);
  EXPECT_NE(validate([](Builder op) { op.initRead().setSettings(); }), Code::kOk);
}

TEST(KvRequest, NothingMayFollowOrBeMissing) {
  const std::string bytes(EncodeRequest(kHeader, OneOfEach()).view());
  EXPECT_EQ(Validate(bytes + std::string(8, '\0')), Code::kInvalidArgument);
  EXPECT_EQ(Validate(""), Code::kInvalidArgument);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(Validate(bytes.substr(0, size)), Code::kInvalidArgument) << size;
  }
}

TEST(KvRequest, AMessageThatClaimsMoreThanItSendsIsRefused) {
  // One value of 64 KiB that a hundred operations point to would be 6.4 MB of writes.
  const std::string value(64 * 1024, 'v');
  const Bytes honest = BuildMessage(10'000, [&](capnp::MessageBuilder& message) {
    auto request = message.initRoot<wire::Request>();
    request.setFormatVersion(kRequestFormatVersion);
    request.setSession(1);
    request.setSequence(1);
    auto operations = request.initOperations(100);
    for (auto operation : operations) operation.initPut().setPutKey(ToData("k"));
    operations[0].getPut().setPutValue(ToData(value));
  });
  std::string bytes(honest.view());
  ASSERT_EQ(Validate(bytes), Code::kOk);
  // The operations stand one after another; each one's second pointer is made to reach the value.
  const auto read_word = [&](std::size_t word) {
    std::uint64_t result = 0;
    std::memcpy(&result, bytes.data() + word * 8, 8);
    return result;
  };
  const std::size_t value_words = value.size() / 8;
  const std::uint64_t list_size = (static_cast<std::uint64_t>(value.size()) << 35) | (2ULL << 32);
  std::size_t pointer = 0;
  for (std::size_t word = 0; word * 8 < bytes.size(); ++word) {
    if (read_word(word) >> 32 == list_size >> 32) pointer = word;
  }
  ASSERT_NE(pointer, 0U);
  const auto offset = static_cast<std::uint32_t>(read_word(pointer)) >> 2;
  const std::size_t target = pointer + 1 + offset;
  ASSERT_LE((target + value_words) * 8, bytes.size());
  const std::size_t stride = capnp::sizeInWords<wire::Operation>();
  for (std::size_t i = 1; i < 100; ++i) {
    const std::size_t at = pointer + i * stride;
    const std::uint64_t word = (read_word(pointer) & ~0xffffffffULL) |
                               static_cast<std::uint32_t>(((target - at - 1) << 2) | 1);
    std::memcpy(bytes.data() + at * 8, &word, 8);
  }
  const Status status = ValidateRequest(bytes, {}).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_NE(status.message().find("traversal limit"), std::string::npos) << status.ToString();
}

TEST(KvRequest, RandomDamageNeverGetsFurtherThanAnError) {
  const std::string valid(EncodeRequest(kHeader, OneOfEach()).view());
  const std::string valid_read(
      EncodeReadRequest({{Range::Single("a"), 1, false, false},
                         {{Range::Kind::kBounded, "a", "z"}, 0, true, false}})
          .view());
  std::size_t refused = 0;
  for (std::uint64_t seed = 1; seed <= 20000; ++seed) {
    Random dice(seed);
    std::string bytes = seed % 2 == 0 ? valid : valid_read;
    const std::uint64_t changes = 1 + dice.Below(4);
    for (std::uint64_t i = 0; i < changes; ++i) {
      bytes[dice.Below(bytes.size())] = static_cast<char>(dice.Next());
    }
    if (dice.Below(8) == 0) bytes.resize(dice.Below(bytes.size() + 1));
    const Status status =
        seed % 2 == 0 ? ValidateRequest(bytes, {}).status() : ValidateReadRequest(bytes, {});
    refused += status.ok() ? 0 : 1;
    (void)DecodeResponse(bytes, 3);
    (void)DecodeReadResponse(bytes);
    if (!status.ok() || seed % 2 != 0) continue;
    // What was accepted can be applied by every member: the store does not halt.
    test::FakeEngine engine;
    const auto store = test::OpenStore(engine);
    const auto applied = store->Apply({test::CommandEntry(1, 1000, Bytes(bytes))});
    EXPECT_TRUE(applied.ok()) << "seed " << seed << ": " << applied.status().ToString();
  }
  EXPECT_GT(refused, 1000U) << "the damage does nothing: the test is dead";
}

TEST(KvResponse, ComesBackAsItWas) {
  Response response{
      Code::kOk, "", 77, {{Code::kOk, "", 3, true}, {Code::kCompareFailed, "no", -1, false}}};
  const auto decoded = DecodeResponse(EncodeResponse(response).view(), 2);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->revision, 77U);
  ASSERT_EQ(decoded->results.size(), 2U);
  EXPECT_EQ(decoded->results[0].number, 3);
  EXPECT_TRUE(decoded->results[0].changed);
  EXPECT_FALSE(decoded->results[1].changed);
  EXPECT_EQ(decoded->results[1].code, Code::kCompareFailed);
  EXPECT_EQ(decoded->results[1].message, "no");
  EXPECT_EQ(decoded->results[1].number, -1);
  EXPECT_EQ(DecodeResponse(EncodeResponse(response).view(), 3).code(), Code::kCorruption);

  const auto refusal =
      DecodeResponse(EncodeResponse({Code::kSessionExpired, "too old", 5, {}}).view(), 4);
  ASSERT_TRUE(refusal.ok());
  EXPECT_EQ(refusal->code, Code::kSessionExpired);
  EXPECT_EQ(refusal->message, "too old");
  EXPECT_TRUE(refusal->results.empty());
}

TEST(KvResponse, WithoutResultsEveryOperationHasChangedSomething) {
  const auto decoded = DecodeResponse(EncodeResponse({Code::kOk, "", 9, {}}).view(), 4);
  ASSERT_TRUE(decoded.ok());
  ASSERT_EQ(decoded->results.size(), 4U);
  for (const OperationResult& result : decoded->results) {
    EXPECT_EQ(result.code, Code::kOk);
    EXPECT_TRUE(result.changed);
  }
}

TEST(KvResponse, DamageIsCorruption) {
  EXPECT_EQ(DecodeResponse("garbage!", 1).code(), Code::kCorruption);
  EXPECT_EQ(DecodeReadResponse("garbage!").code(), Code::kCorruption);
}

TEST(KeyRangePrefix, EndsAfterTheLastKeyWithThePrefix) {
  EXPECT_EQ(KeyRange::Prefix("ab").end, "ac");
  EXPECT_EQ(KeyRange::Prefix("a\xff\xff").end, "b");
  EXPECT_EQ(KeyRange::Prefix("\xff\xff").end, "");
  EXPECT_EQ(KeyRange::Prefix("").begin, "");
  EXPECT_EQ(KeyRange::Prefix("").end, "");
  EXPECT_EQ(Range::From(KeyRange::Prefix("")).kind, Range::Kind::kUnbounded);
  EXPECT_EQ(Range::From(KeyRange::Prefix("a")).kind, Range::Kind::kBounded);
}

}  // namespace
}  // namespace raftkv::kv
