#include "tests/rpc/etcd/proto_text.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

namespace raftkv::etcd {
namespace {

std::vector<std::string> Tokens(const std::string& text) {
  std::vector<std::string> tokens;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) tokens.push_back(word);
    word.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '/' && i + 1 < text.size() && text[i + 1] == '/') {
      end_word();
      i = std::min(text.find('\n', i), text.size());
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      end_word();
    } else if (std::string("{}();=").find(c) != std::string::npos) {
      end_word();
      tokens.emplace_back(1, c);
    } else {
      word += c;
    }
  }
  end_word();
  return tokens;
}

std::string Joined(const std::vector<std::string>& tokens) {
  std::string out;
  for (const std::string& token : tokens) out += token + " ";
  return out;
}

std::string TypeText(const FieldDescriptorProto& field, const std::string& package,
                     const std::string& message) {
  switch (field.type) {
    case FieldDescriptorProto::kInt64: return "int64";
    case FieldDescriptorProto::kUint64: return "uint64";
    case FieldDescriptorProto::kInt32: return "int32";
    case FieldDescriptorProto::kUint32: return "uint32";
    case FieldDescriptorProto::kBool: return "bool";
    case FieldDescriptorProto::kString: return "string";
    case FieldDescriptorProto::kBytes: return "bytes";
    default: break;
  }
  // By the shortest name that is unambiguous: a name of this package, or of the message itself.
  std::string name = field.type_name.substr(1);
  for (const std::string& scope : {package + ".", message + "."}) {
    if (name.starts_with(scope)) name.erase(0, scope.size());
  }
  return name;
}

std::string EnumText(const EnumDescriptorProto& described) {
  std::string text = "enum " + described.name + " {";
  for (const EnumValueDescriptorProto& value : described.value) {
    text += value.name + " = " + std::to_string(value.number.value_or(-1)) + ";";
  }
  return text + "}";
}

std::string MessageText(const DescriptorProto& message, const std::string& package) {
  std::string text = "message " + message.name + " {";
  for (const EnumDescriptorProto& described : message.enum_type) text += EnumText(described);
  std::optional<std::int32_t> open;
  for (const FieldDescriptorProto& field : message.field) {
    if (field.oneof_index != open) {
      if (open.has_value()) text += "}";
      open = field.oneof_index;
      if (open.has_value()) {
        text += "oneof " + message.oneof_decl[static_cast<std::size_t>(*open)].name + " {";
      }
    }
    if (field.label == FieldDescriptorProto::kRepeated) text += "repeated ";
    text += TypeText(field, package, message.name) + " " + field.name + " = " +
            std::to_string(field.number) + ";";
  }
  return text + (open.has_value() ? "}}" : "}");
}

std::string ServiceText(const ServiceDescriptorProto& service, const std::string& package) {
  const auto type = [&](bool streams, const std::string& full_name) {
    const std::string own = "." + package + ".";
    return (streams ? "(stream " : "(") +
           full_name.substr(full_name.starts_with(own) ? own.size() : 1) + ")";
  };
  std::string text = "service " + service.name + " {";
  for (const MethodDescriptorProto& method : service.method) {
    text += "rpc " + method.name + type(method.client_streaming, method.input_type) + " returns " +
            type(method.server_streaming, method.output_type) + ";";
  }
  return text + "}";
}

/// `body`: what is between the braces of a service.
void AddMethods(const std::string& service, const std::vector<std::string>& body,
                ProtoDeclarations& to) {
  std::vector<std::string> method;
  for (const std::string& token : body) {
    if (token != ";") {
      method.push_back(token);
      continue;
    }
    to[service + " " + (method.size() > 1 ? method[1] : "")] = Joined(method);
    method.clear();
  }
}

}  // namespace

ProtoDeclarations ParseProtoText(const std::string& text) {
  ProtoDeclarations declarations;
  std::vector<std::string> current;
  int depth = 0;
  for (const std::string& token : Tokens(text)) {
    depth += token == "{" ? 1 : token == "}" ? -1 : 0;
    current.push_back(token);
    if (depth > 0 || (token != ";" && token != "}")) continue;
    const bool is_block = token == "}" && current.size() > 3;
    const std::string name = is_block ? current[0] + " " + current[1] : Joined(current);
    if (is_block && current[0] == "service") {
      AddMethods(name, {current.begin() + 3, current.end() - 1}, declarations);
    } else {
      EXPECT_FALSE(declarations.contains(name)) << name;
      declarations[name] = Joined(current);
    }
    current.clear();
  }
  EXPECT_TRUE(current.empty()) << Joined(current);
  return declarations;
}

ProtoDeclarations DeclarationsOf(const FileDescriptorProto& file) {
  std::string text = "syntax = \"" + file.syntax + "\"; package " + file.package + ";";
  for (const std::string& name : file.dependency) text += "import \"" + name + "\";";
  for (const EnumDescriptorProto& described : file.enum_type) text += EnumText(described);
  for (const DescriptorProto& message : file.message_type) {
    text += MessageText(message, file.package);
  }
  for (const ServiceDescriptorProto& service : file.service) {
    text += ServiceText(service, file.package);
  }
  return ParseProtoText(text);
}

ProtoDeclarations DocumentedDeclarations(const std::string& name) {
  std::ifstream in(std::string(RAFTKV_SOURCE_DIR) + "/docs/etcd/" + name);
  EXPECT_TRUE(in.good()) << name;
  return ParseProtoText(std::string(std::istreambuf_iterator<char>(in), {}));
}

}  // namespace raftkv::etcd
