// The seeds of the etcd door's messages.
#include <string>

#include "rpc/etcd/json.h"
#include "rpc/etcd/proto.h"
#include "rpc/etcd/reflection_messages.h"
#include "tests/fuzz/make_seeds.h"

namespace raftkv::fuzz {
namespace {

/// The cases of etcd_proto_fuzz.cc.
enum ProtoCase : unsigned char {
  kTxn,
  kWatch,
  kTxnResponse,
  kWatchResponse,
  kPut,
  kLeaseResponse,
  kMembers,
  kReflection,
};

etcd::TxnRequest EtcdTxn() {
  etcd::TxnRequest txn;
  txn.compare = {{.result = etcd::CompareResultNames::kGreater,
                  .target = etcd::CompareTargetNames::kMod,
                  .key = "key",
                  .mod_revision = 300},
                 {.target = etcd::CompareTargetNames::kValue, .value = "", .range_end = "l"}};
  txn.success.resize(3);
  txn.success[0].request_put = {.key = "key", .value = "value", .lease = -7, .prev_kv = true};
  txn.success[1].request_range = {.key = "a",
                                  .range_end = "b",
                                  .sort_order = etcd::SortOrderNames::kDescend,
                                  .sort_target = etcd::SortTargetNames::kCreate};
  txn.success[2].request_txn.emplace().failure.resize(1);
  txn.failure.resize(1);
  txn.failure[0].request_delete_range = {.key = "k", .prev_kv = true};
  return txn;
}

etcd::WatchRequest EtcdWatch() {
  etcd::WatchRequest watch;
  watch.create_request = {
      .key = "k",
      .start_revision = 5,
      .filters = {etcd::FilterTypeNames::kNoDelete, etcd::FilterTypeNames::kNoPut},
      .watch_id = 3};
  return watch;
}

etcd::TxnResponse EtcdTxnResponse() {
  const etcd::KeyValue pair = {
      .key = "key", .create_revision = 2, .mod_revision = 300, .version = 4, .value = "value"};
  etcd::TxnResponse response;
  response.header = {.cluster_id = 1ULL << 63, .member_id = 7, .revision = 300, .raft_term = 2};
  response.succeeded = true;
  response.responses.resize(3);
  response.responses[0].response_put.emplace().prev_kv = pair;
  response.responses[1].response_range = {.kvs = {pair, {}}, .more = true, .count = 9};
  response.responses[2].response_txn.emplace().header.emplace();
  return response;
}

etcd::MemberAddResponse EtcdMembers() {
  const etcd::Member member = {
      .ID = 9, .name = "n\xc3\xa4", .peerURLs = {"http://10.0.0.1:7001", ""}, .isLearner = true};
  return {.member = member, .members = {member, {}}};
}

void SeedEtcdProto() {
  const auto seed = [](ProtoCase which, const std::string& name, const auto& message) {
    Seed("etcd_proto", which, name, etcd::EncodeProto(message));
  };
  seed(kTxn, "txn", EtcdTxn());
  seed(kWatch, "watch", EtcdWatch());
  seed(kWatch, "watch-progress", etcd::WatchRequest{.progress_request = {{}}});
  seed(kTxnResponse, "txn-response", EtcdTxnResponse());
  etcd::WatchResponse events;
  events.watch_id = 3;
  events.events.resize(2);
  events.events[0].kv = {.key = "k", .mod_revision = 5};
  events.events[1].type = etcd::EventTypeNames::kDelete;
  events.events[1].prev_kv.emplace();
  seed(kWatchResponse, "watch-response", events);
  seed(kPut, "put", etcd::PutRequest{.key = "k", .value = std::string(200, 'v')});
  seed(kLeaseResponse, "lease", etcd::LeaseTimeToLiveResponse{.TTL = -1, .keys = {"a", "", "b"}});
  seed(kMembers, "members", EtcdMembers());
  etcd::ServerReflectionResponse reflection;
  reflection.original_request = {.file_containing_symbol = "etcdserverpb.KV"};
  reflection.all_extension_numbers_response = {.extension_number = {1, -1}};
  seed(kReflection, "reflection", reflection);
  const std::string put = "\x0a\x01k";
  const auto raw = [](const std::string& name, const std::string& bytes) {
    Seed("etcd_proto", kPut, name, bytes);
  };
  raw("put-unknown-fields", "\xa0\x06\xff\x01\xa2\x06\x02xy" + put + "\xa5\x06xxxx");
  raw("put-group", "\xa3\x06\x08\x01\x13\x14\xa4\x06" + put);
  raw("put-twice", put + "\x0a\x01j");
  raw("put-wrong-type", "\x08\x01");
  raw("put-cut-off", "\x0a\x05k");
  Seed("etcd_proto", kWatch, "watch-unpacked", "\x0a\x04\x28\x01\x28\x02");
  Seed("etcd_proto", kTxn, "txn-two-of-oneof",
       "\x12\x05\x12\x03\x0a\x01k\x0a\x05\x3a\x01v\x20\x05");
}

void SeedEtcdJson() {
  const auto seed = [](unsigned char which, const std::string& name, const std::string& text) {
    Seed("etcd_json", which, name, text);
  };
  seed(0, "txn", etcd::EncodeJson(EtcdTxn()));
  seed(0, "txn-camel", R"({"success":[{"requestPut":{"key":"YQ==","prevKv":true}}]})");
  seed(0, "txn-two-of-oneof", R"({"compare":[{"version":"1","value":""}]})");
  seed(0, "txn-null", R"({"compare":null,"success":[{"request_put":null}]})");
  seed(1, "watch", etcd::EncodeJson(EtcdWatch()));
  seed(1, "watch-filters", R"({"create_request":{"filters":["NOPUT",1,7]}})");
  seed(2, "range-enums", R"({"key":"YQ==","sort_order":"DESCEND","sortTarget":-1,"limit":-5})");
  seed(2, "range-unknown", R"({"x":[{"y":[null,1.5,"\"["]}],"key":"YR==\n"})");
  seed(3, "lease-numbers", R"({"TTL":"60","ID":9223372036854775807})");
  seed(3, "lease-fraction", R"({"TTL":1.5})");
  seed(4, "txn-response", etcd::EncodeJson(EtcdTxnResponse()));
  seed(5, "alarm", R"({"action":"ACTIVATE","memberID":18446744073709551615,"alarm":"NOSPACE"})");
  seed(6, "members", etcd::EncodeJson(EtcdMembers()));
  seed(6, "members-escapes", R"({"member":{"name":"\u00e4\ud83d\ude00\n","peerURLs":[""]}})");
  seed(7, "reflection", R"({"file_containing_extension":{"extension_number":-1}})");
  seed(7, "nothing", " ");
}

}  // namespace

void SeedEtcdMessages() {
  SeedEtcdProto();
  SeedEtcdJson();
}

}  // namespace raftkv::fuzz
