// Messages of the etcd door in JSON: what is taken is written again as the same message, in JSON
// and in protobuf's encoding.
#include <iterator>

#include "rpc/etcd/json.h"
#include "rpc/etcd/proto.h"
#include "rpc/etcd/reflection_messages.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

template <class Message>
void CheckJson(std::string_view input) {
  const Result<Message> message = etcd::DecodeJson<Message>(input);
  if (!message.ok()) return CheckRefusal(message.status(), {Code::kInvalidArgument});
  const std::string encoded = etcd::EncodeJson(*message);
  RAFTKV_CHECK(encoded.find('\n') == std::string::npos);
  const Result<Message> again = etcd::DecodeJson<Message>(encoded);
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(*again == *message);
  RAFTKV_CHECK(etcd::EncodeJson(*again) == encoded);
  const Result<Message> from_proto = etcd::DecodeProto<Message>(etcd::EncodeProto(*message));
  RAFTKV_CHECK(from_proto.ok(), from_proto.status().ToString());
  RAFTKV_CHECK(*from_proto == *message);
}

constexpr void (*kJsonCases[])(std::string_view) = {
    CheckJson<etcd::TxnRequest>,        CheckJson<etcd::WatchRequest>,
    CheckJson<etcd::RangeRequest>,      CheckJson<etcd::LeaseGrantRequest>,
    CheckJson<etcd::TxnResponse>,       CheckJson<etcd::AlarmRequest>,
    CheckJson<etcd::MemberAddResponse>, CheckJson<etcd::ServerReflectionRequest>,
};

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(etcd_json) {
  if (input.empty()) return;
  const std::size_t which = TakeCase(input, std::size(kJsonCases));
  kJsonCases[which](input);
}
