#include "rpc/etcd/json.h"

#include <string>

#include <gtest/gtest.h>

#include "rpc/etcd/base64.h"
#include "rpc/etcd/message_list.h"
#include "rpc/etcd/proto.h"

namespace raftkv::etcd {
namespace {

template <class Message>
Message Decoded(std::string_view text) {
  const Result<Message> decoded = DecodeJson<Message>(text);
  EXPECT_TRUE(decoded.ok()) << text << ": " << decoded.status().ToString();
  return decoded.ok() ? *decoded : Message{};
}

template <class Message>
std::string ErrorOf(std::string_view text) {
  const Result<Message> decoded = DecodeJson<Message>(text);
  EXPECT_FALSE(decoded.ok()) << text;
  EXPECT_EQ(decoded.code(), Code::kInvalidArgument);
  return decoded.status().message();
}

// What etcd 3.4.23's gateway answers.

TEST(Json, WritesWhatTheGatewayOfEtcdWrites) {
  RangeResponse range;
  range.header = {.cluster_id = 15118495548433857066U, .member_id = 7, .revision = 18};
  range.kvs = {{.key = "a", .create_revision = 2, .mod_revision = 18, .version = 15}};
  range.count = 1;
  EXPECT_EQ(EncodeJson(range),
            R"({"header":{"cluster_id":"15118495548433857066","member_id":"7","revision":"18"},)"
            R"("kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"18","version":"15"}],)"
            R"("count":"1"})");
  TxnResponse txn;
  txn.succeeded = true;
  txn.responses.resize(2);
  txn.responses[0].response_put.emplace().header.emplace().revision = 19;
  txn.responses[1].response_txn.emplace().header.emplace();
  EXPECT_EQ(EncodeJson(txn),
            R"({"succeeded":true,"responses":[{"response_put":{"header":{"revision":"19"}}},)"
            R"({"response_txn":{"header":{}}}]})");
  EXPECT_EQ(EncodeJson(HashResponse{.hash = 1885229760}), R"({"hash":1885229760})");
  EXPECT_EQ(
      EncodeJson(AlarmResponse{.alarms = {{.memberID = 1, .alarm = AlarmTypeNames::kNoSpace}}}),
      R"({"alarms":[{"memberID":"1","alarm":"NOSPACE"}]})");
  EXPECT_EQ(EncodeJson(LeaseTimeToLiveResponse{.TTL = -1}), R"({"TTL":"-1"})");
}

TEST(Json, LeavesDefaultsOut) {
  EXPECT_EQ(EncodeJson(RangeResponse{}), "{}");
  EXPECT_EQ(EncodeJson(WatchProgressRequest{}), "{}");
  // An empty element is an element.
  EXPECT_EQ(EncodeJson(LeaseLeasesResponse{.leases = {{}, {}}}), R"({"leases":[{},{}]})");
}

TEST(Json, WritesAMemberOfAOneofEvenIfItIsZero) {
  EXPECT_EQ(EncodeJson(Compare{.version = 0}), R"({"version":"0"})");
  EXPECT_EQ(EncodeJson(Compare{.value = ""}), R"({"value":""})");
}

TEST(Json, WritesAnEnumValueThatItDoesNotKnowAsANumber) {
  AlarmMember alarm;
  for (const std::int32_t value : {3, -1}) {
    alarm.alarm.value = value;
    EXPECT_EQ(EncodeJson(alarm), R"({"alarm":)" + std::to_string(value) + "}");
  }
}

TEST(Json, EscapesTextAndReplacesWhatIsNotUtf8) {
  EXPECT_EQ(EncodeJson(Member{.name = "a\"\\\n\x01\xc3\xa4"}), R"({"name":"a\"\\\n\u0001)"
                                                               "\xc3\xa4\"}");
  EXPECT_EQ(EncodeJson(Member{.name = "a\xff"}), "{\"name\":\"a\xef\xbf\xbd\"}");
}

TEST(Json, TakesNumbersAsNumbersAndAsStrings) {
  for (const char* const text :
       {R"({"lease":"300"})", R"({"lease":300})", R"({"lease":3e2, "lease":300})"}) {
    EXPECT_EQ(Decoded<PutRequest>(text).lease, 300) << text;
  }
  EXPECT_EQ(Decoded<RangeRequest>(R"({"limit":-1})").limit, -1);
  EXPECT_EQ(Decoded<RangeRequest>(R"({"limit":"-1"})").limit, -1);
  EXPECT_EQ(Decoded<RangeRequest>(R"({"limit":9223372036854775807})").limit, INT64_MAX);
  EXPECT_EQ(Decoded<RangeRequest>(R"({"limit":"-9223372036854775808"})").limit, INT64_MIN);
  EXPECT_EQ(Decoded<AlarmRequest>(R"({"memberID":18446744073709551615})").memberID, UINT64_MAX);
}

TEST(Json, RefusesNumbersOutsideOfTheirTypeAndWhatIsNoInteger) {
  for (const char* const value :
       {"9223372036854775808", R"("9223372036854775808")", "1.5", "1.0", "1e0", R"("1e0")", R"("")",
        R"("abc")", R"("+1")", R"("0x1")", "true", "[]", "{}", "1e400"}) {
    EXPECT_NE(ErrorOf<PutRequest>(std::string(R"({"lease":)") + value + "}"), "") << value;
  }
  EXPECT_EQ(ErrorOf<PutRequest>(R"({"lease":1.5})"), "lease: a 64-bit integer is needed, not 1.5");
  EXPECT_EQ(ErrorOf<AlarmRequest>(R"({"memberID":-1})"),
            "memberID: a 64-bit integer without sign is needed, not -1");
  EXPECT_NE(ErrorOf<AlarmRequest>(R"({"memberID":"-1"})"), "");
  EXPECT_NE(ErrorOf<ExtensionRequest>(R"({"extension_number":2147483648})"), "");
}

TEST(Json, TakesBothNamesOfAFieldAndFavoursCamelCase) {
  EXPECT_TRUE(Decoded<PutRequest>(R"({"prev_kv":true})").prev_kv);
  EXPECT_TRUE(Decoded<PutRequest>(R"({"prevKv":true})").prev_kv);
  EXPECT_TRUE(Decoded<PutRequest>(R"({"prev_kv":false,"prevKv":true})").prev_kv);
  EXPECT_FALSE(Decoded<PutRequest>(R"({"prev_kv":true,"prevKv":false})").prev_kv);
  EXPECT_EQ(Decoded<LeaseGrantRequest>(R"({"TTL":5,"ID":6})"),
            (LeaseGrantRequest{.TTL = 5, .ID = 6}));
  // Only these.
  EXPECT_EQ(Decoded<LeaseGrantRequest>(R"({"ttl":5,"id":6,"tTL":7})"), LeaseGrantRequest{});
}

TEST(Json, IgnoresUnknownFields) {
  EXPECT_EQ(Decoded<PutRequest>(R"({"x":{"key":[1,null,{}]},"key":"YQ==","Key":5})").key, "a");
}

TEST(Json, TakesNullAndNothingAsTheDefault) {
  EXPECT_EQ(Decoded<PutRequest>(""), PutRequest{});
  EXPECT_EQ(Decoded<PutRequest>(" \r\n\t"), PutRequest{});
  EXPECT_EQ(Decoded<PutRequest>("null"), PutRequest{});
  EXPECT_EQ(Decoded<PutRequest>(R"({"key":null,"lease":null,"prev_kv":null})"), PutRequest{});
  EXPECT_EQ(Decoded<TxnRequest>(R"({"compare":null})"), TxnRequest{});
  EXPECT_EQ(Decoded<RangeRequest>(R"({"sort_order":null})"), RangeRequest{});
  EXPECT_EQ(Decoded<Compare>(R"({"version":null})"), Compare{});
}

TEST(Json, TakesBooleansOnly) {
  for (const char* const value : {R"("true")", "1", "0", "[]"}) {
    EXPECT_NE(ErrorOf<PutRequest>(std::string(R"({"prev_kv":)") + value + "}"), "") << value;
  }
  EXPECT_EQ(ErrorOf<PutRequest>(R"({"prev_kv":"true"})"),
            R"(prev_kv: true or false is needed, not "true")");
}

TEST(Json, TakesEnumsByNameAndNumber) {
  EXPECT_EQ(Decoded<RangeRequest>(R"({"sort_order":"DESCEND"})").sort_order,
            SortOrderNames::kDescend);
  EXPECT_EQ(Decoded<RangeRequest>(R"({"sortOrder":2})").sort_order, SortOrderNames::kDescend);
  EXPECT_EQ(Decoded<RangeRequest>(R"({"sort_order":9})").sort_order.value, 9);
  EXPECT_EQ(Decoded<RangeRequest>(R"({"sort_order":-1})").sort_order.value, -1);
  EXPECT_EQ(ErrorOf<RangeRequest>(R"({"sort_order":"descend"})"),
            R"(sort_order: unknown value "descend" for enum etcdserverpb.RangeRequest.SortOrder)");
  for (const char* const value : {R"("2")", "1.5", "99999999999", "true"}) {
    EXPECT_NE(ErrorOf<RangeRequest>(std::string(R"({"sort_order":)") + value + "}"), "") << value;
  }
}

TEST(Json, NamesThePlaceOfWhatIsWrong) {
  EXPECT_EQ(ErrorOf<TxnRequest>(R"({"success":[{},{"requestPut":{"key":1}}]})"),
            "success[1].request_put.key: a string of base64 is needed, not 1");
  EXPECT_EQ(ErrorOf<TxnRequest>(R"({"compare":{}})"), "compare: an array is needed, not object");
  EXPECT_EQ(ErrorOf<TxnRequest>(R"({"compare":[null]})"),
            "compare[0]: an object is needed, not null");
  EXPECT_EQ(ErrorOf<MemberAddRequest>(R"({"peerURLs":["a",5]})"),
            "peerURLs[1]: a string is needed, not 5");
  EXPECT_EQ(ErrorOf<PutRequest>("[]"), "an object is needed, not array");
}

TEST(Json, RefusesTwoMembersOfAOneof) {
  EXPECT_EQ(ErrorOf<Compare>(R"({"mod_revision":"5","version":3})"),
            "mod_revision: another member of the oneof target_union is set too; set one");
  EXPECT_EQ(Decoded<Compare>(R"({"mod_revision":"5","version":null})"),
            (Compare{.mod_revision = 5}));
}

TEST(Json, RefusesWhatIsNoJson) {
  for (const char* const text :
       {"{", "}", R"({"key":"YQ==",})", R"({"key":"YQ=="} x)", R"({"key":"YQ=="}{})", "{'key':1}",
        R"({"key":"\ud800"})", "{\"name\":\"\xff\"}", "[1", "\"", "\\"}) {
    const std::string error = ErrorOf<PutRequest>(text);
    EXPECT_TRUE(error.starts_with("invalid JSON: ")) << text << ": " << error;
    EXPECT_LT(error.size(), 300U);
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
  const std::string long_text = R"({"sort_order":")" + std::string(10'000, 'x') + "\"}";
  EXPECT_LT(ErrorOf<RangeRequest>(long_text).size(), 200U);
}

std::string Repeat(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(Json, BoundsHowDeepItIsNested) {
  const auto txn = [](int depth) {
    return R"({"success":[)" + Repeat(R"({"request_txn":{"success":[)", depth) +
           Repeat("]}}", depth) + "]}";
  };
  // Two messages a level, and the outermost one.
  EXPECT_TRUE(DecodeJson<TxnRequest>(txn(49)).ok());
  EXPECT_NE(ErrorOf<TxnRequest>(txn(50)).find("nested deeper than 100 messages"),
            std::string::npos);
  EXPECT_NE(ErrorOf<TxnRequest>(txn(20'000)), "");
  const auto unknown = [](int depth) {
    return R"({"x":)" + Repeat("[", depth) + Repeat("]", depth) + "}";
  };
  EXPECT_TRUE(DecodeJson<TxnRequest>(unknown(255)).ok());
  EXPECT_NE(ErrorOf<TxnRequest>(unknown(256)), "");
  EXPECT_NE(ErrorOf<TxnRequest>(unknown(100'000)), "");
  // Brackets in a string are text.
  EXPECT_TRUE(DecodeJson<TxnRequest>(R"({"x":"\")" + Repeat("[", 1000) + "\"}").ok());
}

TEST(Json, BoundsWhatSmallValuesCost) {
  const auto operations = [](int count) {
    return R"({"success":[{})" + Repeat(",{}", count - 1) + "]}";
  };
  EXPECT_EQ(Decoded<TxnRequest>(operations(12'000)).success.size(), 12'000U);
  EXPECT_NE(ErrorOf<TxnRequest>(operations(30'000)).find("too many elements"), std::string::npos);
  EXPECT_NE(ErrorOf<TxnRequest>("[0" + Repeat(",0", 500'000) + "]").find("too many values"),
            std::string::npos);
}

template <class Message>
void ExpectJsonAgrees() {
  // Whatever protobuf's bytes say, JSON says it too.
  for (const char* const bytes : {"", "\x08\x01", "\x0a\x02\x08\x01", "\x12\x01z\x18\x07"}) {
    const Result<Message> message = DecodeProto<Message>(bytes);
    if (!message.ok()) continue;
    const Result<Message> again = DecodeJson<Message>(EncodeJson(*message));
    ASSERT_TRUE(again.ok()) << Message::kType << ": " << again.status().ToString();
    EXPECT_EQ(*again, *message) << Message::kType;
  }
}

TEST(Json, SaysTheSameAsProtobufForEveryMessage) {
#define RAFTKV_EXPECT(Message) ExpectJsonAgrees<Message>();
  RAFTKV_ETCD_MESSAGES(RAFTKV_EXPECT)
#undef RAFTKV_EXPECT
}

TEST(Base64, IsThatOfGo) {
  const auto encoded = [](std::string_view bytes) {
    std::string out = "x";
    AppendBase64(bytes, out);
    return out.substr(1);
  };
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("a"), "YQ==");
  EXPECT_EQ(encoded("ab"), "YWI=");
  EXPECT_EQ(encoded("abc"), "YWJj");
  EXPECT_EQ(encoded(std::string_view("\xfb\xff\0", 3)), "+/8A");
  for (std::size_t size = 0; size < 300; ++size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(i * 7 + size);
    EXPECT_EQ(DecodeBase64(encoded(bytes)), bytes);
  }
  EXPECT_EQ(DecodeBase64("YQ==\r\n"), "a");
  EXPECT_EQ(DecodeBase64("Y\nWI="), "ab");
  EXPECT_EQ(DecodeBase64("YR=="), "a");
  for (const char* const text : {"YQ", "YQ=", "Y", "Y===", "=", "====", "YQ===", "YQ==YQ==", "_-8=",
                                 "YW I=", "YWI=x", "!!!!", "YW=I", "YWJjY"}) {
    EXPECT_EQ(DecodeBase64(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace raftkv::etcd
