#include "rpc/etcd/descriptors.h"

#include <algorithm>
#include <iterator>
#include <type_traits>
#include <utility>

#include "lib/base/check.h"
#include "rpc/etcd/field_traits.h"
#include "rpc/etcd/message_list.h"
#include "rpc/etcd/proto.h"

namespace raftkv::etcd {
namespace {

struct ProtoFile {
  std::string_view name;
  std::string_view package;
};

/// Each after those that it may depend on.
constexpr ProtoFile kProtoFiles[] = {
    {"kv.proto", "mvccpb"},
    {"rpc.proto", "etcdserverpb"},
    {"v3lock.proto", "v3lockpb"},
    {"v3election.proto", "v3electionpb"},
    {"grpc/health/v1/health.proto", "grpc.health.v1"},
    {"grpc/reflection/v1alpha/reflection.proto", "grpc.reflection.v1alpha"},
    {"grpc/reflection/v1/reflection.proto", "grpc.reflection.v1"},
};

using ProtoFiles = std::vector<FileDescriptorProto>;

/// The file with the package of `full_name`, "etcdserverpb.RangeRequest.SortOrder".
FileDescriptorProto& FileOf(ProtoFiles& files, std::string_view full_name) {
  for (FileDescriptorProto& file : files) {
    if (full_name.starts_with(file.package + ".")) return file;
  }
  CheckFailed(__FILE__, __LINE__, "a package of kProtoFiles", std::string(full_name));
}

/// "RangeRequest.SortOrder".
std::string NameWithin(const FileDescriptorProto& file, std::string_view full_name) {
  return std::string(full_name.substr(file.package.size() + 1));
}

template <class Descriptor>
Descriptor* FindByName(std::vector<Descriptor>& all, std::string_view name) {
  const auto found = std::find_if(all.begin(), all.end(),
                                  [name](const Descriptor& each) { return each.name == name; });
  return found == all.end() ? nullptr : &*found;
}

void AddDependency(FileDescriptorProto& file, const std::string& on) {
  auto& all = file.dependency;
  if (on == file.name || std::find(all.begin(), all.end(), on) != all.end()) return;
  all.push_back(on);
}

template <class Names>
EnumDescriptorProto DescribeEnum(std::string name) {
  EnumDescriptorProto described;
  described.name = std::move(name);
  std::int32_t number = 0;
  for (const char* const value : Names::kNames) {
    described.value.push_back({.name = value, .number = number++});
  }
  return described;
}

/// One message, in the file of its package.
template <class Message>
class MessageDescription {
 public:
  explicit MessageDescription(ProtoFiles& files)
      : files_(files), file_(FileOf(files, Message::kType)) {
    message_.name = NameWithin(file_, Message::kType);
    ForEachField<Message>([this](const auto& field) { this->AddField(field); });
    file_.message_type.push_back(std::move(message_));
  }

 private:
  template <class Type>
  void AddField(const Field<Message, Type>& field) {
    FieldDescriptorProto described;
    described.name = field.name;
    described.number = static_cast<std::int32_t>(field.number);
    described.label =
        kIsVector<Type> ? FieldDescriptorProto::kRepeated : FieldDescriptorProto::kOptional;
    if (field.oneof != nullptr) described.oneof_index = OneofIndex(field.oneof);
    if constexpr (kIsVector<Type>) {
      SetType<typename Type::value_type>(described, field.is_bytes);
    } else if constexpr (kIsOptional<Type>) {
      SetType<std::decay_t<decltype(*std::declval<Type&>())>>(described, field.is_bytes);
    } else {
      SetType<Type>(described, field.is_bytes);
    }
    message_.field.push_back(std::move(described));
  }

  std::int32_t OneofIndex(const char* name) {
    auto& all = message_.oneof_decl;
    OneofDescriptorProto* found = FindByName(all, name);
    if (found == nullptr) found = &all.emplace_back(OneofDescriptorProto{.name = name});
    return static_cast<std::int32_t>(found - all.data());
  }

  template <class T>
  void SetType(FieldDescriptorProto& field, bool is_bytes) {
    using Type = FieldDescriptorProto::Type;
    if constexpr (kIsEnum<T>) {
      field.type = Type::kEnum;
      SetEnum(field, T{});
    } else if constexpr (std::is_same_v<T, bool>) {
      field.type = Type::kBool;
    } else if constexpr (kIsScalar<T>) {
      constexpr bool kWide = sizeof(T) == 8;
      field.type = std::is_signed_v<T> ? (kWide ? Type::kInt64 : Type::kInt32)
                                       : (kWide ? Type::kUint64 : Type::kUint32);
    } else if constexpr (kIsText<T>) {
      field.type = is_bytes ? Type::kBytes : Type::kString;
    } else {
      field.type = Type::kMessage;
      SetTypeName(field, T::kType);
    }
  }

  void SetTypeName(FieldDescriptorProto& field, std::string_view full_name) {
    field.type_name = "." + std::string(full_name);
    AddDependency(file_, FileOf(files_, full_name).name);
  }

  /// An enum stands in the message that uses it ("RangeRequest.SortOrder") or in the file.
  template <class Names>
  void SetEnum(FieldDescriptorProto& field, Enum<Names> /*of*/) {
    SetTypeName(field, Names::kType);
    std::string name = NameWithin(file_, Names::kType);
    const std::string in_message = message_.name + ".";
    const bool nested = name.starts_with(in_message);
    if (nested) name.erase(0, in_message.size());
    RAFTKV_CHECK(name.find('.') == std::string::npos, Names::kType, message_.name);
    auto& enums = nested ? message_.enum_type : file_.enum_type;
    if (FindByName(enums, name) == nullptr) enums.push_back(DescribeEnum<Names>(name));
  }

  ProtoFiles& files_;
  FileDescriptorProto& file_;
  DescriptorProto message_;
};

void DescribeMessages(ProtoFiles& files) {
#define RAFTKV_DESCRIBE(Message) MessageDescription<Message>{files};
  RAFTKV_ETCD_MESSAGES(RAFTKV_DESCRIBE)
#undef RAFTKV_DESCRIBE
}

}  // namespace

Descriptors::Descriptors(const Methods& methods) {
  for (const ProtoFile& file : kProtoFiles) {
    FileDescriptorProto& added = files_.emplace_back();
    added.name = file.name;
    added.package = file.package;
    added.syntax = "proto3";
  }
  DescribeMessages(files_);
  AddServices(methods);
  std::erase_if(files_, [](const FileDescriptorProto& file) {
    return file.message_type.empty() && file.service.empty();
  });
  for (const FileDescriptorProto& file : files_) AddSymbols(file);
}

void Descriptors::AddServices(const Methods& methods) {
  for (const auto& [path, method] : methods.all()) {
    FileDescriptorProto& file = FileOf(files_, method.service);
    const std::string name = NameWithin(file, method.service);
    ServiceDescriptorProto* service = FindByName(file.service, name);
    if (service == nullptr) {
      service = &file.service.emplace_back(ServiceDescriptorProto{.name = name, .method = {}});
      services_.push_back(method.service);
    }
    service->method.push_back({.name = method.name,
                               .input_type = "." + method.request_type,
                               .output_type = "." + method.response_type,
                               .client_streaming = method.client_streams,
                               .server_streaming = method.server_streams});
    AddDependency(file, FileOf(files_, method.request_type).name);
    AddDependency(file, FileOf(files_, method.response_type).name);
  }
  std::sort(services_.begin(), services_.end());
}

void Descriptors::AddSymbols(const FileDescriptorProto& file) {
  const auto add = [&](const std::string& symbol) { symbols_.emplace(symbol, file.name); };
  const auto add_enum = [&](const std::string& scope, const EnumDescriptorProto& described) {
    add(scope + described.name);
    for (const EnumValueDescriptorProto& value : described.value) add(scope + value.name);
  };
  const std::string package = file.package + ".";
  for (const EnumDescriptorProto& described : file.enum_type) add_enum(package, described);
  for (const DescriptorProto& message : file.message_type) {
    const std::string name = package + message.name;
    add(name);
    messages_.insert(name);
    for (const FieldDescriptorProto& field : message.field) add(name + "." + field.name);
    for (const OneofDescriptorProto& oneof : message.oneof_decl) add(name + "." + oneof.name);
    for (const EnumDescriptorProto& described : message.enum_type) add_enum(name + ".", described);
  }
  for (const ServiceDescriptorProto& service : file.service) {
    const std::string name = package + service.name;
    add(name);
    for (const MethodDescriptorProto& method : service.method) add(name + "." + method.name);
  }
}

const FileDescriptorProto* Descriptors::FindFile(std::string_view name) const {
  const auto found =
      std::find_if(files_.begin(), files_.end(),
                   [name](const FileDescriptorProto& file) { return file.name == name; });
  return found == files_.end() ? nullptr : &*found;
}

const FileDescriptorProto* Descriptors::FindSymbol(std::string_view symbol) const {
  const auto found = symbols_.find(symbol);
  return found == symbols_.end() ? nullptr : FindFile(found->second);
}

bool Descriptors::HasMessage(std::string_view name) const { return messages_.contains(name); }

std::vector<std::string> Descriptors::Encode(const FileDescriptorProto& file) const {
  std::vector<const FileDescriptorProto*> all = {&file};
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (const std::string& name : all[i]->dependency) {
      const FileDescriptorProto* const needed = FindFile(name);
      RAFTKV_CHECK(needed != nullptr, name);
      if (std::find(all.begin(), all.end(), needed) == all.end()) all.push_back(needed);
    }
  }
  std::vector<std::string> encoded;
  for (const FileDescriptorProto* each : all) encoded.push_back(EncodeProto(*each));
  return encoded;
}

}  // namespace raftkv::etcd
