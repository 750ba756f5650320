// Messages of the etcd door in protobuf's encoding: what is taken is written again as the same
// message, in one way only, and stands in JSON as the same message too.
#include <iterator>

#include "rpc/etcd/json.h"
#include "rpc/etcd/proto.h"
#include "rpc/etcd/reflection_messages.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

template <class Message>
void CheckProto(std::string_view input) {
  const Result<Message> message = etcd::DecodeProto<Message>(input);
  if (!message.ok()) return CheckRefusal(message.status(), {Code::kInvalidArgument});
  const std::string encoded = etcd::EncodeProto(*message);
  const Result<Message> again = etcd::DecodeProto<Message>(encoded);
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(*again == *message);
  RAFTKV_CHECK(etcd::EncodeProto(*again) == encoded);
  const Result<Message> from_json = etcd::DecodeJson<Message>(etcd::EncodeJson(*message));
  RAFTKV_CHECK(from_json.ok(), from_json.status().ToString());
  RAFTKV_CHECK(*from_json == *message);
}

constexpr void (*kProtoCases[])(std::string_view) = {
    CheckProto<etcd::TxnRequest>,        CheckProto<etcd::WatchRequest>,
    CheckProto<etcd::TxnResponse>,       CheckProto<etcd::WatchResponse>,
    CheckProto<etcd::PutRequest>,        CheckProto<etcd::LeaseTimeToLiveResponse>,
    CheckProto<etcd::MemberAddResponse>, CheckProto<etcd::ServerReflectionResponse>,
};

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(etcd_proto) {
  if (input.empty()) return;
  const std::size_t which = TakeCase(input, std::size(kProtoCases));
  kProtoCases[which](input);
}
