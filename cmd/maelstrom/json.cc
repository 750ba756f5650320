#include "cmd/maelstrom/json.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace raftkv::cmd::maelstrom {
namespace {

class Builder final : public nlohmann::json_sax<Value> {
 public:
  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(value); }
  bool number_unsigned(number_unsigned_t value) override { return Put(value); }
  bool number_float(number_float_t value, const string_t& token) override {
    if (token.find_first_of(".eE") != std::string::npos) return Put(value);
    return Put(Value::binary({token.begin(), token.end()}));
  }
  bool string(string_t& value) override { return Put(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }  // not in text
  bool start_object(std::size_t /*size*/) override { return Begin(Value::object()); }
  bool key(string_t& key) override {
    key_ = std::move(key);
    return true;
  }
  bool end_object() override { return End(); }
  bool start_array(std::size_t /*size*/) override { return Begin(Value::array()); }
  bool end_array() override { return End(); }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::json::exception& error) override {
    error_ = "invalid JSON at byte " + std::to_string(position) + ": " + error.what();
    return false;
  }

  Value& root() { return root_; }
  [[nodiscard]] const std::string& error() const { return error_; }

 private:
  template <class T>
  bool Put(T&& value) {
    Place(std::forward<T>(value));
    return true;
  }
  /// A pointer into an array is good until the next element, which comes after End().
  Value* Place(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    Value& field = (*open_.back())[key_];
    field = std::move(value);
    return &field;
  }
  bool Begin(Value empty) {
    if (open_.size() >= kMaxDepth) {
      error_ = "nested deeper than " + std::to_string(kMaxDepth);
      return false;
    }
    open_.push_back(Place(std::move(empty)));
    return true;
  }
  bool End() {
    open_.pop_back();
    return true;
  }

  Value root_;
  std::vector<Value*> open_;  ///< arrays and objects that are not at their end
  std::string key_;
  std::string error_;
};

std::string DumpScalar(const Value& value) {
  return value.dump(-1, ' ', false, Value::error_handler_t::replace);
}

void Append(const Value& value, std::string& out) {
  if (value.is_array()) {
    out += '[';
    bool first = true;
    for (const Value& element : value) {
      if (!std::exchange(first, false)) out += ',';
      Append(element, out);
    }
    out += ']';
  } else if (value.is_object()) {
    out += '{';
    bool first = true;
    for (const auto& [key, field] : value.items()) {
      if (!std::exchange(first, false)) out += ',';
      out += DumpScalar(key);
      out += ':';
      Append(field, out);
    }
    out += '}';
  } else if (value.is_binary()) {
    out.append(value.get_binary().begin(), value.get_binary().end());
  } else {
    out += DumpScalar(value);
  }
}

}  // namespace

Result<Value> ParseJson(std::string_view text) {
  Builder builder;
  if (Value::sax_parse(text, &builder)) return std::move(builder.root());
  std::string why = builder.error().substr(0, 200);
  std::replace_if(
      why.begin(), why.end(), [](unsigned char c) { return c < ' ' || c >= 0x7f; }, '?');
  return Status(Code::kInvalidArgument, std::move(why));
}

std::string ToText(const Value& value) {
  std::string out;
  Append(value, out);
  return out;
}

const Value* Find(const Value& object, const char* field) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(field);
  return found == object.end() ? nullptr : &*found;
}

std::optional<std::string> FindString(const Value& object, const char* field) {
  const Value* value = Find(object, field);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return value->get<std::string>();
}

std::optional<std::int64_t> FindInteger(const Value& object, const char* field) {
  const Value* value = Find(object, field);
  if (value == nullptr || !value->is_number_integer()) return std::nullopt;
  if (value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX) return std::nullopt;
  return value->get<std::int64_t>();
}

}  // namespace raftkv::cmd::maelstrom
