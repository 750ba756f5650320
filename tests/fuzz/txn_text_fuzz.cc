// The text of a transaction: what is understood can be written again and is then understood in the
// same way; what is refused names its line.
#include <charconv>
#include <string>

#include <fmt/format.h>

#include "cmd/txn_text.h"
#include "tests/fuzz/fuzz.h"

namespace raftkv::fuzz {
namespace {

std::string Quoted(std::string_view word) {
  std::string out = "\"";
  for (const char c : word) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return out + '"';
}

std::string TextOf(const Compare& compare) {
  using Target = Compare::Target;
  RAFTKV_CHECK(!compare.end.has_value());
  const char* name = "value";
  switch (compare.target) {
    case Target::kValue: break;
    case Target::kModRevision: name = "mod"; break;
    case Target::kCreateRevision: name = "create"; break;
    case Target::kVersion: name = "version"; break;
    case Target::kLease: name = "lease"; break;
  }
  constexpr const char* kOperators[] = {"=", "!=", "<", ">"};
  const bool of_value = compare.target == Target::kValue;
  const bool of_lease = compare.target == Target::kLease;
  const std::string number =
      of_lease ? fmt::format("{:x}", compare.number) : fmt::format("{}", compare.number);
  return fmt::format("{}({}) {} {}\n", name, Quoted(compare.key), kOperators[compare.op],
                     Quoted(of_value ? compare.value : number));
}

/// KEY END, or KEY --prefix where there is no other way to say it.
std::string RangeText(const Op& op) {
  if (!op.end.empty()) return Quoted(op.key) + ' ' + Quoted(op.end);
  RAFTKV_CHECK(KeyRange::Prefix(op.key).end.empty());
  return Quoted(op.key) + " --prefix";
}

std::string TextOf(const Op& op) {
  const std::string previous = op.return_previous ? " --prev-kv\n" : "\n";
  switch (op.kind) {
    case Op::Kind::kPut: {
      const std::string lease = op.lease == 0 ? "" : fmt::format(" --lease {:x}", op.lease);
      const std::string value = op.keep_value ? "--ignore-value" : Quoted(op.value);
      const std::string kept = op.keep_lease ? " --ignore-lease" : "";
      return "put " + Quoted(op.key) + ' ' + value + lease + kept + previous;
    }
    case Op::Kind::kDelete: return "del " + Quoted(op.key) + previous;
    case Op::Kind::kDeleteRange: return "del " + RangeText(op) + previous;
    case Op::Kind::kIncrement: return fmt::format("incr {} {}\n", Quoted(op.key), op.delta);
    case Op::Kind::kRange: {
      std::string text = "get " + RangeText(op);
      if (op.options.limit != 0) text += fmt::format(" --limit {}", op.options.limit);
      if (op.options.keys_only) text += " --keys-only";
      if (op.options.count_only) text += " --count-only";
      return text + '\n';
    }
    case Op::Kind::kGet:
    case Op::Kind::kTxn: break;
  }
  RAFTKV_CHECK(false, static_cast<int>(op.kind));
  return {};
}

std::string TextOf(const TxnRequest& txn) {
  std::string text;
  for (const Compare& compare : txn.compares) text += TextOf(compare);
  text += '\n';
  for (const Op& op : txn.success) text += TextOf(op);
  text += '\n';
  for (const Op& op : txn.failure) text += TextOf(op);
  return text;
}

void CheckLine(const Status& refused, std::size_t lines) {
  constexpr std::string_view kLine = "line ";
  const std::string& message = refused.message();
  RAFTKV_CHECK(message.starts_with(kLine), message);
  std::size_t number = 0;
  const char* const end = message.data() + message.size();
  const auto parsed = std::from_chars(message.data() + kLine.size(), end, number);
  RAFTKV_CHECK(number >= 1, message);
  RAFTKV_CHECK(number <= lines, message, lines);
  RAFTKV_CHECK(std::string_view(parsed.ptr, end).starts_with(": "), message);
  // It goes to a terminal.
  for (const char c : message) RAFTKV_CHECK(static_cast<unsigned char>(c) >= ' ', message);
}

}  // namespace
}  // namespace raftkv::fuzz

RAFTKV_FUZZ_TARGET(txn_text) {
  std::size_t lines = 1;
  for (const char c : input) lines += c == '\n' ? 1 : 0;
  const Result<TxnRequest> txn = cmd::ParseTxnText(input);
  if (!txn.ok()) {
    CheckRefusal(txn.status(), {Code::kInvalidArgument});
    CheckLine(txn.status(), lines);
    return;
  }
  RAFTKV_CHECK(txn->compares.size() + txn->success.size() + txn->failure.size() <= lines);
  const std::string text = TextOf(*txn);
  const Result<TxnRequest> again = cmd::ParseTxnText(text);
  RAFTKV_CHECK(again.ok(), again.status().ToString());
  RAFTKV_CHECK(TextOf(*again) == text);
  RAFTKV_CHECK(again->compares.size() == txn->compares.size());
  RAFTKV_CHECK(again->success.size() == txn->success.size());
}
