// Which messages does the etcd v3 API have, and what is in them?
//
// One struct a message, with the names of etcd's fields. `Fields()` of a struct is the only place
// that knows a field's number on the wire and its name in JSON: the two codecs (proto.h, json.h)
// and the descriptors that reflection serves are made from it. A field that has its default value
// is left out on the wire and in JSON; an unknown field is skipped. Cluster, Maintenance and the
// recipes are in admin_messages.h. A new message goes into message_list.h, and into docs/etcd.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace raftkv::etcd {

/// A field of `Message`: its number, its name, and where it is.
template <class Message, class Type>
struct Field {
  std::uint32_t number;
  const char* name;
  Type Message::*member;
  /// Of a string: arbitrary bytes, which are base64 in JSON, as opposed to text.
  bool is_bytes = false;
  /// The oneof that it is a member of, if any. At most one member is set, also when it has its
  /// default value: such a field is a std::optional or Nested, and the last one wins.
  const char* oneof = nullptr;
};
template <class Message, class Type>
Field(std::uint32_t, const char*, Type Message::*, bool = false, const char* = nullptr)
    -> Field<Message, Type>;

/// A number from the wire that names something. Values that are not known here are kept.
template <class Names>
struct Enum {
  std::int32_t value = 0;
  constexpr Enum() = default;
  constexpr Enum(typename Names::Value known) : value(known) {}  // NOLINT: as an enum converts
  friend constexpr bool operator==(const Enum&, const Enum&) = default;
};

struct SortOrderNames {
  enum Value : std::int32_t { kNone, kAscend, kDescend };
  static constexpr const char* kType = "etcdserverpb.RangeRequest.SortOrder";
  static constexpr const char* kNames[] = {"NONE", "ASCEND", "DESCEND"};
};
struct SortTargetNames {
  enum Value : std::int32_t { kKey, kVersion, kCreate, kMod, kValue };
  static constexpr const char* kType = "etcdserverpb.RangeRequest.SortTarget";
  static constexpr const char* kNames[] = {"KEY", "VERSION", "CREATE", "MOD", "VALUE"};
};
struct CompareResultNames {
  enum Value : std::int32_t { kEqual, kGreater, kLess, kNotEqual };
  static constexpr const char* kType = "etcdserverpb.Compare.CompareResult";
  static constexpr const char* kNames[] = {"EQUAL", "GREATER", "LESS", "NOT_EQUAL"};
};
struct CompareTargetNames {
  enum Value : std::int32_t { kVersion, kCreate, kMod, kValue, kLease };
  static constexpr const char* kType = "etcdserverpb.Compare.CompareTarget";
  static constexpr const char* kNames[] = {"VERSION", "CREATE", "MOD", "VALUE", "LEASE"};
};
struct EventTypeNames {
  enum Value : std::int32_t { kPut, kDelete };
  static constexpr const char* kType = "mvccpb.Event.EventType";
  static constexpr const char* kNames[] = {"PUT", "DELETE"};
};
struct FilterTypeNames {
  enum Value : std::int32_t { kNoPut, kNoDelete };
  static constexpr const char* kType = "etcdserverpb.WatchCreateRequest.FilterType";
  static constexpr const char* kNames[] = {"NOPUT", "NODELETE"};
};
struct AlarmTypeNames {
  enum Value : std::int32_t { kNone, kNoSpace, kCorrupt };
  static constexpr const char* kType = "etcdserverpb.AlarmType";
  static constexpr const char* kNames[] = {"NONE", "NOSPACE", "CORRUPT"};
};
struct AlarmActionNames {
  enum Value : std::int32_t { kGet, kActivate, kDeactivate };
  static constexpr const char* kType = "etcdserverpb.AlarmRequest.AlarmAction";
  static constexpr const char* kNames[] = {"GET", "ACTIVATE", "DEACTIVATE"};
};
struct ServingStatusNames {
  enum Value : std::int32_t { kUnknown, kServing, kNotServing, kServiceUnknown };
  static constexpr const char* kType = "grpc.health.v1.HealthCheckResponse.ServingStatus";
  static constexpr const char* kNames[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
};

// In the macros below: F is a scalar, text or message; B is bytes; OF and OB are the same as
// members of a oneof. A `std::vector` is repeated, a `std::optional` a message that can be absent
// or a member of a oneof.
#define RAFTKV_F(number, name) \
  Field { number, #name, &Self::name }
#define RAFTKV_B(number, name) \
  Field { number, #name, &Self::name, true }
#define RAFTKV_OF(oneof, number, name) \
  Field { number, #name, &Self::name, false, #oneof }
#define RAFTKV_OB(oneof, number, name) \
  Field { number, #name, &Self::name, true, #oneof }
#define RAFTKV_FIELDS(type, full_name, ...)                               \
  using Self = type;                                                      \
  static constexpr const char* kType = full_name;                         \
  static constexpr auto Fields() { return std::make_tuple(__VA_ARGS__); } \
  friend bool operator==(const type&, const type&) = default

// --- mvccpb

struct KeyValue {
  std::string key = {};
  std::int64_t create_revision = 0;
  std::int64_t mod_revision = 0;
  std::int64_t version = 0;
  std::string value = {};
  std::int64_t lease = 0;
  RAFTKV_FIELDS(KeyValue, "mvccpb.KeyValue", RAFTKV_B(1, key), RAFTKV_F(2, create_revision),
                RAFTKV_F(3, mod_revision), RAFTKV_F(4, version), RAFTKV_B(5, value),
                RAFTKV_F(6, lease));
};

struct Event {
  Enum<EventTypeNames> type = {};
  std::optional<KeyValue> kv = {};
  std::optional<KeyValue> prev_kv = {};
  RAFTKV_FIELDS(Event, "mvccpb.Event", RAFTKV_F(1, type), RAFTKV_F(2, kv), RAFTKV_F(3, prev_kv));
};

// --- etcdserverpb: KV

struct ResponseHeader {
  std::uint64_t cluster_id = 0;
  std::uint64_t member_id = 0;
  std::int64_t revision = 0;
  std::uint64_t raft_term = 0;
  RAFTKV_FIELDS(ResponseHeader, "etcdserverpb.ResponseHeader", RAFTKV_F(1, cluster_id),
                RAFTKV_F(2, member_id), RAFTKV_F(3, revision), RAFTKV_F(4, raft_term));
};

struct RangeRequest {
  std::string key = {};
  std::string range_end = {};
  std::int64_t limit = 0;
  std::int64_t revision = 0;
  Enum<SortOrderNames> sort_order = {};
  Enum<SortTargetNames> sort_target = {};
  bool serializable = false;
  bool keys_only = false;
  bool count_only = false;
  std::int64_t min_mod_revision = 0;
  std::int64_t max_mod_revision = 0;
  std::int64_t min_create_revision = 0;
  std::int64_t max_create_revision = 0;
  RAFTKV_FIELDS(RangeRequest, "etcdserverpb.RangeRequest", RAFTKV_B(1, key), RAFTKV_B(2, range_end),
                RAFTKV_F(3, limit), RAFTKV_F(4, revision), RAFTKV_F(5, sort_order),
                RAFTKV_F(6, sort_target), RAFTKV_F(7, serializable), RAFTKV_F(8, keys_only),
                RAFTKV_F(9, count_only), RAFTKV_F(10, min_mod_revision),
                RAFTKV_F(11, max_mod_revision), RAFTKV_F(12, min_create_revision),
                RAFTKV_F(13, max_create_revision));
};

struct RangeResponse {
  std::optional<ResponseHeader> header = {};
  std::vector<KeyValue> kvs = {};
  bool more = false;
  std::int64_t count = 0;
  RAFTKV_FIELDS(RangeResponse, "etcdserverpb.RangeResponse", RAFTKV_F(1, header), RAFTKV_F(2, kvs),
                RAFTKV_F(3, more), RAFTKV_F(4, count));
};

struct PutRequest {
  std::string key = {};
  std::string value = {};
  std::int64_t lease = 0;
  bool prev_kv = false;
  bool ignore_value = false;
  bool ignore_lease = false;
  RAFTKV_FIELDS(PutRequest, "etcdserverpb.PutRequest", RAFTKV_B(1, key), RAFTKV_B(2, value),
                RAFTKV_F(3, lease), RAFTKV_F(4, prev_kv), RAFTKV_F(5, ignore_value),
                RAFTKV_F(6, ignore_lease));
};

struct PutResponse {
  std::optional<ResponseHeader> header = {};
  std::optional<KeyValue> prev_kv = {};
  RAFTKV_FIELDS(PutResponse, "etcdserverpb.PutResponse", RAFTKV_F(1, header), RAFTKV_F(2, prev_kv));
};

struct DeleteRangeRequest {
  std::string key = {};
  std::string range_end = {};
  bool prev_kv = false;
  RAFTKV_FIELDS(DeleteRangeRequest, "etcdserverpb.DeleteRangeRequest", RAFTKV_B(1, key),
                RAFTKV_B(2, range_end), RAFTKV_F(3, prev_kv));
};

struct DeleteRangeResponse {
  std::optional<ResponseHeader> header = {};
  std::int64_t deleted = 0;
  std::vector<KeyValue> prev_kvs = {};
  RAFTKV_FIELDS(DeleteRangeResponse, "etcdserverpb.DeleteRangeResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, deleted), RAFTKV_F(3, prev_kvs));
};

struct Compare {
  Enum<CompareResultNames> result = {};
  Enum<CompareTargetNames> target = {};
  std::string key = {};
  // oneof target_union
  std::optional<std::int64_t> version = {};
  std::optional<std::int64_t> create_revision = {};
  std::optional<std::int64_t> mod_revision = {};
  std::optional<std::string> value = {};
  std::optional<std::int64_t> lease = {};
  std::string range_end = {};
  RAFTKV_FIELDS(Compare, "etcdserverpb.Compare", RAFTKV_F(1, result), RAFTKV_F(2, target),
                RAFTKV_B(3, key), RAFTKV_OF(target_union, 4, version),
                RAFTKV_OF(target_union, 5, create_revision),
                RAFTKV_OF(target_union, 6, mod_revision), RAFTKV_OB(target_union, 7, value),
                RAFTKV_OF(target_union, 8, lease), RAFTKV_B(64, range_end));
};

struct TxnRequest;
struct TxnResponse;

/// A message that contains itself: null is absent.
template <class Message>
class Nested {
 public:
  Nested() = default;
  explicit Nested(Message message) : message_(std::make_shared<Message>(std::move(message))) {}
  [[nodiscard]] bool has_value() const { return message_ != nullptr; }
  Message& operator*() { return *message_; }
  const Message& operator*() const { return *message_; }
  Message* operator->() { return message_.get(); }
  const Message* operator->() const { return message_.get(); }
  Message& emplace() { return *(message_ = std::make_shared<Message>()); }
  friend bool operator==(const Nested& a, const Nested& b) {
    return a.has_value() == b.has_value() && (!a.has_value() || *a == *b);
  }

 private:
  std::shared_ptr<Message> message_;
};

struct RequestOp {
  // oneof request
  std::optional<RangeRequest> request_range = {};
  std::optional<PutRequest> request_put = {};
  std::optional<DeleteRangeRequest> request_delete_range = {};
  Nested<TxnRequest> request_txn = {};
  RAFTKV_FIELDS(RequestOp, "etcdserverpb.RequestOp", RAFTKV_OF(request, 1, request_range),
                RAFTKV_OF(request, 2, request_put), RAFTKV_OF(request, 3, request_delete_range),
                RAFTKV_OF(request, 4, request_txn));
};

struct TxnRequest {
  std::vector<Compare> compare = {};
  std::vector<RequestOp> success = {};
  std::vector<RequestOp> failure = {};
  RAFTKV_FIELDS(TxnRequest, "etcdserverpb.TxnRequest", RAFTKV_F(1, compare), RAFTKV_F(2, success),
                RAFTKV_F(3, failure));
};

struct ResponseOp {
  // oneof response
  std::optional<RangeResponse> response_range = {};
  std::optional<PutResponse> response_put = {};
  std::optional<DeleteRangeResponse> response_delete_range = {};
  Nested<TxnResponse> response_txn = {};
  RAFTKV_FIELDS(ResponseOp, "etcdserverpb.ResponseOp", RAFTKV_OF(response, 1, response_range),
                RAFTKV_OF(response, 2, response_put), RAFTKV_OF(response, 3, response_delete_range),
                RAFTKV_OF(response, 4, response_txn));
};

struct TxnResponse {
  std::optional<ResponseHeader> header = {};
  bool succeeded = false;
  std::vector<ResponseOp> responses = {};
  RAFTKV_FIELDS(TxnResponse, "etcdserverpb.TxnResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, succeeded), RAFTKV_F(3, responses));
};

struct CompactionRequest {
  std::int64_t revision = 0;
  bool physical = false;
  RAFTKV_FIELDS(CompactionRequest, "etcdserverpb.CompactionRequest", RAFTKV_F(1, revision),
                RAFTKV_F(2, physical));
};

struct CompactionResponse {
  std::optional<ResponseHeader> header = {};
  RAFTKV_FIELDS(CompactionResponse, "etcdserverpb.CompactionResponse", RAFTKV_F(1, header));
};

// --- etcdserverpb: Watch

struct WatchCreateRequest {
  std::string key = {};
  std::string range_end = {};
  std::int64_t start_revision = 0;
  bool progress_notify = false;
  std::vector<Enum<FilterTypeNames>> filters = {};
  bool prev_kv = false;
  std::int64_t watch_id = 0;
  bool fragment = false;
  RAFTKV_FIELDS(WatchCreateRequest, "etcdserverpb.WatchCreateRequest", RAFTKV_B(1, key),
                RAFTKV_B(2, range_end), RAFTKV_F(3, start_revision), RAFTKV_F(4, progress_notify),
                RAFTKV_F(5, filters), RAFTKV_F(6, prev_kv), RAFTKV_F(7, watch_id),
                RAFTKV_F(8, fragment));
};

struct WatchCancelRequest {
  std::int64_t watch_id = 0;
  RAFTKV_FIELDS(WatchCancelRequest, "etcdserverpb.WatchCancelRequest", RAFTKV_F(1, watch_id));
};

struct WatchProgressRequest {
  using Self = WatchProgressRequest;
  static constexpr const char* kType = "etcdserverpb.WatchProgressRequest";
  static constexpr std::tuple<> Fields() { return {}; }
  friend bool operator==(const WatchProgressRequest&, const WatchProgressRequest&) = default;
};

struct WatchRequest {
  // oneof request_union
  std::optional<WatchCreateRequest> create_request = {};
  std::optional<WatchCancelRequest> cancel_request = {};
  std::optional<WatchProgressRequest> progress_request = {};
  RAFTKV_FIELDS(WatchRequest, "etcdserverpb.WatchRequest",
                RAFTKV_OF(request_union, 1, create_request),
                RAFTKV_OF(request_union, 2, cancel_request),
                RAFTKV_OF(request_union, 3, progress_request));
};

struct WatchResponse {
  std::optional<ResponseHeader> header = {};
  std::int64_t watch_id = 0;
  bool created = false;
  bool canceled = false;
  std::int64_t compact_revision = 0;
  std::string cancel_reason = {};
  bool fragment = false;
  std::vector<Event> events = {};
  RAFTKV_FIELDS(WatchResponse, "etcdserverpb.WatchResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, watch_id), RAFTKV_F(3, created), RAFTKV_F(4, canceled),
                RAFTKV_F(5, compact_revision), RAFTKV_F(6, cancel_reason), RAFTKV_F(7, fragment),
                RAFTKV_F(11, events));
};

// --- etcdserverpb: Lease

struct LeaseGrantRequest {
  std::int64_t TTL = 0;
  std::int64_t ID = 0;
  RAFTKV_FIELDS(LeaseGrantRequest, "etcdserverpb.LeaseGrantRequest", RAFTKV_F(1, TTL),
                RAFTKV_F(2, ID));
};

struct LeaseGrantResponse {
  std::optional<ResponseHeader> header = {};
  std::int64_t ID = 0;
  std::int64_t TTL = 0;
  std::string error = {};
  RAFTKV_FIELDS(LeaseGrantResponse, "etcdserverpb.LeaseGrantResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, ID), RAFTKV_F(3, TTL), RAFTKV_F(4, error));
};

struct LeaseRevokeRequest {
  std::int64_t ID = 0;
  RAFTKV_FIELDS(LeaseRevokeRequest, "etcdserverpb.LeaseRevokeRequest", RAFTKV_F(1, ID));
};

struct LeaseRevokeResponse {
  std::optional<ResponseHeader> header = {};
  RAFTKV_FIELDS(LeaseRevokeResponse, "etcdserverpb.LeaseRevokeResponse", RAFTKV_F(1, header));
};

struct LeaseKeepAliveRequest {
  std::int64_t ID = 0;
  RAFTKV_FIELDS(LeaseKeepAliveRequest, "etcdserverpb.LeaseKeepAliveRequest", RAFTKV_F(1, ID));
};

struct LeaseKeepAliveResponse {
  std::optional<ResponseHeader> header = {};
  std::int64_t ID = 0;
  std::int64_t TTL = 0;
  RAFTKV_FIELDS(LeaseKeepAliveResponse, "etcdserverpb.LeaseKeepAliveResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, ID), RAFTKV_F(3, TTL));
};

struct LeaseTimeToLiveRequest {
  std::int64_t ID = 0;
  bool keys = false;
  RAFTKV_FIELDS(LeaseTimeToLiveRequest, "etcdserverpb.LeaseTimeToLiveRequest", RAFTKV_F(1, ID),
                RAFTKV_F(2, keys));
};

struct LeaseTimeToLiveResponse {
  std::optional<ResponseHeader> header = {};
  std::int64_t ID = 0;
  std::int64_t TTL = 0;
  std::int64_t grantedTTL = 0;
  std::vector<std::string> keys = {};
  RAFTKV_FIELDS(LeaseTimeToLiveResponse, "etcdserverpb.LeaseTimeToLiveResponse",
                RAFTKV_F(1, header), RAFTKV_F(2, ID), RAFTKV_F(3, TTL), RAFTKV_F(4, grantedTTL),
                RAFTKV_B(5, keys));
};

struct LeaseLeasesRequest {
  using Self = LeaseLeasesRequest;
  static constexpr const char* kType = "etcdserverpb.LeaseLeasesRequest";
  static constexpr std::tuple<> Fields() { return {}; }
  friend bool operator==(const LeaseLeasesRequest&, const LeaseLeasesRequest&) = default;
};

struct LeaseStatus {
  std::int64_t ID = 0;
  RAFTKV_FIELDS(LeaseStatus, "etcdserverpb.LeaseStatus", RAFTKV_F(1, ID));
};

struct LeaseLeasesResponse {
  std::optional<ResponseHeader> header = {};
  std::vector<LeaseStatus> leases = {};
  RAFTKV_FIELDS(LeaseLeasesResponse, "etcdserverpb.LeaseLeasesResponse", RAFTKV_F(1, header),
                RAFTKV_F(2, leases));
};

}  // namespace raftkv::etcd
