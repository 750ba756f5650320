#include "cmd/txn_text.h"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cmd/lease_id.h"
#include "lib/base/address.h"

namespace raftkv::cmd {
namespace {

Status Bad(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

template <class T>
std::optional<T> ToNumber(std::string_view text, int base = 10) {
  T number{};
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, base);
  if (text.empty() || error != std::errc() || rest != end) return std::nullopt;
  return number;
}

void AppendUtf8(std::uint32_t rune, std::string& out) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((rune >> shift) & 0x3f)); };
  if (rune < 0x80) {
    out += static_cast<char>(rune);
  } else if (rune < 0x800) {
    out += static_cast<char>(0xc0 | (rune >> 6));
    tail(0);
  } else if (rune < 0x10000) {
    out += static_cast<char>(0xe0 | (rune >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0 | (rune >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

/// Reads one line from the left.
class LineReader {
 public:
  explicit LineReader(std::string_view line) : rest_(line) {}

  [[nodiscard]] bool AtEnd() {
    while (!rest_.empty() && IsSpace(rest_.front())) rest_.remove_prefix(1);
    return rest_.empty();
  }
  [[nodiscard]] bool Skip(std::string_view text) {
    if (AtEnd() || !rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  /// Up to one of `ends` or a space.
  std::string_view Plain(std::string_view ends) {
    std::size_t size = 0;
    if (AtEnd()) return {};
    while (size < rest_.size() && !IsSpace(rest_[size]) && ends.find(rest_[size]) == ends.npos)
      ++size;
    return Take(size);
  }
  /// A word, quoted or not. What is not ends at one of `ends` as well.
  Result<std::string> Word(std::string_view ends) {
    quoted_ = false;
    if (AtEnd()) return Bad("a word is missing");
    const char quote = rest_.front();
    if (quote != '"' && quote != '\'' && quote != '`') return std::string(Plain(ends));
    quoted_ = true;
    rest_.remove_prefix(1);
    if (quote == '"') return DoubleQuoted();
    const std::size_t end = rest_.find(quote);
    if (end == std::string_view::npos) return Unterminated();
    std::string word(Take(end));
    rest_.remove_prefix(1);
    return word;
  }
  /// The last word was.
  [[nodiscard]] bool quoted() const { return quoted_; }
  /// A space or the end is next, or one of `ends`.
  [[nodiscard]] bool AtBoundary(std::string_view ends) const {
    return rest_.empty() || IsSpace(rest_.front()) || ends.find(rest_.front()) != ends.npos;
  }

 private:
  std::string_view Take(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  static Status Unterminated() { return Bad("a quote is not closed"); }

  Result<std::string> DoubleQuoted() {
    std::string word;
    while (!rest_.empty()) {
      const char c = Take(1).front();
      if (c == '"') return word;
      if (c != '\\') {
        word += c;
      } else if (Status bad = Escape(word); !bad.ok()) {
        return bad;
      }
    }
    return Unterminated();
  }

  Status Escape(std::string& word) {
    if (rest_.empty()) return Unterminated();
    const char c = rest_.front();
    if (c >= '0' && c <= '7') return Digits(0, 3, 8, 0xff, word);
    switch (c) {
      case 'x': return Digits(1, 2, 16, 0xff, word);
      case 'u': return Digits(1, 4, 16, 0x10ffff, word);
      case 'U': return Digits(1, 8, 16, 0x10ffff, word);
      default: break;
    }
    static constexpr std::string_view kNames = "abfnrtv\\\"'";
    static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\\"'";
    const std::size_t at = kNames.find(c);
    if (at == std::string_view::npos) return Bad(Quoted(std::string{'\\', c}) + " is no escape");
    rest_.remove_prefix(1);
    word += kMeanings[at];
    return Status::Ok();
  }

  /// `digits` of them after `skipped` characters; of a byte, or of a rune where there are more.
  Status Digits(std::size_t skipped, std::size_t digits, int base, std::uint32_t max,
                std::string& word) {
    rest_.remove_prefix(skipped);
    const auto number = ToNumber<std::uint32_t>(rest_.substr(0, digits), base);
    const bool is_surrogate = number >= 0xd800U && number < 0xe000U;
    if (rest_.size() < digits || !number || *number > max || (max > 0xff && is_surrogate)) {
      return Bad("an escape has wrong digits");
    }
    rest_.remove_prefix(digits);
    if (max == 0xff) {
      word += static_cast<char>(*number);
    } else {
      AppendUtf8(*number, word);
    }
    return Status::Ok();
  }

  std::string_view rest_;
  bool quoted_ = false;
};

std::optional<Compare::Target> TargetOf(std::string_view name) {
  using Target = Compare::Target;
  if (name == "value" || name == "val") return Target::kValue;
  if (name == "create" || name == "c") return Target::kCreateRevision;
  if (name == "mod" || name == "m") return Target::kModRevision;
  if (name == "version" || name == "ver") return Target::kVersion;
  if (name == "lease") return Target::kLease;
  return std::nullopt;
}

Result<Compare> ParseCompare(std::string_view line) {
  const auto malformed = [](const std::string& why) {
    return Bad(why + ": a compare looks like value(\"KEY\") = \"VALUE\" or mod(\"KEY\") > \"0\"");
  };
  LineReader reader(line);
  const std::string_view name = reader.Plain("(");
  const auto target = TargetOf(name);
  if (!target) {
    return malformed(Quoted(name) + " is none of value, create, mod, version, lease");
  }
  if (!reader.Skip("(")) return malformed("'(' is missing");
  Compare compare;
  compare.target = *target;
  auto key = reader.Word(")");
  if (!key.ok()) return malformed(key.status().message());
  compare.key = *std::move(key);
  if (!reader.Skip(")")) return malformed("')' is missing");
  if (reader.Skip("!=")) {
    compare.op = Compare::kNotEqual;
  } else if (reader.Skip("=")) {
    compare.op = Compare::kEqual;
  } else if (reader.Skip("<")) {
    compare.op = Compare::kLess;
  } else if (reader.Skip(">")) {
    compare.op = Compare::kGreater;
  } else {
    return malformed("one of =, !=, < and > is missing");
  }
  auto operand = reader.Word("");
  if (!operand.ok()) return malformed(operand.status().message());
  if (!reader.AtEnd()) return malformed("something follows");
  if (*target == Compare::Target::kValue) {
    compare.value = *std::move(operand);
    return compare;
  }
  const bool is_lease = *target == Compare::Target::kLease;
  const auto number = is_lease ? ParseLeaseId(*operand) : ToNumber<std::uint64_t>(*operand);
  if (!number) {
    return Bad(Quoted(*operand) + (is_lease ? " is not the ID of a lease, in hexadecimal"
                                            : " is no unsigned 64-bit decimal number"));
  }
  compare.number = *number;
  return compare;
}

/// A line of an operation: words and flags.
struct Words {
  std::vector<std::string> words;
  bool prefix = false;
  bool prev_kv = false;
  bool ignore_value = false;
  bool ignore_lease = false;
  bool keys_only = false;
  bool count_only = false;
  std::optional<std::uint64_t> limit;
  std::optional<std::uint64_t> lease;
};

/// Of the flag `name`, which is followed by its value, after "=" or as the next word.
Result<std::string> ValueOf(const std::string& name, const std::string& flag, LineReader& reader) {
  if (flag.size() > name.size()) return flag.substr(name.size() + 1);
  auto next = reader.Word("");
  if (!next.ok()) return Bad(name + " needs a number");
  if (!reader.AtBoundary("")) return Bad("a space is missing behind a quote");
  return next;
}

Status TakeFlag(const std::string& flag, LineReader& reader, Words& out) {
  if (flag == "--prefix") {
    out.prefix = true;
  } else if (flag == "--prev-kv") {
    out.prev_kv = true;
  } else if (flag == "--ignore-value") {
    out.ignore_value = true;
  } else if (flag == "--ignore-lease") {
    out.ignore_lease = true;
  } else if (flag == "--keys-only") {
    out.keys_only = true;
  } else if (flag == "--count-only") {
    out.count_only = true;
  } else if (flag == "--limit" || flag.starts_with("--limit=")) {
    const auto text = ValueOf("--limit", flag, reader);
    if (!text.ok()) return text.status();
    out.limit = ToNumber<std::uint64_t>(*text);
    if (!out.limit) return Bad("--limit: " + Quoted(*text) + " is no number");
  } else if (flag == "--lease" || flag.starts_with("--lease=")) {
    const auto text = ValueOf("--lease", flag, reader);
    if (!text.ok()) return text.status();
    out.lease = ParseLeaseId(*text);
    if (!out.lease) {
      return Bad("--lease: " + Quoted(*text) + " is not the ID of a lease, in hexadecimal");
    }
  } else {
    return Bad(Quoted(flag) + " is no flag of an operation");
  }
  return Status::Ok();
}

Result<Words> Split(std::string_view line) {
  Words out;
  LineReader reader(line);
  bool flags = true;
  while (!reader.AtEnd()) {
    auto word = reader.Word("");
    if (!word.ok()) return word.status();
    if (!reader.AtBoundary("")) return Bad("a space is missing behind a quote");
    if (!flags || reader.quoted() || !word->starts_with("--")) {
      out.words.push_back(*std::move(word));
    } else if (*word == "--") {
      flags = false;
    } else if (Status bad = TakeFlag(*word, reader, out); !bad.ok()) {
      return bad;
    }
  }
  return out;
}

/// The range of `get` and `del`; nullopt: a key.
Result<std::optional<KeyRange>> RangeOf(const Words& words) {
  const bool has_end = words.words.size() == 3;
  if (has_end && words.prefix) return Bad("either END or --prefix, not both");
  if (has_end && words.words[2].empty()) return Bad("END is empty");
  if (words.prefix) return std::optional(KeyRange::Prefix(words.words[1]));
  if (has_end) return std::optional(KeyRange{words.words[1], words.words[2]});
  return std::optional<KeyRange>();
}

Status CheckFlags(const Words& words, bool ranges, bool previous) {
  const bool of_get = words.keys_only || words.count_only || words.limit.has_value();
  if (of_get && words.words[0] != "get") {
    return Bad("--keys-only, --count-only and --limit are flags of get");
  }
  const bool of_put = words.lease || words.ignore_value || words.ignore_lease;
  if (of_put && words.words[0] != "put") {
    return Bad("--lease, --ignore-value and --ignore-lease are flags of put");
  }
  if (words.lease && words.ignore_lease) return Bad("either --lease or --ignore-lease, not both");
  if (words.prefix && !ranges) return Bad("--prefix is a flag of get and del");
  if (words.prev_kv && !previous) return Bad("--prev-kv is a flag of put and del");
  return Status::Ok();
}

Result<Op> ParseOperation(std::string_view line) {
  const auto split = Split(line);
  if (!split.ok()) return split.status();
  const std::vector<std::string>& words = split->words;
  const std::size_t size = words.size();
  const std::string verb = words.empty() ? std::string() : words[0];
  const bool is_put = verb == "put";
  const bool is_get = verb == "get";
  const bool is_del = verb == "del";
  if (!is_put && !is_get && !is_del && verb != "incr") {
    return Bad(Quoted(verb) + " is none of put, get, del, incr");
  }
  if (is_put && split->ignore_value && size != 2) return Bad("put --ignore-value takes KEY");
  if (is_put && !split->ignore_value && size != 3) return Bad("put takes KEY VALUE");
  if (!is_put && (size < 2 || size > 3)) {
    return Bad(verb + (verb == "incr" ? " takes KEY [DELTA]" : " takes KEY [END]"));
  }
  Status bad = CheckFlags(*split, is_get || is_del, is_put || is_del);
  if (!bad.ok()) return bad;
  Op op;
  if (is_put) {
    op =
        Op::Put(words[1], split->ignore_value ? std::string() : words[2], split->lease.value_or(0));
    op.keep_value = split->ignore_value;
    op.keep_lease = split->ignore_lease;
  } else if (is_get || is_del) {
    const auto range = RangeOf(*split);
    if (!range.ok()) return range.status();
    ScanOptions options;
    options.limit = split->limit.value_or(0);
    options.keys_only = split->keys_only;
    options.count_only = split->count_only;
    // A key with options is a range of one.
    const KeyRange scanned = range->value_or(KeyRange{words[1], words[1] + '\0'});
    if (is_get) {
      op = Op::Range(scanned, options);
    } else {
      op = range->has_value() ? Op::DeleteRange(**range) : Op::Delete(words[1]);
    }
  } else {
    const auto delta = size == 3 ? ToNumber<std::int64_t>(words[2]) : 1;
    if (!delta) return Bad(Quoted(words[2]) + " is not a signed 64-bit decimal number");
    op = Op::Increment(words[1], *delta);
  }
  op.return_previous = split->prev_kv;
  return op;
}

}  // namespace

Result<TxnRequest> ParseTxnText(std::string_view text) {
  TxnRequest txn;
  enum class Part : unsigned char { kCompares, kThen, kElse, kEnd };
  auto part = Part::kCompares;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = Trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto at = [number](const Status& bad) {
      return Bad(fmt::format("line {}: {}", number, bad.message()));
    };
    if (line.empty()) {
      if (part != Part::kEnd) part = static_cast<Part>(static_cast<int>(part) + 1);
    } else if (part == Part::kCompares) {
      auto compare = ParseCompare(line);
      if (!compare.ok()) return at(compare.status());
      txn.compares.push_back(*std::move(compare));
    } else if (part == Part::kEnd) {
      return at(Bad("nothing may follow the operations of the else part"));
    } else {
      auto op = ParseOperation(line);
      if (!op.ok()) return at(op.status());
      (part == Part::kThen ? txn.success : txn.failure).push_back(*std::move(op));
    }
  }
  return txn;
}

}  // namespace raftkv::cmd
