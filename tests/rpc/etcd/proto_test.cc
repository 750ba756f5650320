#include "rpc/etcd/proto.h"

#include <cstdint>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "rpc/etcd/field_traits.h"
#include "rpc/etcd/message_list.h"
#include "rpc/etcd/utf8.h"

namespace raftkv::etcd {
namespace {

using Strings = std::vector<std::string>;

/// Of a literal, zero bytes included.
template <std::size_t N>
std::string Bytes(const char (&literal)[N]) {
  return std::string(literal, N - 1);
}

template <class Message>
std::string ErrorOf(std::string_view bytes) {
  const Result<Message> decoded = DecodeProto<Message>(bytes);
  EXPECT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.code(), Code::kInvalidArgument);
  return decoded.status().message();
}

template <class Message>
void ExpectSame(const Message& message, const std::string& bytes) {
  EXPECT_EQ(EncodeProto(message), bytes) << Message::kType;
  const Result<Message> decoded = DecodeProto<Message>(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
  EXPECT_EQ(*decoded, message) << Message::kType;
}

// The bytes of these were written by protobuf's own library.

TEST(Proto, HasTheBytesOfProtobuf) {
  ExpectSame(PutRequest{.key = "k", .value = Bytes("v\0w"), .lease = 300, .prev_kv = true},
             Bytes("\x0a\x01k\x12\x03v\0w\x18\xac\x02\x20\x01"));
  ExpectSame(RangeRequest{.key = "a",
                          .sort_order = SortOrderNames::kDescend,
                          .sort_target = SortTargetNames::kMod,
                          .max_create_revision = 7},
             Bytes("\x0a\x01"
                   "a\x28\x02\x30\x03\x68\x07"));
  ExpectSame(ResponseHeader{.cluster_id = 1, .member_id = 1ULL << 63, .revision = 5},
             Bytes("\x08\x01\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x18\x05"));
  ExpectSame(HashResponse{.hash = 0xffffffff}, Bytes("\x10\xff\xff\xff\xff\x0f"));
}

TEST(Proto, LeavesDefaultsOut) {
  ExpectSame(PutRequest{}, "");
  ExpectSame(RangeResponse{}, "");
  ExpectSame(WatchProgressRequest{}, "");
}

TEST(Proto, WritesAFieldNumberOfTwoBytes) {
  ExpectSame(Compare{.range_end = "z"}, Bytes("\x82\x04\x01z"));
}

TEST(Proto, WritesAnEmptyMessageThatIsPresent) {
  ExpectSame(PutResponse{.header = ResponseHeader{}}, Bytes("\x0a\x00"));
  ExpectSame(WatchRequest{.progress_request = WatchProgressRequest{}}, Bytes("\x1a\x00"));
  RequestOp op;
  op.request_txn.emplace();
  ExpectSame(op, Bytes("\x22\x00"));
}

TEST(Proto, WritesAMemberOfAOneofEvenIfItIsZero) {
  ExpectSame(Compare{.version = 0}, Bytes("\x20\x00"));
  ExpectSame(Compare{.value = ""}, Bytes("\x3a\x00"));
}

TEST(Proto, WritesNegativeNumbersWithAll64Bits) {
  ExpectSame(LeaseTimeToLiveResponse{.TTL = -1},
             Bytes("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
  ExpectSame(RangeRequest{.limit = std::numeric_limits<std::int64_t>::min()},
             Bytes("\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"));
  AlarmMember alarm;
  alarm.alarm.value = -2;
  ExpectSame(alarm, Bytes("\x10\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
}

TEST(Proto, KeepsTheOrderOfRepeatedFields) {
  ExpectSame(LeaseTimeToLiveResponse{.keys = {"b", "", "a"}}, Bytes("\x2a\x01"
                                                                    "b\x2a\x00\x2a\x01"
                                                                    "a"));
  ExpectSame(LeaseLeasesResponse{.leases = {{.ID = 2}, {}, {.ID = 1}}},
             Bytes("\x12\x02\x08\x02\x12\x00\x12\x02\x08\x01"));
}

TEST(Proto, ReadsRepeatedEnumsPackedOrNot) {
  using Filters = std::vector<Enum<FilterTypeNames>>;
  const Filters filters = {FilterTypeNames::kNoDelete, FilterTypeNames::kNoPut};
  ExpectSame(WatchCreateRequest{.filters = filters}, Bytes("\x2a\x02\x01\x00"));
  const auto one_by_one = DecodeProto<WatchCreateRequest>(Bytes("\x28\x01\x28\x00"));
  ASSERT_TRUE(one_by_one.ok());
  EXPECT_EQ(one_by_one->filters, filters);
  const auto both = DecodeProto<WatchCreateRequest>(Bytes("\x28\x01\x2a\x00\x2a\x01\x00"));
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(both->filters, filters);
}

TEST(Proto, KeepsAnEnumValueThatItDoesNotKnow) {
  RangeRequest request;
  request.sort_order.value = 77;
  ExpectSame(request, Bytes("\x28\x4d"));
}

TEST(Proto, TakesTheLastValueOfAFieldThatComesTwice) {
  const auto put =
      DecodeProto<PutRequest>(Bytes("\x0a\x01"
                                    "a\x18\x05\x0a\x01"
                                    "b\x18\x00"));
  ASSERT_TRUE(put.ok());
  EXPECT_EQ(*put, (PutRequest{.key = "b"}));
}

TEST(Proto, MergesAMessageThatComesTwice) {
  const auto put =
      DecodeProto<PutResponse>(Bytes("\x0a\x04\x08\x01\x18\x05\x0a\x04\x10\x02\x18\x06"));
  ASSERT_TRUE(put.ok());
  EXPECT_EQ(put->header,
            (ResponseHeader{.cluster_id = 1, .member_id = 2, .revision = 6, .raft_term = 0}));
}

TEST(Proto, TakesTheLastMemberOfAOneof) {
  const auto compare = DecodeProto<Compare>(Bytes("\x20\x05\x3a\x01v\x28\x07"));
  ASSERT_TRUE(compare.ok());
  EXPECT_EQ(*compare, (Compare{.create_revision = 7}));
  // request_txn, then request_put.
  const auto op = DecodeProto<RequestOp>(Bytes("\x22\x00\x12\x03\x0a\x01k"));
  ASSERT_TRUE(op.ok());
  EXPECT_FALSE(op->request_txn.has_value());
  EXPECT_EQ(op->request_put, (PutRequest{.key = "k"}));
  // And the other way round.
  const auto txn = DecodeProto<RequestOp>(Bytes("\x12\x03\x0a\x01k\x22\x00"));
  ASSERT_TRUE(txn.ok());
  EXPECT_TRUE(txn->request_txn.has_value());
  EXPECT_FALSE(txn->request_put.has_value());
}

TEST(Proto, SkipsUnknownFieldsOfEveryWireType) {
  const std::string unknown = Bytes(
      "\xa0\x06\xff\x01"                             // 100: a varint
      "\xa1\x06\x01\x02\x03\x04\x05\x06\x07\x08"     // fixed64
      "\xa2\x06\x02xy"                               // bytes
      "\xa5\x06\x01\x02\x03\x04"                     // fixed32
      "\xa3\x06\x08\x01\x13\x0a\x01z\x14\xa4\x06");  // a group with another in it
  const auto put = DecodeProto<PutRequest>(unknown + Bytes("\x0a\x01k") + unknown);
  ASSERT_TRUE(put.ok()) << put.status().ToString();
  EXPECT_EQ(*put, (PutRequest{.key = "k"}));
}

TEST(Proto, RefusesAKnownFieldOfAnotherWireTypeAndNamesIt) {
  EXPECT_EQ(ErrorOf<PutRequest>(Bytes("\x08\x01")),
            "etcdserverpb.PutRequest.key: wire type 0 instead of 2");
  EXPECT_EQ(ErrorOf<PutRequest>(Bytes("\x1a\x01k")),
            "etcdserverpb.PutRequest.lease: wire type 2 instead of 0");
  EXPECT_EQ(ErrorOf<TxnRequest>(Bytes("\x12\x04\x12\x02\x08\x01")),
            "etcdserverpb.PutRequest.key: wire type 0 instead of 2");
  EXPECT_EQ(ErrorOf<WatchCreateRequest>(Bytes("\x2d\x01\x00\x00\x00")),
            "etcdserverpb.WatchCreateRequest.filters: wire type 5 instead of 0");
}

TEST(Proto, RefusesBytesThatAreCutOff) {
  const std::string whole = Bytes("\x0a\x01k\x12\x03vvv\x18\xac\x02");
  for (const std::size_t size : {1, 2, 4, 5, 7, 9, 10}) {
    EXPECT_NE(ErrorOf<PutRequest>(whole.substr(0, size)), "") << size;
  }
  for (const std::size_t size : {0, 3, 8, 11}) {
    EXPECT_TRUE(DecodeProto<PutRequest>(whole.substr(0, size)).ok()) << size;
  }
}

TEST(Proto, RefusesWhatNoProtobufWrites) {
  EXPECT_EQ(ErrorOf<PutRequest>(Bytes("\x00\x01")), "etcdserverpb.PutRequest: an illegal tag");
  EXPECT_EQ(ErrorOf<PutRequest>(Bytes("\x0e\x01")), "etcdserverpb.PutRequest: an illegal tag");
  // A field number and a length that look right in their lowest 32 bits.
  EXPECT_NE(ErrorOf<PutRequest>(Bytes("\x8a\x80\x80\x80\x10\x01k")), "");
  EXPECT_NE(ErrorOf<PutRequest>(Bytes("\x0a\x81\x80\x80\x80\x10k")), "");
  // A number of eleven bytes.
  EXPECT_NE(ErrorOf<PutRequest>(Bytes("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")), "");
  // Groups: without an end, with another's end, an end alone.
  EXPECT_NE(ErrorOf<PutRequest>(Bytes("\xa3\x06\x08\x01")), "");
  EXPECT_NE(ErrorOf<PutRequest>(Bytes("\xa3\x06\xac\x06")), "");
  EXPECT_NE(ErrorOf<PutRequest>(Bytes("\xa4\x06")), "");
}

TEST(Proto, RefusesTextThatIsNotUtf8ButTakesSuchBytes) {
  EXPECT_EQ(ErrorOf<HealthCheckRequest>(Bytes("\x0a\x01\xff")),
            "grpc.health.v1.HealthCheckRequest.service: text that is not UTF-8");
  ExpectSame(PutRequest{.key = "\xff"}, Bytes("\x0a\x01\xff"));
}

/// `depth` messages in one another: TxnRequest, RequestOp, TxnRequest, ...
std::string NestedTxn(int depth) {
  std::string bytes;
  for (int i = depth; i > 1; --i) {
    const auto tag = static_cast<char>(i % 2 == 0 ? 0x12 : 0x22);
    std::string size;
    for (std::size_t left = bytes.size(); true; left >>= 7) {
      size += static_cast<char>((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
      if (left <= 0x7f) break;
    }
    bytes = tag + size + bytes;
  }
  return bytes;
}

TEST(Proto, BoundsHowDeepMessagesAreNested) {
  const auto deepest = DecodeProto<TxnRequest>(NestedTxn(kMaxMessageDepth));
  ASSERT_TRUE(deepest.ok()) << deepest.status().ToString();
  EXPECT_EQ(EncodeProto(*deepest), NestedTxn(kMaxMessageDepth));
  EXPECT_EQ(ErrorOf<TxnRequest>(NestedTxn(kMaxMessageDepth + 1)),
            "etcdserverpb.RequestOp.request_txn: nested deeper than 100 messages");
  EXPECT_NE(ErrorOf<TxnRequest>(NestedTxn(2'000)), "");
  // And unknown groups.
  std::string groups;
  for (int i = 0; i < 20'000; ++i) groups += "\xa3\x06";
  EXPECT_NE(ErrorOf<TxnRequest>(groups), "");
}

TEST(Proto, BoundsWhatEmptyElementsCost) {
  std::string operations;
  for (int i = 0; i < 12'000; ++i) operations += Bytes("\x12\x00");
  const auto many = DecodeProto<TxnRequest>(operations);
  ASSERT_TRUE(many.ok()) << many.status().ToString();
  EXPECT_EQ(many->success.size(), 12'000U);
  while (operations.size() < 1 << 20) operations += operations;
  EXPECT_NE(ErrorOf<TxnRequest>(operations), "");
}

/// A value that is not the default one, in every field.
template <class T>
void Fill(T& value, int depth);

template <class Message>
void FillMessage(Message& message, int depth) {
  ForEachField<Message>([&](const auto& field) {
    const bool first_of_oneof = !AnyField<Message>(
        [&](const auto& other) { return other.number < field.number && ShareOneof(field, other); });
    if (first_of_oneof) Fill(message.*field.member, depth);
  });
}

template <class T>
void Fill(T& value, int depth) {
  if constexpr (kIsEnum<T>) {
    value.value = 1;
  } else if constexpr (kIsScalar<T>) {
    value = std::numeric_limits<T>::max();
  } else if constexpr (kIsText<T>) {
    value = "text";
  } else if constexpr (kIsVector<T>) {
    value.resize(2);
    Fill(value[0], depth);
  } else if constexpr (kIsOptional<T>) {
    if (depth < 5) Fill(value.emplace(), depth + 1);
  } else {
    FillMessage(value, depth + 1);
  }
}

template <class Message>
void ExpectAllFieldsComeBack() {
  Message message;
  FillMessage(message, 0);
  const Result<Message> decoded = DecodeProto<Message>(EncodeProto(message));
  ASSERT_TRUE(decoded.ok()) << Message::kType << ": " << decoded.status().ToString();
  EXPECT_EQ(*decoded, message) << Message::kType;
}

TEST(Proto, BringsEveryFieldOfEveryMessageBack) {
#define RAFTKV_EXPECT(Message) ExpectAllFieldsComeBack<Message>();
  RAFTKV_ETCD_MESSAGES(RAFTKV_EXPECT)
#undef RAFTKV_EXPECT
}

TEST(Utf8, IsWhatTheUnicodeStandardSays) {
  for (const char* const text :
       {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
        "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xc3\xa4z"}) {
    EXPECT_TRUE(IsUtf8(text)) << testing::PrintToString(text);
  }
  EXPECT_TRUE(IsUtf8(Bytes("a\0b")));
  for (const char* const text :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xe0\xa0",
        "\xed\xa0\x80", "\xef\xbf", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf0\x90\x80\x41",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xc3"}) {
    EXPECT_FALSE(IsUtf8(text)) << testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace raftkv::etcd
