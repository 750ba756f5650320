// Addresses and names of members, and base64: what is taken has one spelling, which is taken again.
#include "cmd/base64.h"
#include "lib/base/address.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

void CheckAddress(std::string_view text) {
  const Result<HostPort> address = ParseHostPort(text);
  if (!address.ok()) return CheckRefusal(address.status(), {Code::kInvalidArgument});
  const std::string spelled = ToText(*address);
  const Result<HostPort> again = ParseHostPort(spelled);
  RAFTKV_CHECK(again.ok(), spelled, again.status().ToString());
  RAFTKV_CHECK(ToText(*again) == spelled, ToText(*again), spelled);
  RAFTKV_CHECK(again->host == address->host);
  RAFTKV_CHECK(again->port == address->port);
  const Result<HostPort> remote = ParseRemoteAddress("the address", text);
  if (!remote.ok()) return CheckRefusal(remote.status(), {Code::kInvalidArgument});
  RAFTKV_CHECK(!IsWildcard(*remote));
  RAFTKV_CHECK(remote->port != 0);
}

void CheckName(std::string_view name) {
  const Status status = CheckMemberName("the name", name);
  if (!status.ok()) return CheckRefusal(status, {Code::kInvalidArgument});
  RAFTKV_CHECK(!name.empty());
  RAFTKV_CHECK(name.size() <= kMaxMemberNameBytes, name.size());
  RAFTKV_CHECK(name.find_first_of("=,\n") == std::string_view::npos);
}

void CheckBase64(std::string_view bytes) {
  const std::string text = cmd::EncodeBase64(bytes);
  const std::optional<std::string> decoded = cmd::DecodeBase64(text);
  RAFTKV_CHECK(decoded.has_value());
  RAFTKV_CHECK(*decoded == bytes);
  const std::optional<std::string> read = cmd::DecodeBase64(bytes);
  RAFTKV_CHECK(!read.has_value() || cmd::EncodeBase64(*read) == bytes);
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(address) {
  CheckAddress(input);
  CheckName(input);
  CheckBase64(input);
  for (const char c : Quoted(input)) RAFTKV_CHECK(static_cast<unsigned char>(c) >= ' ');
}
